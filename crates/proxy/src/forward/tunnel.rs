//! Joins the two connections of an open WebSocket.
//!
//! Bytes are passed on as they arrive. Bytes that one side does not accept yet are kept, at most [`STEP`] for each direction;
//! an idle tunnel keeps nothing. A tunnel ends with its session, its token, its idle time or the gateway's shutdown. The client
//! then gets the reason in a close frame between two frames of the upstream ([RFC 6455 §7.4.1]).
//!
//! [RFC 6455 §7.4.1]: https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1

use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    mem::MaybeUninit,
    pin::{Pin, pin},
    sync::Arc,
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
};
use web_sessions::{LiveSession, Sessions};

/// Most bytes that are read at once, and so the most that are kept.
const STEP: usize = 8 * 1024;
/// Longest life of a half-closed tunnel.
const LINGER: Duration = Duration::from_secs(10);
/// Time limit for the close frame.
const GOODBYE: Duration = Duration::from_secs(3);
/// Interval at which activity is noted.
const ACTIVE: Duration = Duration::from_secs(60);

/// A client and an upstream, joined.
pub(super) struct Tunnel<C, U> {
    client: C,
    upstream: U,
    up: Pipe,
    down: Pipe,
    /// Follows the upstream's frames.
    frames: Frames,
    cutoff: Cutoff,
    linger: Option<Pin<Box<Sleep>>>,
    activity: Option<(Arc<LiveSession>, Arc<Sessions>)>,
    noted: Option<Instant>,
}

/// Reason a tunnel ended.
#[derive(Debug)]
pub(super) enum End {
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
    /// Whether the gateway ended it.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self, Self::Cut(_))
    }

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
            Self::Draining => Some((GOING_AWAY, "shutting down")),
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
            frames: Frames::default(),
            cutoff,
            linger: None,
            activity: None,
            noted: None,
        }
    }

    /// Notes what the client sends as activity of this session.
    pub(super) fn with_activity(
        mut self,
        activity: Option<(Arc<LiveSession>, Arc<Sessions>)>,
    ) -> Self {
        self.activity = activity;
        self
    }

    /// Passes bytes on until the tunnel ends, by itself or because `drained` resolves.
    pub(super) async fn run(mut self, drained: impl Future<Output = ()>) -> End {
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
        end
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let Self { client, upstream, up, down, frames, cutoff, .. } = self;
        let mut moved = 0;
        let sent = up.poll_move(cx, client, upstream, |bytes| moved += bytes.len());
        let active = moved > 0;
        let received = down.poll_move(cx, upstream, client, |bytes| {
            moved += bytes.len();
            frames.follow(bytes);
        });
        if moved > 0
            && let Some(cut) = cutoff.moved(cx)
        {
            return Poll::Ready(End::Cut(cut));
        }
        if active {
            self.note_activity();
        }
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
        self.cutoff.poll_cut(cx).map(End::Cut)
    }

    fn note_activity(&mut self) {
        let Some((live, sessions)) = &self.activity else { return };
        let now = Instant::now();
        if self.noted.is_none_or(|noted| now.duration_since(noted) >= ACTIVE) {
            self.noted = Some(now);
            sessions.seen(live);
        }
    }

    /// Finishes the upstream's current frame, then sends a close frame and closes.
    async fn say_goodbye(&mut self, code: u16, reason: &str) -> io::Result<()> {
        let Self { client, upstream, down, frames, .. } = self;
        client.write_all(down.rest()).await?;
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
        mut seen: impl FnMut(&[u8]),
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
            seen(bytes);
            let written = match Pin::new(&mut *to).poll_write(cx, bytes)? {
                Poll::Ready(written) => written,
                Poll::Pending => 0,
            };
            self.unflushed |= written > 0;
            self.kept = bytes.get(written..).unwrap_or_default().to_vec();
        }
        Poll::Ready(Ok(()))
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
