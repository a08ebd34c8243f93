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
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;

use super::{
    Begun,
    cutoff::Cutoff,
    headers,
    response_body::Origin,
    streams::{Activity, Bounds},
    tunnel::{End, Passed, Tunnel},
    unavailable, way_back,
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
pub(crate) fn ask(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?.clone();
    headers.insert(header::CONNECTION, UPGRADE);
    headers.insert(header::UPGRADE, WEBSOCKET);
    Some(key)
}

/// The upstream's half of a WebSocket that it agreed to.
pub(crate) struct Accepted {
    upstream: OnUpgrade,
    /// The fields of its 101.
    pub(crate) headers: HeaderMap,
}

impl Accepted {
    /// Takes the upstream's half from its 101 to a request with this key.
    ///
    /// # Errors
    ///
    /// The fault of the 101.
    pub(crate) fn of(
        response: &mut Response<Incoming>,
        key: &HeaderValue,
    ) -> Result<Self, &'static str> {
        let upgrade = response.headers().get(header::UPGRADE);
        if !upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket")) {
            return Err("its 101 does not switch to a WebSocket");
        }
        let mut accepts = response.headers().get_all(header::SEC_WEBSOCKET_ACCEPT).iter();
        if accepts.next().map(HeaderValue::as_bytes) != Some(accept(key).as_bytes())
            || accepts.next().is_some()
        {
            return Err("its 101 lacks the `Sec-WebSocket-Accept` that belongs to the key");
        }
        let upstream = hyper::upgrade::on(&mut *response);
        Ok(Self { upstream, headers: std::mem::take(response.headers_mut()) })
    }

    /// The 101 for the client, and both halves of the WebSocket, which meet once the client has it.
    pub(crate) fn switch(self, client: OnUpgrade) -> (Response<Body>, Halves) {
        let Self { upstream, mut headers } = self;
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONNECTION, UPGRADE);
        headers.insert(header::UPGRADE, WEBSOCKET);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = headers;
        (response, Halves { client, upstream })
    }
}

/// The two halves of a WebSocket.
pub(crate) struct Halves {
    client: OnUpgrade,
    upstream: OnUpgrade,
}

/// Reason a WebSocket that both sides agreed to never opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NeverOpened {
    #[error("a connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the client did not read the response")]
    Late,
}

impl Halves {
    /// Joins the halves until the WebSocket ends, at the latest when `drain` leaves no more time to streams.
    pub(crate) async fn join(
        self,
        cutoff: Cutoff,
        activity: Option<Activity>,
        ping: Option<Duration>,
        drain: Drain,
    ) -> Result<(End, Passed), NeverOpened> {
        let met = tokio::time::timeout(SWITCH, try_join(self.client, self.upstream)).await;
        let (client, upstream) = met.map_err(|_| NeverOpened::Late)??;
        let tunnel = Tunnel::new(TokioIo::new(client), TokioIo::new(upstream), cutoff)
            .with_activity(activity)
            .with_pings(ping);
        Ok(tunnel.run(async move { drain.streams_over().await }).await)
    }
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
        let mut accepted = match Accepted::of(&mut response, &self.key) {
            Ok(accepted) => accepted,
            Err(cause) => {
                let target = in_flight.target().name();
                return Err(unavailable(&self.origin.route, target, cause));
            }
        };
        if let Some(upstream) = &self.origin.route.upstream {
            headers::clean_response(&mut accepted.headers, upstream.own_cookies());
            way_back::map(&mut accepted.headers, upstream, &self.bounds.permit.host);
        }
        let Self { client, stream, bounds, drain, origin, .. } = self;
        let (response, halves) = accepted.switch(client);
        let (cutoff, activity) = (bounds.cutoff(), bounds.activity());
        let record = bounds.record(&origin.tally);
        tokio::spawn(async move {
            let ping = origin.route.ping.within(origin.route.timeouts.idle);
            match halves.join(cutoff, activity, ping, drain).await {
                Ok((end, passed)) => {
                    origin.tally.passed(passed.up, passed.down);
                    if let Some(record) = record {
                        record.ended(&end, passed.up, passed.down);
                    }
                }
                Err(error) => {
                    let (route, id) = (origin.route.name.as_str(), origin.tally.request_id());
                    tracing::debug!(route, request_id = id, %error, "WebSocket never opened");
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
