//! HTTP/2 connections of one worker to one target: one as long as the upstream allows enough streams on it, more at its limit
//! ([RFC 9113 §5.1.2]).
//!
//! A connection counts as open once the upstream's SETTINGS have arrived: only they say how many streams it takes, and an
//! upstream that accepts and stays silent is found within the time for connecting. Callers that wait share one attempt and its
//! outcome.
//!
//! [RFC 9113 §5.1.2]: https://www.rfc-editor.org/rfc/rfc9113#section-5.1.2

use std::{
    fmt,
    future::poll_fn,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, interval, timeout_at},
};

use super::{Counted, Lease, Open, READ_AHEAD};
use crate::upstream::{
    dial::{ConnectError, Dialed, Dialer, Stream},
    upload::Upload,
};

/// Interval at which a new connection is looked at for the upstream's SETTINGS.
const LOOK: Duration = Duration::from_millis(1);
/// Most connections to one target, for each worker.
const CONNECTIONS: usize = 32;

type Running = http2::Connection<TokioIo<Box<dyn Stream>>, Upload, TokioExecutor>;
type Attempt = Shared<BoxFuture<'static, Result<Arc<Connection>, Arc<ConnectError>>>>;

/// The connections to one target.
pub(crate) struct Http2Pool {
    /// The newest last.
    connections: ArcSwap<Vec<Arc<Connection>>>,
    /// The attempt to open another one.
    attempt: Mutex<Option<Attempt>>,
    /// Notified when a stream ends.
    freed: Notify,
    open: Open,
}

/// One connection, and the number of its streams.
struct Connection {
    sender: http2::SendRequest<Upload>,
    streams: AtomicUsize,
    /// Most streams at once, as the upstream says now.
    limit: Arc<AtomicUsize>,
    peer: Option<SocketAddr>,
}

/// One stream on a connection, until dropped.
pub(crate) struct Slot {
    connection: Arc<Connection>,
    pool: Weak<Http2Pool>,
}

impl Http2Pool {
    pub(crate) fn new() -> Self {
        Self {
            connections: ArcSwap::default(),
            attempt: Mutex::default(),
            freed: Notify::new(),
            open: Open::default(),
        }
    }

    pub(crate) fn connections(&self) -> &Open {
        &self.open
    }

    /// A stream on a connection that is open; the newest connection comes first.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Lease> {
        self.connections.load().iter().rev().find_map(|connection| self.stream(connection, true))
    }

    /// A stream; on a new connection if none has room, or if `fresh`, because a connection has just refused one.
    pub(crate) async fn lease(
        self: &Arc<Self>,
        dialer: &Arc<Dialer>,
        within: Duration,
        fresh: bool,
    ) -> Result<Lease, ConnectError> {
        let deadline = Instant::now() + within;
        let mut fresh = fresh;
        loop {
            if !fresh && let Some(lease) = self.take() {
                return Ok(lease);
            }
            let outcome = match self.attempt(dialer, within) {
                Some(attempt) => timeout_at(deadline, async {
                    tokio::select! {
                        biased;
                        outcome = attempt => Some(outcome),
                        () = self.freed.notified() => None,
                    }
                }),
                None => {
                    // At the most connections: only the end of a stream makes room.
                    let freed = timeout_at(deadline, self.freed.notified()).await;
                    freed.map_err(|_| ConnectError::NoStream { after: within })?;
                    continue;
                }
            };
            match outcome.await {
                Ok(Some(Ok(connection))) => {
                    if let Some(lease) = self.stream(&connection, false) {
                        return Ok(lease);
                    }
                    fresh = false;
                }
                Ok(Some(Err(error))) => return Err(ConnectError::Shared(error)),
                Ok(None) => {}
                Err(_) => return Err(ConnectError::TimedOut { after: within }),
            }
        }
    }

    fn stream(self: &Arc<Self>, connection: &Arc<Connection>, reused: bool) -> Option<Lease> {
        let sender = &connection.sender;
        if !sender.is_ready() {
            return None;
        }
        let most = connection.limit.load(Ordering::Acquire);
        let more = |streams: usize| (streams < most).then_some(streams + 1);
        connection.streams.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        let slot = Slot { connection: Arc::clone(connection), pool: Arc::downgrade(self) };
        Some(Lease::Http2 { sender: sender.clone(), _slot: slot, reused })
    }

    /// The attempt in progress, or a new one; `None` at the most connections. It runs in its own task: a caller that goes away
    /// ends it for none of the others.
    fn attempt(self: &Arc<Self>, dialer: &Arc<Dialer>, within: Duration) -> Option<Attempt> {
        let mut current = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(attempt) = &*current {
            return Some(attempt.clone());
        }
        self.connections.rcu(without_closed);
        if self.connections.load().len() >= CONNECTIONS {
            return None;
        }
        let (pool, dialer) = (Arc::clone(self), Arc::clone(dialer));
        let task = tokio::spawn(async move {
            let outcome = connect(&dialer, &pool.open, within).await.map_err(Arc::new);
            if let Ok(connection) = &outcome {
                pool.connections.rcu(|all| {
                    let mut all = without_closed(all);
                    all.push(Arc::clone(connection));
                    all
                });
            }
            *pool.attempt.lock().unwrap_or_else(PoisonError::into_inner) = None;
            outcome
        });
        let cancelled = move |_| Arc::new(ConnectError::TimedOut { after: within });
        let attempt = task.map(move |joined| joined.map_err(cancelled)?).boxed().shared();
        *current = Some(attempt.clone());
        Some(attempt)
    }

    /// Takes no further stream on connections to addresses for which `keep` is false; they close when their last stream ends.
    pub(in crate::upstream) fn drain_except(&self, keep: impl Fn(SocketAddr) -> bool) {
        if self.connections.load().iter().all(|one| one.peer.is_none_or(&keep)) {
            return;
        }
        self.connections.rcu(|all| {
            let kept = all.iter().filter(|one| one.peer.is_none_or(&keep));
            kept.cloned().collect::<Vec<_>>()
        });
    }

    /// Called when a connection has no stream any more: of those, only one stays open.
    fn trim(&self, idle: &Arc<Connection>) {
        let waits = |other: &Arc<Connection>| other.streams.load(Ordering::Acquire) == 0;
        self.connections.rcu(|all| {
            let another = all.iter().any(|other| !Arc::ptr_eq(other, idle) && waits(other));
            let mut left = Vec::clone(all);
            left.retain(|other| !(another && Arc::ptr_eq(other, idle) && waits(other)));
            left
        });
    }
}

fn without_closed(all: &Arc<Vec<Arc<Connection>>>) -> Vec<Arc<Connection>> {
    all.iter().filter(|connection| !connection.sender.is_closed()).cloned().collect()
}

async fn connect(
    dialer: &Dialer,
    open: &Open,
    within: Duration,
) -> Result<Arc<Connection>, ConnectError> {
    let deadline = Instant::now() + within;
    let Dialed { io, peer } = dialer.dial(within).await?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_max_send_streams(0)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .max_header_list_size(u32::try_from(READ_AHEAD).unwrap_or(u32::MAX))
        .max_send_buf_size(READ_AHEAD)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .handshake::<_, Upload>(TokioIo::new(io))
        .await
        .map_err(|source| ConnectError::Http { source })?;
    let counted = open.one();
    let limit = Arc::new(AtomicUsize::new(0));
    let (settled, settings) = oneshot::channel();
    let running = tokio::spawn(run(connection, Arc::clone(&limit), settled, counted));
    match timeout_at(deadline, settings).await {
        Ok(Ok(())) => {}
        Ok(Err(_closed)) => return Err(ConnectError::NoSettings { after: None }),
        Err(_late) => {
            running.abort();
            return Err(ConnectError::NoSettings { after: Some(within) });
        }
    }
    Ok(Arc::new(Connection { sender, streams: AtomicUsize::new(0), limit, peer }))
}

/// Runs a connection to its end, and publishes the number of streams that the upstream allows.
async fn run(
    connection: Running,
    limit: Arc<AtomicUsize>,
    settled: oneshot::Sender<()>,
    counted: Counted,
) {
    let mut connection = Box::pin(connection);
    let mut settled = Some(settled);
    // hyper drives the connection in a task of its own, so that nothing wakes this one when the SETTINGS arrive.
    let mut look = interval(LOOK);
    let ended = poll_fn(|context| {
        while settled.is_some() && look.poll_tick(context).is_ready() {}
        let polled = connection.as_mut().poll(context);
        let most = connection.current_max_send_streams();
        limit.store(most, Ordering::Release);
        if most > 0
            && let Some(settled) = settled.take()
        {
            // The caller may have given up.
            let _ = settled.send(());
        }
        polled
    });
    if let Err(error) = ended.await {
        tracing::trace!(%error, "upstream connection ended");
    }
    drop(counted);
}

// === impl Slot ===

impl Drop for Slot {
    fn drop(&mut self) {
        let before = self.connection.streams.fetch_sub(1, Ordering::AcqRel);
        let Some(pool) = self.pool.upgrade() else { return };
        pool.freed.notify_one();
        if before == 1 && pool.connections.load().len() > 1 {
            pool.trim(&self.connection);
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}
