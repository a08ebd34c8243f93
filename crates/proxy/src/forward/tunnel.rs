//! Joins the two connections of an open WebSocket.
//!
//! Bytes are passed on as they arrive. Bytes that one side does not accept yet are kept, at most [`STEP`] for each direction;
//! an idle tunnel keeps nothing. A quiet tunnel is pinged on both sides. A tunnel ends with its session, its token, its idle time
//! or the gateway's shutdown. The client then gets the reason in a close frame between two frames of the upstream
//! ([RFC 6455 §7.4.1]).
//!
//! [RFC 6455 §7.4.1]: https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1

use std::{
    borrow::Cow,
    fmt,
    future::{Future, poll_fn},
    io,
    mem::MaybeUninit,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Instant, Sleep},
};

use super::{
    cutoff::{Cut, Cutoff},
    frames::{Frames, close_frame},
    pings::{Heartbeat, Mark, Pongs, masked_ping, ping},
    streams::Activity,
};

/// Most bytes that are read at once, and so the most that are kept.
const STEP: usize = 8 * 1024;
/// Longest life of a half-closed tunnel.
const LINGER: Duration = Duration::from_secs(10);
/// Time limit for the close frame.
const GOODBYE: Duration = Duration::from_secs(3);

/// A client and an upstream, joined.
pub(super) struct Tunnel<C, U> {
    client: C,
    upstream: U,
    up: Pipe,
    down: Pipe,
    cutoff: Cutoff,
    linger: Option<Pin<Box<Sleep>>>,
    activity: Option<Activity>,
    heartbeat: Heartbeat,
}

/// Bytes that a tunnel passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passed {
    /// from the client
    pub(crate) up: u64,
    /// to the client
    pub(crate) down: u64,
}

/// Reason a tunnel ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Both sides closed, or one did and the other took too long.
    Closed,
    /// A connection broke.
    Broken(io::Error),
    /// The gateway ended it.
    Cut(Cut),
    /// The gateway is shutting down.
    Draining,
}

impl End {
    /// Code and reason for the close frame.
    fn goodbye(&self) -> Option<(u16, &'static str)> {
        const POLICY_VIOLATION: u16 = 1008;
        const GOING_AWAY: u16 = 1001;
        match self {
            Self::Closed | Self::Broken(_) => None,
            Self::Cut(Cut::SessionEnded) => Some((POLICY_VIOLATION, "session ended")),
            Self::Cut(Cut::TokenExpired) => Some((POLICY_VIOLATION, "token expired")),
            Self::Cut(Cut::NoLongerPermitted) => Some((POLICY_VIOLATION, "no longer permitted")),
            Self::Cut(Cut::Idle { .. }) => Some((GOING_AWAY, "idle")),
            Self::Cut(Cut::Draining) | Self::Draining => Some((GOING_AWAY, "shutting down")),
        }
    }
}

impl<C, U> Tunnel<C, U>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    pub(super) fn new(client: C, upstream: U, cutoff: Cutoff) -> Self {
        Self {
            client,
            upstream,
            up: Pipe::default(),
            down: Pipe::default(),
            cutoff,
            linger: None,
            activity: None,
            heartbeat: Heartbeat::new(None),
        }
    }

    /// Notes the client's messages as activity of its session.
    pub(super) fn with_activity(mut self, activity: Option<Activity>) -> Self {
        self.activity = activity;
        self
    }

    /// Pings both sides after each quiet interval.
    pub(super) fn with_pings(mut self, interval: Option<Duration>) -> Self {
        self.heartbeat = Heartbeat::new(interval);
        self
    }

    /// Passes bytes on until the tunnel ends, by itself or because `drained` resolves.
    pub(super) async fn run(mut self, drained: impl Future<Output = ()>) -> (End, Passed) {
        let end = {
            let mut drained = pin!(drained);
            poll_fn(|cx| match self.poll_open(cx) {
                Poll::Pending => drained.as_mut().poll(cx).map(|()| End::Draining),
                ended => ended,
            })
            .await
        };
        if let Some((code, reason)) = end.goodbye() {
            // An error or a timeout is ignored: the client's connection may be broken.
            let _ = tokio::time::timeout(GOODBYE, self.say_goodbye(code, reason)).await;
        }
        (end, Passed { up: self.up.passed, down: self.down.passed })
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let Self { client, upstream, up, down, .. } = self;
            let passed = up.passed + down.passed;
            let sent = up.poll_move(cx, client, upstream);
            let received = down.poll_move(cx, upstream, client);
            if up.passed + down.passed > passed
                && let Some(cut) = self.cutoff.moved(cx)
            {
                return Poll::Ready(End::Cut(cut));
            }
            self.note_signs_of_life();
            match (sent, received) {
                (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => {
                    return Poll::Ready(End::Broken(error));
                }
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Closed),
                (Poll::Pending, Poll::Pending) => {}
                _ => {
                    let linger =
                        self.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
                    ready!(linger.as_mut().poll(cx));
                    return Poll::Ready(End::Closed);
                }
            }
            if let Poll::Ready(cut) = self.cutoff.poll_cut(cx) {
                return Poll::Ready(End::Cut(cut));
            }
            ready!(self.heartbeat.poll_due(self.cutoff.last_moved(), cx));
            self.ping();
        }
    }

    /// A message of the client is activity of its session; answers of both sides to pings keep the tunnel open.
    fn note_signs_of_life(&mut self) {
        if self.up.frames.take_data()
            && let Some(activity) = &mut self.activity
        {
            activity.note(self.cutoff.last_moved());
        }
        let answered = [&mut self.up, &mut self.down].map(|pipe| pipe.pongs.take_answer());
        if answered.contains(&true) {
            let now = Instant::now();
            for (pipe, answered) in [&mut self.up, &mut self.down].into_iter().zip(answered) {
                if answered {
                    pipe.answered = Some(now);
                }
            }
            if let (Some(client), Some(upstream)) = (self.up.answered, self.down.answered) {
                self.cutoff.alive(client.min(upstream));
            }
        }
    }

    /// Sends a ping to each side that is between two frames.
    fn ping(&mut self) {
        let (mark, key): (Mark, [u8; 4]) = rand::random();
        let Self { up, down, .. } = self;
        if up.frames.is_closed() || down.frames.is_closed() {
            return;
        }
        // The pongs to a ping arrive in the other direction.
        if down.inject(ping(up.pongs.mark(mark))) {
            tracing::trace!("pinged the client of a WebSocket");
        }
        if up.inject(masked_ping(down.pongs.mark(mark), key)) {
            tracing::trace!("pinged the upstream of a WebSocket");
        }
    }

    /// Finishes the upstream's current frame, then sends a close frame and closes.
    async fn say_goodbye(&mut self, code: u16, reason: &str) -> io::Result<()> {
        let Self { client, upstream, down, .. } = self;
        client.write_all(down.rest()).await?;
        client.write_all(&down.pongs.give_up()).await?;
        let frames = &mut down.frames;
        let mut space = vec![0; STEP];
        while !frames.at_boundary() {
            let read = upstream.read(&mut space).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let bytes = space.get(..read).unwrap_or_default();
            let whole = frames.follow_to_boundary(bytes);
            client.write_all(bytes.get(..whole).unwrap_or_default()).await?;
        }
        if !frames.is_closed() {
            client.write_all(&close_frame(code, reason)).await?;
        }
        client.flush().await?;
        client.shutdown().await?;
        // Reads the client's last bytes: closing with unread data resets the connection, and the client's kernel drops the
        // close frame.
        while client.read(&mut space).await? > 0 {}
        Ok(())
    }
}

/// One direction of a tunnel.
#[derive(Default)]
struct Pipe {
    frames: Frames,
    /// The answers to the pings that are sent in the other direction.
    pongs: Pongs,
    /// Time of the last such answer.
    answered: Option<Instant>,
    /// Number of bytes that were passed on.
    passed: u64,
    kept: Vec<u8>,
    written: usize,
    unflushed: bool,
    eof: bool,
    done: bool,
}

impl Pipe {
    /// Bytes that were read and not written yet.
    fn rest(&self) -> &[u8] {
        self.kept.get(self.written..).unwrap_or_default()
    }

    /// Passes on the available bytes. Ready when the end was passed on too.
    fn poll_move<F, T>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut F,
        to: &mut T,
    ) -> Poll<io::Result<()>>
    where
        F: AsyncRead + Unpin,
        T: AsyncWrite + Unpin,
    {
        while !self.done {
            while !self.rest().is_empty() {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, self.rest()))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.written += written;
                self.unflushed = true;
            }
            self.kept = Vec::new();
            self.written = 0;
            if self.eof {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.done = true;
                break;
            }
            let mut space = [MaybeUninit::uninit(); STEP];
            let mut buffer = ReadBuf::uninit(&mut space);
            if Pin::new(&mut *from).poll_read(cx, &mut buffer)?.is_pending() {
                if self.unflushed {
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    self.unflushed = false;
                }
                return Poll::Pending;
            }
            let bytes = buffer.filled();
            self.eof = bytes.is_empty();
            let bytes = self.pongs.sift(&mut self.frames, bytes);
            if bytes.is_empty() {
                continue;
            }
            self.passed += bytes.len() as u64;
            let written = match Pin::new(&mut *to).poll_write(cx, &bytes)? {
                Poll::Ready(written) => written,
                Poll::Pending => 0,
            };
            self.unflushed |= written > 0;
            self.kept = match bytes {
                Cow::Owned(kept) if written == 0 => kept,
                bytes => bytes.get(written..).unwrap_or_default().to_vec(),
            };
        }
        Poll::Ready(Ok(()))
    }

    /// Puts a frame of the gateway's between two frames; `false` when that is not possible now.
    fn inject(&mut self, frame: Vec<u8>) -> bool {
        let possible = self.rest().is_empty() && self.frames.at_boundary() && !self.eof;
        if possible {
            (self.kept, self.written) = (frame, 0);
        }
        possible
    }
}

// === impl End ===

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Broken(error) => write!(f, "a connection broke: {error}"),
            Self::Cut(cut) => cut.fmt(f),
            Self::Draining => f.write_str("the gateway is shutting down"),
        }
    }
}

#[cfg(test)]
mod tests;
