//! Pools the connections of one worker to one target that wait for the next exchange.
//!
//! HTTP/1.1: the most recently used connection is taken first, so that the others expire in a quiet time. A connection returns to
//! the pool only when its response was read to the end. HTTP/2: exchanges share connections.

mod http2;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2::SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

pub(crate) use self::http2::Http2Pool;
use self::http2::Slot;

use super::{
    bound::{is_scarce, wanted},
    dial::{ConnectError, Dialed},
    name::Name,
    upload::Upload,
};

/// Longest time a connection waits unused.
const IDLE: Duration = Duration::from_secs(90);
/// Most connections that wait, for each target and worker; enough for every load that one core serves.
const WAITING: usize = 4096;
/// The largest head of a response, and the most of a body that is read ahead, in bytes.
pub(super) const READ_AHEAD: usize = 64 * 1024;

/// A connection that an exchange uses now.
pub(crate) enum Lease {
    /// HTTP/1.1: used by this exchange alone.
    Http1 {
        sender: http1::SendRequest<Upload>,
        home: Arc<Http1Pool>,
        peer: Option<SocketAddr>,
        /// whether it served another exchange before: the other end may have closed it since
        reused: bool,
    },
    /// HTTP/2: shared.
    Http2 { sender: SendRequest<Upload>, _slot: Slot, reused: bool },
}

impl Lease {
    /// Whether the connection was already open.
    pub(crate) fn is_reused(&self) -> bool {
        match self {
            Self::Http1 { reused, .. } | Self::Http2 { reused, .. } => *reused,
        }
    }

    /// Sends a request. The error returns the request if no byte of it was written.
    pub(crate) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Upload>>> {
        match self {
            Self::Http1 { sender, .. } => sender.try_send_request(request).await,
            Self::Http2 { sender, .. } => sender.try_send_request(request).await,
        }
    }

    /// Ends the exchange, finished or not. hyper closes the connection if the response was not read to the end.
    pub(crate) fn give_back(self) {
        let Self::Http1 { mut sender, home, peer, .. } = self else { return };
        if sender.is_ready() {
            home.put(sender, peer);
        } else if !sender.is_closed()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                if sender.ready().await.is_ok() {
                    home.put(sender, peer);
                }
            });
        }
    }
}

/// Waiting HTTP/1.1 connections.
#[derive(Default)]
pub(crate) struct Http1Pool {
    waiting: Mutex<VecDeque<Waiting>>,
    swept: AtomicBool,
    open: Open,
    name: Option<Arc<Name>>,
}

/// Counts the connections of one pool; clones share the count.
#[derive(Clone, Default)]
pub(crate) struct Open(Arc<AtomicUsize>);

/// One open connection, until dropped.
struct Counted(Open);

impl Open {
    /// Number of open connections.
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn one(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Waiting {
    sender: http1::SendRequest<Upload>,
    since: Instant,
    peer: Option<SocketAddr>,
}

impl Http1Pool {
    /// A pool of connections to the addresses of this name, or to one address.
    pub(crate) fn new(name: Option<Arc<Name>>) -> Self {
        Self { name, ..Self::default() }
    }

    /// The most recently used connection that is still open.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Lease> {
        let now = Instant::now();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(Waiting { sender, since, peer }) = waiting.pop_back() {
            if sender.is_ready() && now.duration_since(since) < IDLE {
                return Some(Lease::Http1 { sender, home: Arc::clone(self), peer, reused: true });
            }
        }
        None
    }

    pub(crate) fn connections(&self) -> &Open {
        &self.open
    }

    /// Starts HTTP on a connection.
    pub(crate) async fn open(self: &Arc<Self>, dialed: Dialed) -> Result<Lease, ConnectError> {
        let Dialed { io, peer } = dialed;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(READ_AHEAD)
            .handshake::<_, Upload>(TokioIo::new(io))
            .await
            .map_err(|source| ConnectError::Http { source })?;
        let counted = self.open.one();
        tokio::spawn(async move {
            let _counted = counted;
            // The exchange that uses the connection reports its end.
            if let Err(error) = connection.with_upgrades().await {
                tracing::trace!(%error, "upstream connection ended");
            }
        });
        Ok(Lease::Http1 { sender, home: Arc::clone(self), peer, reused: false })
    }

    /// Drops waiting connections to addresses for which `keep` is false.
    pub(super) fn drain_except(&self, keep: impl Fn(SocketAddr) -> bool) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|one| one.peer.is_none_or(&keep));
    }

    fn put(self: &Arc<Self>, sender: http1::SendRequest<Upload>, peer: Option<SocketAddr>) {
        let gone = |(name, peer): (&Arc<Name>, SocketAddr)| !name.has(peer);
        if is_scarce() || self.name.as_ref().zip(peer).is_some_and(gone) {
            return;
        }
        let now = Instant::now();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= WAITING {
                waiting.pop_front();
            }
            waiting.push_back(Waiting { sender, since: now, peer });
        }
        if !self.swept.swap(true, Ordering::Relaxed) {
            let pool = Arc::downgrade(self);
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(sweep(pool))),
                Err(_) => self.swept.store(false, Ordering::Relaxed),
            }
        }
    }

    /// Drops connections that wait too long or were closed; all of them when others need their place. Returns whether any is left.
    fn discard_old(&self) -> bool {
        let now = Instant::now();
        let scarce = is_scarce();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting
            .retain(|one| !scarce && one.sender.is_ready() && now.duration_since(one.since) < IDLE);
        if waiting.is_empty() {
            waiting.shrink_to_fit();
            self.swept.store(false, Ordering::Relaxed);
        }
        !waiting.is_empty()
    }
}

/// Runs while connections wait; ends when none is left or the pool is dropped.
async fn sweep(pool: Weak<Http1Pool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(IDLE / 6) => {}
            () = wanted() => {}
        }
        match pool.upgrade() {
            Some(pool) if pool.discard_old() => {}
            _ => return,
        }
    }
}
