//! Bounds the connections to all upstreams of this process, so that they leave file descriptors for everything else.
//!
//! One client connection can need many of them: each stream over HTTP/2 may need its own. The bound is the process's, as the
//! descriptors are, and stays over a reload.

use std::{
    io,
    pin::Pin,
    sync::OnceLock,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{Notify, Semaphore, SemaphorePermit},
};

use crate::metric;

static PLACES: OnceLock<Places> = OnceLock::new();
/// Notified when a connection waits for a place.
static WANTED: Notify = Notify::const_new();

struct Places {
    most: usize,
    free: Semaphore,
}

/// Bounds the connections to all upstreams. Only the first call counts; without one there is no bound.
pub fn bound_connections(most: usize) {
    let most = most.clamp(1, Semaphore::MAX_PERMITS);
    let _ = PLACES.set(Places { most, free: Semaphore::new(most) });
}

/// A connection's place under the bound, until dropped.
pub(super) struct Place {
    _permit: Option<SemaphorePermit<'static>>,
}

impl Place {
    /// Waits for a place.
    pub(super) async fn wait() -> Self {
        let Some(places) = PLACES.get() else { return Self { _permit: None } };
        if let Ok(permit) = places.free.try_acquire() {
            return Self { _permit: Some(permit) };
        }
        metric::limit_reached("upstream_connections");
        WANTED.notify_waiters();
        Self { _permit: places.free.acquire().await.ok() }
    }
}

/// Waits until a connection waits for a place. Unused ones, in the pools of every worker, must make room then.
pub(super) async fn wanted() {
    WANTED.notified().await;
}

/// Whether so few places are left that no connection may wait unused.
pub(super) fn is_scarce() -> bool {
    PLACES.get().is_some_and(|places| places.free.available_permits() < places.most / 4)
}

/// A connection with its place.
pub(super) struct Placed<T> {
    pub(super) io: T,
    pub(super) _place: Place,
}

// === impl Placed ===

impl<T: AsyncRead + Unpin> AsyncRead for Placed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, out)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Placed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
