//! Opens a WebSocket of a program to its target ([RFC 6455 §4]): the handshake gets a token, and the tunnel is that of the routes.
//!
//! Unless the target says `streams: until_done`, the WebSocket ends with the token that opened it, or with the token of the user on
//! whose behalf it was opened, and the program gets a close frame with 1008. Any answer but a 101 is passed on.
//!
//! [RFC 6455 §4]: https://www.rfc-editor.org/rfc/rfc6455#section-4

use std::{fmt, sync::Arc, time::SystemTime};

use access_policy::Known;
use http::{Response, StatusCode};
use http_canonical::RequestId;
use m2m::AccessToken;
use oidc_core::{Clock, Secret};
use tokio::time::Instant;
use web_sessions::OwnNames;

use super::{body::Sent, refused::Refused, target::Target};
use crate::{
    config::{Ping, Streams},
    forward::{Accepted, Cutoff, UNDATED, ask_for_websocket, headers::clean_response},
    listen::{Body, CanonicalRequest, Drain, OpenTunnel, Payload},
};

/// The program's side of a WebSocket.
pub(super) struct Opener {
    /// The path that it asked for.
    pub(super) path: String,
    /// The user on whose behalf it asks.
    pub(super) user: Option<Arc<Known>>,
    /// The end of the user's token.
    pub(super) user_until: Option<SystemTime>,
    /// The time.
    pub(super) clock: Arc<dyn Clock>,
    /// Ends the WebSocket when the gateway stops.
    pub(super) drain: Drain,
}

impl Target {
    /// Sends a handshake with this token, and joins both connections where the service agrees.
    pub(super) async fn open(
        &self,
        request: CanonicalRequest,
        token: AccessToken,
        subject: Option<&Secret>,
        opener: Opener,
    ) -> Result<Response<Body>, Refused> {
        let request_id = request.request_id().clone();
        let (mut head, Payload { tunnel, connection, .. }) = self.head(request)?;
        let (Some(client), Some(key)) = (tunnel, ask_for_websocket(&mut head.headers)) else {
            return Err(Refused::Internal("the handshake has no key or no connection".to_owned()));
        };
        head.upgrade = true;
        let stream = OpenTunnel::begin(&connection);
        let (mut begun, token) = self.exchange(&head, token, subject, &mut Sent::Empty).await?;
        if begun.response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return self.pass_on(begun);
        }
        let accepted = Accepted::of(&mut begun.response, &key);
        let mut accepted = accepted.map_err(|fault| Refused::Invalid(fault.to_owned()))?;
        clean_response(&mut accepted.headers, &OwnNames::default());
        let cutoff = Cutoff::new(None, opener.ends(self.streams, &token), self.timeouts.idle);
        let ping = Ping::default().within(self.timeouts.idle);
        let (response, halves) = accepted.switch(client);
        let drain = opener.drain.clone();
        let record =
            Record { target: self.name.clone(), opener, request_id, begun: Instant::now() };
        tokio::spawn(async move {
            match halves.join(cutoff, None, ping, drain).await {
                Ok((end, passed)) => record.ended(&end, passed.up, passed.down),
                Err(error) => record.ended(&error, 0, 0),
            }
            drop((begun.in_flight, stream));
        });
        Ok(response)
    }
}

impl Opener {
    /// The end of a WebSocket that this token opens now.
    fn ends(&self, streams: Streams, token: &AccessToken) -> Option<Instant> {
        if streams == Streams::UntilDone {
            return None;
        }
        let left = |end: SystemTime| end.duration_since(self.clock.now()).unwrap_or_default();
        let of_token = token.expires_at().map_or(UNDATED, left);
        let of_user = self.user_until.map_or(of_token, left);
        // Beyond the range of `Instant`: no end.
        Instant::now().checked_add(of_token.min(of_user))
    }
}

/// Facts about an open WebSocket for the line at its end.
struct Record {
    target: String,
    opener: Opener,
    request_id: RequestId,
    begun: Instant,
}

impl Record {
    /// Writes the line.
    fn ended(&self, reason: &dyn fmt::Display, received: u64, sent: u64) {
        let user = self.opener.user.as_deref();
        tracing::info!(
            target: "doorward::audit",
            listener = "outbound",
            protocol = "websocket",
            outbound = self.target,
            path = self.opener.path,
            request_id = self.request_id.as_str(),
            issuer = user.map(|user| user.issuer.as_str()),
            subject = user.map(|user| user.subject.as_str()),
            user = user.and_then(|user| user.preferred_username.as_deref()),
            %reason,
            bytes_received = received,
            bytes_sent = sent,
            took_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "stream ended"
        );
    }
}
