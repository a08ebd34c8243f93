//! Kinds of exchanges, the bounds that follow from them, and the activity and the end of a stream.
//!
//! A plain exchange, such as an upload or a download, is judged at its start and runs to its end, whatever becomes of its token.
//! A stream has no end of its own: by default it ends with the token that opened it. Both end with their session, and when the
//! caller is no longer permitted.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, header};
use tokio::time::Instant;
use web_sessions::{LiveSession, OpenUse, Sessions, Use};

use super::cutoff::Cutoff;
use crate::{
    audit::{StreamEnd, Tally, stream_ended},
    config::Streams,
    listen::Drain,
    refusal::Refusal,
    review::{Kind, Permit, Review, UNDISTURBED},
};

/// Idle time of a cutoff that only watches permission; another one counts the bytes.
const NEVER_IDLE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Time in which an answer is delivered that begins after the end of its token: one that has arrived is never dropped.
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// Protocol of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    WebSocket,
    /// Server-sent events.
    Events,
    Grpc,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Events => "events",
            Self::Grpc => "grpc",
        }
    }

    /// The protocol of a request, as far as its head says.
    pub(super) fn of_request(websocket: bool, headers: &HeaderMap) -> Option<Self> {
        match websocket {
            true => Some(Self::WebSocket),
            false => has_type(headers, b"application/grpc").then_some(Self::Grpc),
        }
    }

    fn of_response(headers: &HeaderMap) -> Option<Self> {
        has_type(headers, b"text/event-stream").then_some(Self::Events)
    }
}

/// Whether the content type begins so; subtypes and parameters follow.
fn has_type(headers: &HeaderMap, beginning: &[u8]) -> bool {
    headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).is_some_and(|value| {
        value.get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning))
    })
}

/// Bounds of one exchange.
pub(super) struct Bounds {
    pub(super) permit: Arc<Permit>,
    pub(super) review: Arc<Review>,
    pub(super) session: Option<Arc<LiveSession>>,
    pub(super) sessions: Option<Arc<Sessions>>,
    pub(super) protocol: Option<Protocol>,
    /// End of the bearer token.
    pub(super) token_ends: Option<Instant>,
    pub(super) drain: Drain,
}

impl Bounds {
    /// Takes the protocol from the head of a response that opens no WebSocket, where the request did not say it.
    ///
    /// # Errors
    ///
    /// [`Refusal::UserLimitReached`] for a stream beyond those that its user may have open.
    pub(super) fn answered(&mut self, headers: &HeaderMap) -> Result<(), Refusal> {
        if self.protocol != Some(Protocol::Grpc) {
            self.protocol = Protocol::of_response(headers);
        }
        let route = &self.permit.route;
        if let (Some(_), Some(counted), Some(limits)) =
            (self.protocol, &self.permit.counted, route.per_user)
        {
            counted.become_stream(&route.name, limits)?;
        }
        if let (Some(_), Some(ends)) = (self.protocol, &mut self.token_ends) {
            let now = Instant::now();
            if *ends <= now {
                *ends = now + LAST_ANSWER;
            }
        }
        Ok(())
    }

    /// The kind of the exchange, as far as it is known.
    pub(super) fn kind(&self) -> Kind {
        if self.protocol.is_some() { Kind::Stream } else { Kind::Plain }
    }

    /// Ends the exchange with its bounds, or when no byte moves for the route's idle time.
    pub(super) fn cutoff(&self) -> Cutoff {
        self.cutoff_after(self.permit.route.timeouts.idle)
    }

    /// Ends the exchange with its bounds alone.
    pub(super) fn watch(&self) -> Cutoff {
        self.cutoff_after(NEVER_IDLE)
    }

    fn cutoff_after(&self, idle: Duration) -> Cutoff {
        let bounded =
            self.kind() == Kind::Stream && self.permit.route.streams == Streams::UntilTokenEnds;
        let expires = self.token_ends.filter(|_| bounded);
        // A tunnel says goodbye by itself, and a plain exchange has the grace of its connection.
        let drained = matches!(self.protocol, Some(Protocol::Events | Protocol::Grpc));
        Cutoff::new(self.session.clone(), expires, idle)
            .with_review(Arc::clone(&self.review), Arc::clone(&self.permit), self.kind())
            .with_drain(drained.then(|| self.drain.clone()))
    }

    /// Notes that the session's user uses the route.
    pub(super) fn used(&self) {
        if let (Some(session), Some(sessions)) = (&self.session, &self.sessions) {
            sessions.used(session, &self.permit.route.name);
        }
    }

    /// Notes activity of the session; `None` without one.
    pub(super) fn activity(&self) -> Option<Activity> {
        let (session, sessions) = self.session.clone().zip(self.sessions.clone())?;
        let used = sessions.use_of(&session, &self.permit.route.name);
        Some(Activity::new(session, sessions, used))
    }

    /// The record of a stream, for the line at its end; `None` for a plain exchange.
    pub(super) fn record(&self, tally: &Arc<Tally>) -> Option<Box<StreamRecord>> {
        let protocol = self.protocol?;
        let used = self.session.as_ref().zip(self.sessions.as_ref());
        Some(Box::new(StreamRecord {
            protocol,
            _open: used.map(|(session, sessions)| {
                sessions.use_of(session, &self.permit.route.name).open()
            }),
            permit: Arc::clone(&self.permit),
            tally: Arc::clone(tally),
            begun: Instant::now(),
        }))
    }
}

/// Notes that the user of a session is active on a stream, an upload or a download.
pub(crate) struct Activity {
    session: Arc<LiveSession>,
    sessions: Arc<Sessions>,
    used: Arc<Use>,
    interval: Duration,
    noted: Instant,
}

impl Activity {
    fn new(session: Arc<LiveSession>, sessions: Arc<Sessions>, used: Arc<Use>) -> Self {
        // The request itself was noted.
        let (interval, noted) = (sessions.activity_interval(), Instant::now());
        Self { session, sessions, used, interval, noted }
    }

    /// Notes activity at `now`: nothing, or atomics of the session and the use.
    pub(super) fn note(&mut self, now: Instant) {
        if now.duration_since(self.noted) >= self.interval {
            self.noted = now;
            self.sessions.active_on(&self.session, &self.used);
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.sessions.settle(&self.session);
    }
}

/// Facts about a stream for the audit line of its end.
pub(super) struct StreamRecord {
    protocol: Protocol,
    permit: Arc<Permit>,
    tally: Arc<Tally>,
    begun: Instant,
    /// Counted while it is open.
    _open: Option<OpenUse>,
}

impl StreamRecord {
    /// Whether this is a gRPC call that may as well have been a plain exchange so far.
    pub(super) fn is_brief(&self) -> bool {
        self.protocol == Protocol::Grpc && self.begun.elapsed() < UNDISTURBED
    }

    /// Writes the line.
    pub(super) fn ended(&self, reason: &dyn fmt::Display, received: u64, sent: u64) {
        let spent = self.tally.spent_tokens();
        stream_ended(&StreamEnd {
            protocol: self.protocol.name(),
            route: &self.permit.route.name,
            path: self.permit.path.as_str(),
            request_id: self.tally.request_id(),
            upstream: self.tally.upstream(),
            sender: (&self.permit.caller, &self.permit.credential),
            reason,
            received,
            sent,
            took: self.begun.elapsed(),
            spent: spent.as_ref(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_known_by_its_head_in_any_case() {
        let head = |value: &str| {
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_str(value).unwrap())])
        };
        for grpc in ["application/grpc", "Application/GRPC+proto", "application/grpc-web-text"] {
            assert_eq!(Protocol::of_request(false, &head(grpc)), Some(Protocol::Grpc), "{grpc}");
        }
        for events in ["text/event-stream", "Text/Event-Stream; charset=utf-8"] {
            assert_eq!(Protocol::of_response(&head(events)), Some(Protocol::Events), "{events}");
        }
        assert_eq!(Protocol::of_request(true, &HeaderMap::new()), Some(Protocol::WebSocket));
        assert_eq!(Protocol::of_request(false, &head("application/json")), None);
        assert_eq!(Protocol::of_response(&head("application/x-ndjson")), None);
    }
}
