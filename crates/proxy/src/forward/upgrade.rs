//! Opens a WebSocket through the gateway ([RFC 6455 §4]).
//!
//! An earlier stage decides which pages may open one. The gateway asks the upstream with its own `Connection` and `Upgrade`; a
//! tunnel exists only after a 101 with the `Sec-WebSocket-Accept` that belongs to the key. Any other response is passed on
//! like every response.
//!
//! [RFC 6455 §4]: https://www.rfc-editor.org/rfc/rfc6455#section-4

use std::time::Duration;

use aws_lc_rs::digest;
use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::future::try_join;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::{
    Begun, headers, response_body::Origin, streams::Bounds, tunnel::Tunnel, unavailable, way_back,
};
use crate::{
    listen::{Body, Drain, OpenTunnel},
    refusal::Refusal,
};

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("upgrade");

/// Time limit for the client to receive the 101.
const SWITCH: Duration = Duration::from_secs(30);

/// Asks the upstream for a WebSocket. `None` without a key, which the listener refuses.
pub(super) fn ask(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?.clone();
    headers.insert(header::CONNECTION, UPGRADE);
    headers.insert(header::UPGRADE, WEBSOCKET);
    Some(key)
}

/// A tunnel that is about to be opened.
pub(super) struct Opening<'a> {
    /// The client's half, once it has the 101.
    pub(super) client: OnUpgrade,
    /// The client's key.
    pub(super) key: HeaderValue,
    /// Keeps the client's connection as long as the tunnel.
    pub(super) stream: OpenTunnel,
    pub(super) bounds: &'a Bounds,
    pub(super) drain: Drain,
    pub(super) origin: Origin,
}

impl Opening<'_> {
    /// Answers the client with 101 and joins the two connections, if the upstream's 101 is good.
    pub(super) fn open(self, begun: Begun) -> Result<Response<Body>, Refusal> {
        let Begun { mut response, in_flight, .. } = begun;
        let bad = |cause| Err(unavailable(&self.origin.route, in_flight.target().name(), cause));
        let is_websocket = response
            .headers()
            .get(header::UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
        if !is_websocket {
            return bad("its 101 does not switch to a WebSocket");
        }
        let mut accepts = response.headers().get_all(header::SEC_WEBSOCKET_ACCEPT).iter();
        if accepts.next().map(HeaderValue::as_bytes) != Some(accept(&self.key).as_bytes())
            || accepts.next().is_some()
        {
            return bad("its 101 lacks the `Sec-WebSocket-Accept` that belongs to the key");
        }
        let upstream = hyper::upgrade::on(&mut response);
        let mut headers = std::mem::take(response.headers_mut());
        if let Some(upstream) = &self.origin.route.upstream {
            headers::clean_response(&mut headers, upstream.own_cookies());
            way_back::map(&mut headers, upstream, &self.bounds.permit.host);
        }
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONNECTION, UPGRADE);
        headers.insert(header::UPGRADE, WEBSOCKET);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = headers;
        let Self { client, stream, bounds, drain, origin, .. } = self;
        let (cutoff, activity) = (bounds.cutoff(), bounds.activity());
        let record = bounds.record(&origin.tally);
        tokio::spawn(async move {
            let (route, id) = (origin.route.name.as_str(), origin.tally.request_id());
            match tokio::time::timeout(SWITCH, try_join(client, upstream)).await {
                Ok(Ok((client, upstream))) => {
                    let ping = origin.route.ping.within(origin.route.timeouts.idle);
                    let tunnel = Tunnel::new(TokioIo::new(client), TokioIo::new(upstream), cutoff)
                        .with_activity(activity)
                        .with_pings(ping);
                    let (end, passed) = tunnel.run(async move { drain.streams_over().await }).await;
                    origin.tally.passed(passed.up, passed.down);
                    if let Some(record) = record {
                        record.ended(&end, passed.up, passed.down);
                    }
                }
                Ok(Err(error)) => {
                    tracing::debug!(route, request_id = id, %error, "WebSocket never opened");
                }
                Err(_) => {
                    tracing::debug!(
                        route,
                        request_id = id,
                        "WebSocket never opened: the client did not read the response"
                    );
                }
            }
            drop((in_flight, stream));
        });
        Ok(response)
    }
}

/// Value of `Sec-WebSocket-Accept` ([RFC 6455 §4.2.2](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.2), point 5.4).
fn accept(key: &HeaderValue) -> String {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64_STANDARD.encode(hash.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_6455_is_accepted() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
