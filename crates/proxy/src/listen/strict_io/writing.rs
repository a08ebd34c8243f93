//! The writing half: closes a connection whose client accepts no bytes, and lets the client read the last answer before
//! closing.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_util::io::poll_read_buf;

use super::{Mode, StrictIo};
use crate::metric;

/// Time after the last byte of an answer in which unread bytes are read and dropped, so that the client sees the answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

impl<T: AsyncRead + AsyncWrite + Unpin> StrictIo<T> {
    /// Limits the time in which a client accepts no byte of its answer.
    fn poll_stalled(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        let by = since + self.limits.write_stall;
        self.stall_deadline.poll(context, by).map(|()| {
            metric::limit_reached("write_stall");
            io::ErrorKind::TimedOut.into()
        })
    }

    fn watched<R>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if written.is_pending() {
            self.info.state.set_awaits_head(false);
            return self.poll_stalled(context).map(Err);
        }
        self.stalled_since = None;
        written
    }

    /// Whether bytes from the client may still be unread.
    fn leaves_unread(&self) -> bool {
        match self.mode {
            Mode::Strict => self.framing.in_body() || !self.buffer.is_empty(),
            Mode::Answering | Mode::Failed(_) => true,
            Mode::Paused | Mode::Transparent => false,
        }
    }
}

// === impl StrictIo ===

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for StrictIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.watched(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.watched(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.watched(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.info.state.is_handed_back() {
            return Poll::Ready(Ok(()));
        }
        if this.lingering.is_none() {
            let shut = Pin::new(&mut this.io).poll_shutdown(context);
            ready!(this.watched(context, shut))?;
            if !this.leaves_unread() {
                return Poll::Ready(Ok(()));
            }
        }
        let (by, mut dropped) = this.lingering.unwrap_or_else(|| (Instant::now() + LINGER, 0));
        this.buffer.clear();
        this.ready = 0;
        while dropped < LINGER_BYTES {
            this.lingering = Some((by, dropped));
            this.buffer.clear();
            this.buffer.reserve(4096);
            match poll_read_buf(Pin::new(&mut this.io), context, &mut this.buffer) {
                Poll::Ready(Ok(0) | Err(_)) => break,
                Poll::Ready(Ok(count)) => dropped += count,
                Poll::Pending => {
                    ready!(this.head_deadline.poll(context, by));
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
