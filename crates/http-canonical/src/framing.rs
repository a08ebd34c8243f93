//! Strict framing of HTTP/1 messages ([RFC 9112]): finds the end of each message before another parser sees a byte.
//!
//! A state machine without I/O: it decides for each byte whether it may pass. It accepts a subset in which no two parsers can
//! disagree: one framing per message, CRLF and nothing else at line ends, one host, no folding, no chunk extensions. The bytes
//! that pass are unchanged, so the parser behind it frames them the same way; of a trailer section, the fields that a server
//! could act on are left out. Of a request target, bytes that the parser cannot hold and that mean nothing but themselves are percent-encoded.
//!
//! [RFC 9112]: https://www.rfc-editor.org/rfc/rfc9112

mod chunked;
mod head;
mod target;
mod violation;

pub use violation::{Reason, Violation};

use chunked::Chunked;
use head::{Complete, Head};
use target::{Escaping, Target};

/// Whether bytes are a path with an optional query as a request line may hold it.
pub(crate) fn is_origin_form(target: &[u8]) -> bool {
    target.first() == Some(&b'/') && Target::read(0, target).is_some()
}

/// Limits on a request head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the request line. Default: 8 KiB.
    pub line: usize,
    /// Bytes of the whole head. Default: 32 KiB.
    pub head: usize,
    /// Header lines. Default: 100.
    pub fields: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { line: 8 * 1024, head: 32 * 1024, fields: 100 }
    }
}

/// Action for the bytes at the front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// This number of bytes may pass.
    Pass(usize),
    /// This number of bytes is left out.
    Skip(usize),
    /// The byte at the front is left out, and these bytes pass in its place.
    Replace([u8; 3]),
    /// More bytes are needed; call again with the same bytes and more behind them.
    NeedMore,
    /// A WebSocket was asked for: nothing passes before [`Framing::resume`] or the end of HTTP.
    Paused,
    /// A rule is broken in the head of this request.
    BadHead(Violation),
    /// A rule is broken in the body of this request.
    BadBody(Violation),
}

/// The framing of one connection's inbound bytes.
#[derive(Debug)]
pub struct Framing {
    state: State,
    limits: HeadLimits,
    heads: u64,
}

#[derive(Debug)]
enum State {
    Head(Head),
    Target(Escaping, BodyFraming),
    Length(u64),
    Chunked(Chunked),
    Paused,
    Broken(Action),
}

impl State {
    fn after_head(body: BodyFraming) -> Self {
        match body {
            BodyFraming::Length(0) => Self::Head(Head::default()),
            BodyFraming::Length(length) => Self::Length(length),
            BodyFraming::Chunked => Self::Chunked(Chunked::default()),
            BodyFraming::Upgrade => Self::Paused,
        }
    }
}

/// Framing of a message's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyFraming {
    Length(u64),
    Chunked,
    /// No body; the answer decides whether HTTP continues.
    Upgrade,
}

impl Framing {
    /// Framing at the beginning of a connection.
    pub fn new(limits: HeadLimits) -> Self {
        Self { state: State::Head(Head::default()), limits, heads: 0 }
    }

    /// Number of heads that began to pass, including the broken one; the number of the current request, from 1.
    pub fn request(&self) -> u64 {
        self.heads
    }

    /// Whether the next byte begins or continues a head.
    pub fn in_head(&self) -> bool {
        matches!(self.state, State::Head(_) | State::Target(..))
    }

    /// Whether the next byte belongs to a body.
    pub fn in_body(&self) -> bool {
        matches!(self.state, State::Length(_) | State::Chunked(_))
    }

    /// Whether a WebSocket was asked for and not yet answered.
    pub fn is_paused(&self) -> bool {
        matches!(self.state, State::Paused)
    }

    /// Judges the bytes at the front. `bytes` begins where the last `Pass` or `Skip` ended.
    pub fn advance(&mut self, bytes: &[u8]) -> Action {
        match &mut self.state {
            State::Head(head) => match head.advance(bytes, &self.limits) {
                Ok(None) => Action::NeedMore,
                Ok(Some(Complete { length, body, escaping: None })) => {
                    self.heads += 1;
                    self.state = State::after_head(body);
                    Action::Pass(length)
                }
                Ok(Some(Complete { body, escaping: Some(escaping), .. })) => {
                    self.heads += 1;
                    self.state = State::Target(escaping, body);
                    self.advance(bytes)
                }
                Err(reason) => {
                    self.heads += 1;
                    self.broken(Action::BadHead(reason.into()))
                }
            },
            State::Target(escaping, body) => {
                let (action, over) = escaping.advance(bytes);
                if over {
                    self.state = State::after_head(*body);
                }
                action
            }
            State::Length(left) => {
                let here = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                if here == 0 {
                    return Action::NeedMore;
                }
                *left -= here as u64;
                if *left == 0 {
                    self.state = State::Head(Head::default());
                }
                Action::Pass(here)
            }
            State::Chunked(chunked) => match chunked.advance(bytes) {
                Ok(action) => {
                    if chunked.is_over() {
                        self.state = State::Head(Head::default());
                    }
                    action
                }
                Err(reason) => self.broken(Action::BadBody(reason.into())),
            },
            State::Paused => Action::Paused,
            State::Broken(action) => *action,
        }
    }

    /// Continues after a WebSocket was declined.
    pub fn resume(&mut self) {
        if matches!(self.state, State::Paused) {
            self.state = State::Head(Head::default());
        }
    }

    /// Stops at the current head, or at the next one, for a reason that the bytes do not show.
    pub fn give_up(&mut self, reason: Reason) -> Action {
        if self.in_body() {
            return self.broken(Action::BadBody(reason.into()));
        }
        self.heads += 1;
        self.broken(Action::BadHead(reason.into()))
    }

    fn broken(&mut self, action: Action) -> Action {
        self.state = State::Broken(action);
        action
    }
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;
