//! Passes the bytes of a connection through [`Framing`] to the HTTP parser.
//!
//! Only bytes that framing passed are handed on. In place of an invalid head the parser gets a harmless one, and the service
//! answers that request by its number; for an invalid body the parser gets an error. After a WebSocket's head nothing is handed
//! on until the service has answered it. Deadlines are kept here because only this module distinguishes a pending head from a pending body.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

mod waiting;
mod writing;

pub(super) use waiting::Protocol;

use super::{
    ConnInfo, Glimpse, Limits,
    accept::Held,
    conn::Upgrade,
    deadline::{BodyClock, Deadline},
};
use crate::metric;
use http_canonical::framing::{Action, Framing, Reason};

/// Handed to the parser in place of an invalid head.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nHost: invalid\r\nConnection: close\r\n\r\n";

/// Reads into buffers below this size go through the buffer of this module.
const DIRECT: usize = 1024;

/// Most bytes that may arrive before a WebSocket is answered.
const EARLY: usize = 16 * 1024;

/// A connection whose inbound bytes are judged before they are read.
#[derive(Debug)]
pub(super) struct StrictIo<T> {
    io: T,
    info: Arc<ConnInfo>,
    framing: Framing,
    mode: Mode,
    /// Bytes that arrived; the first `ready` of them may be handed on.
    buffer: BytesMut,
    ready: usize,
    limits: Limits,
    /// Time by which the arriving head must be complete.
    head_by: Option<Instant>,
    /// Time by which a head must begin, while no parser waits for it.
    idle_by: Option<Instant>,
    head_deadline: Deadline,
    body: BodyClock,
    stalled_since: Option<Instant>,
    stall_deadline: Deadline,
    lingering: Option<(Instant, usize)>,
    _held: Held,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Strict,
    /// A WebSocket was asked for.
    Paused,
    /// HTTP/2, or a tunnel.
    Transparent,
    /// The head was invalid: its answer is being sent, nothing more is read.
    Answering,
    /// The body was invalid.
    Failed(Reason),
}

impl<T: AsyncRead + AsyncWrite + Unpin> StrictIo<T> {
    /// Wraps a connection. The first head's time began at `accepted`.
    pub(super) fn new(
        io: T,
        info: Arc<ConnInfo>,
        limits: Limits,
        accepted: Instant,
        held: Held,
    ) -> Self {
        Self {
            io,
            info,
            framing: Framing::new(limits.head_size),
            mode: Mode::Strict,
            buffer: BytesMut::new(),
            ready: 0,
            limits,
            head_by: Some(accepted + limits.first_head),
            idle_by: None,
            head_deadline: Deadline::default(),
            body: BodyClock::new(&limits),
            stalled_since: None,
            stall_deadline: Deadline::default(),
            lingering: None,
            _held: held,
        }
    }

    /// Judges the buffer from `ready` on.
    fn judge(&mut self) {
        while let Some(rest) = self.buffer.get(self.ready..).filter(|rest| !rest.is_empty()) {
            let head = self.framing.in_head();
            match self.framing.advance(rest) {
                Action::Pass(count) => {
                    self.ready += count;
                    self.passed(head);
                }
                Action::Skip(count) => {
                    let mut rest = self.buffer.split_off(self.ready);
                    rest.advance(count);
                    self.buffer.unsplit(rest);
                }
                Action::Replace(with) => {
                    let mut rest = self.buffer.split_off(self.ready);
                    rest.advance(1);
                    self.buffer.extend_from_slice(&with);
                    self.ready += with.len();
                    self.buffer.unsplit(rest);
                }
                Action::NeedMore | Action::Paused => return,
                broken @ (Action::BadHead(_) | Action::BadBody(_)) => {
                    let glimpse = Glimpse::of_head(rest, self.info.peer);
                    return self.fail(broken, glimpse);
                }
            }
        }
    }

    /// Judges bytes that were read directly into the parser's buffer; returns the number that may stay there.
    fn judge_in_place(&mut self, read: &[u8]) -> usize {
        let mut passed = 0;
        while let Some(rest) = read.get(passed..).filter(|rest| !rest.is_empty()) {
            let head = self.framing.in_head();
            match self.framing.advance(rest) {
                Action::Pass(count) => {
                    passed += count;
                    self.passed(head);
                }
                Action::Skip(count) => {
                    self.buffer.extend_from_slice(rest.get(count..).unwrap_or_default());
                    self.judge();
                    break;
                }
                Action::Replace(with) => {
                    self.buffer.extend_from_slice(&with);
                    self.ready += with.len();
                    self.buffer.extend_from_slice(rest.get(1..).unwrap_or_default());
                    self.judge();
                    break;
                }
                Action::NeedMore | Action::Paused => {
                    self.buffer.extend_from_slice(rest);
                    break;
                }
                broken @ (Action::BadHead(_) | Action::BadBody(_)) => {
                    self.fail(broken, Glimpse::of_head(rest, self.info.peer));
                    break;
                }
            }
        }
        passed
    }

    /// Reads into the buffer, by way of the stack: a connection that waits for bytes holds no memory for them.
    fn poll_buffer(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut piece = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.io).poll_read(context, &mut piece))?;
        let read = piece.filled();
        self.buffer.extend_from_slice(read);
        let count = read.len();
        self.received(count);
        Poll::Ready(Ok(count))
    }

    /// Called after bytes arrived, or the end.
    fn received(&mut self, count: usize) {
        self.body.received(count);
        self.info.state.set_awaits_head(false);
    }

    /// Called after bytes passed: with a head, its time is over and a body's time begins.
    fn passed(&mut self, head: bool) {
        if head {
            self.head_by = None;
            self.body.restart();
        }
        if self.framing.is_paused() && self.mode == Mode::Strict {
            self.mode = Mode::Paused;
            self.info.state.ask_upgrade(self.framing.request());
        }
    }

    fn fail(&mut self, broken: Action, glimpse: Glimpse) {
        self.buffer.truncate(self.ready);
        match broken {
            Action::BadHead(violation) => {
                if matches!(violation.reason(), Reason::HeadTooLarge | Reason::TargetTooLong) {
                    metric::limit_reached("head_size");
                }
                self.info.state.stop(self.framing.request(), violation, Some(glimpse));
                self.buffer.extend_from_slice(STAND_IN);
                self.ready = self.buffer.len();
                self.mode = Mode::Answering;
            }
            Action::BadBody(violation) => {
                self.info.state.stop(self.framing.request(), violation, None);
                self.mode = Mode::Failed(violation.reason());
            }
            _ => {}
        }
    }

    /// Called when nothing arrived. `Ready` when that has lasted too long: the mode has changed, or the connection is at its
    /// end.
    fn poll_overdue(&mut self, context: &mut Context<'_>) -> Poll<Overdue> {
        if self.framing.in_body() {
            ready!(self.body.poll_waiting(context));
            metric::limit_reached("body_rate");
            let broken = self.framing.give_up(Reason::BodyTimeout);
            self.fail(broken, Glimpse::of_head(&[], self.info.peer));
            return Poll::Ready(Overdue::Answered);
        }
        if self.buffer.is_empty() && self.head_by.is_none() {
            self.info.state.set_awaits_head(self.stalled_since.is_none());
            // Between requests: the parser's own timer closes idle connections, where one waits.
            let Some(by) = self.idle_by else { return Poll::Pending };
            ready!(self.head_deadline.poll(context, by));
            metric::limit_reached("idle");
            return Poll::Ready(Overdue::Silent);
        }
        let head = self.limits.head;
        let by = *self.head_by.get_or_insert_with(|| Instant::now() + head);
        ready!(self.head_deadline.poll(context, by));
        metric::limit_reached(if self.framing.request() == 0 { "first_head" } else { "head" });
        if self.buffer.is_empty() {
            return Poll::Ready(Overdue::Silent);
        }
        let broken = self.framing.give_up(Reason::HeadTimeout);
        let glimpse =
            Glimpse::of_head(self.buffer.get(self.ready..).unwrap_or_default(), self.info.peer);
        self.fail(broken, glimpse);
        Poll::Ready(Overdue::Answered)
    }

    fn poll_strict(
        &mut self,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Step>> {
        let (received, handed) = if self.buffer.is_empty() && out.remaining() >= DIRECT {
            let before = out.filled().len();
            match Pin::new(&mut self.io).poll_read(context, out)? {
                Poll::Ready(()) => {
                    let read = out.filled().get(before..).unwrap_or_default();
                    let received = read.len();
                    self.received(received);
                    let passed = self.judge_in_place(read);
                    out.set_filled(before + passed);
                    (Poll::Ready(received), passed)
                }
                Poll::Pending => (Poll::Pending, 0),
            }
        } else {
            let received = self.poll_buffer(context)?;
            if received.is_ready() {
                self.judge();
            }
            (received, 0)
        };
        Poll::Ready(Ok(match received {
            Poll::Ready(0) => Step::Return,
            Poll::Ready(_) if handed > 0 => Step::Return,
            Poll::Ready(_) => Step::Again,
            Poll::Pending => match ready!(self.poll_overdue(context)) {
                Overdue::Answered => Step::Again,
                Overdue::Silent => Step::Return,
            },
        }))
    }

    /// Waits for the answer to a WebSocket's head. Early bytes are buffered, up to a limit.
    fn poll_paused(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Step>> {
        loop {
            match self.info.state.decision(context.waker()) {
                Upgrade::Accepted => {
                    self.mode = Mode::Transparent;
                    return Poll::Ready(Ok(Step::Again));
                }
                Upgrade::Declined => {
                    self.mode = Mode::Strict;
                    self.framing.resume();
                    self.judge();
                    return Poll::Ready(Ok(Step::Again));
                }
                Upgrade::Undecided if self.buffer.len() >= EARLY => return Poll::Pending,
                Upgrade::Undecided => {
                    if ready!(self.poll_buffer(context))? == 0 {
                        return Poll::Ready(Ok(Step::Return));
                    }
                }
            }
        }
    }
}

enum Step {
    Again,
    Return,
}

enum Overdue {
    /// The mode has changed: the violation is being answered.
    Answered,
    /// The connection is at its end.
    Silent,
}

// === impl StrictIo ===

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for StrictIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.ready > 0 {
                let count = this.ready.min(out.remaining());
                out.put_slice(this.buffer.get(..count).unwrap_or_default());
                this.buffer.advance(count);
                this.ready -= count;
                if this.buffer.is_empty() {
                    this.buffer = BytesMut::new();
                }
                return Poll::Ready(Ok(()));
            }
            let step = match this.mode {
                Mode::Strict => ready!(this.poll_strict(context, out))?,
                Mode::Paused => ready!(this.poll_paused(context))?,
                Mode::Transparent if this.buffer.is_empty() => {
                    return Pin::new(&mut this.io).poll_read(context, out);
                }
                Mode::Transparent => {
                    this.ready = this.buffer.len();
                    Step::Again
                }
                Mode::Answering => return Poll::Pending,
                Mode::Failed(reason) => {
                    let kind = match reason {
                        Reason::BodyTimeout => io::ErrorKind::TimedOut,
                        _ => io::ErrorKind::InvalidData,
                    };
                    return Poll::Ready(Err(io::Error::new(
                        kind,
                        http_canonical::framing::Violation::from(reason),
                    )));
                }
            };
            if matches!(step, Step::Return) {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
