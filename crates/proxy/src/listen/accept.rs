//! Binds sockets and accepts connections for the workers, without a busy loop on errors.
//!
//! The number of connections is limited (`places`). When accepting fails for lack of file descriptors or memory, the loop pauses
//! and logs that once in ten seconds.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    runtime::Handle,
    sync::OwnedSemaphorePermit,
};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::{
    Drain, Inherited, ListenAddr,
    places::{Places, Seat},
    rarely::Rarely,
    unix_file::{SocketFile, bind_unix, remove_dead_socket},
};
use crate::{
    metric,
    workers::{Assigned, Workers},
};
use http_canonical::Peer;

const PAUSE: Duration = Duration::from_millis(100);

/// Reasons the gateway cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// the address
        address: ListenAddr,
        /// the cause
        source: io::Error,
    },
    /// No address was given.
    #[error("missing address to listen on")]
    NoAddress,
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] super::CertificateError),
}

/// A bound socket. Dropping it removes the file of a unix socket.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) address: ListenAddr,
    bound: Bound,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix { listener: UnixListener, file: Option<SocketFile> },
}

/// An accepted connection.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Guard of a connection for its whole life, including a tunnel: its place under the limit, its count in the drain, its worker.
#[derive(Debug)]
pub(super) struct Held {
    _place: OwnedSemaphorePermit,
    seat: Seat,
    _tracked: TaskTrackerToken,
    assigned: Assigned,
}

impl Held {
    fn new(
        place: OwnedSemaphorePermit,
        seat: Seat,
        tracker: &TaskTracker,
        assigned: Assigned,
    ) -> Self {
        metric::connections(1.0);
        Self { _place: place, seat, _tracked: tracker.token(), assigned }
    }

    /// Gives back the place of the peer for that of the client that the peer tells.
    pub(super) fn sit(&mut self, seat: Seat) {
        self.seat = seat;
    }

    /// The runtime that serves the connection.
    pub(super) fn runtime(&self) -> Handle {
        self.assigned.runtime()
    }
}

impl Socket {
    /// Binds an address, or takes the socket that another process bound to it. A unix socket may get permissions.
    pub(super) async fn bind(
        address: &ListenAddr,
        mode: Option<u32>,
        inherited: &mut Inherited,
    ) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Bind { address: address.clone(), source };
        match address {
            ListenAddr::Tcp(tcp) => {
                let listener = match inherited.take_tcp(*tcp) {
                    Some(taken) => TcpListener::from_std(taken).map_err(failed)?,
                    None => TcpListener::bind(tcp).await.map_err(failed)?,
                };
                let bound: SocketAddr = listener.local_addr().map_err(failed)?;
                Ok(Self { address: ListenAddr::Tcp(bound), bound: Bound::Tcp(listener) })
            }
            ListenAddr::Unix(path) => {
                let (listener, own) = match inherited.take_unix(path) {
                    Some((taken, own)) => (UnixListener::from_std(taken).map_err(failed)?, own),
                    None => {
                        remove_dead_socket(path).await;
                        (bind_unix(path, mode).map_err(failed)?, true)
                    }
                };
                let file = own.then(|| SocketFile::new(path));
                let bound = Bound::Unix { listener, file };
                Ok(Self { address: address.clone(), bound })
            }
        }
    }

    /// Another descriptor of the same socket.
    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        match &self.bound {
            Bound::Tcp(listener) => listener.as_fd().try_clone_to_owned(),
            Bound::Unix { listener, .. } => listener.as_fd().try_clone_to_owned(),
        }
    }

    /// Closes the socket, whose file belongs to another process now.
    fn leave_file(&mut self) {
        if let Bound::Unix { file, .. } = &mut self.bound
            && let Some(file) = file.take()
        {
            file.leave();
        }
    }

    /// Waits for the next connection, and chooses its worker.
    async fn accept(&self, workers: &Workers) -> io::Result<(Stream, Peer, Assigned)> {
        let accepted = poll_fn(|context| {
            let assigned = workers.assign();
            let runtime = assigned.runtime();
            // The runtime that is entered watches a connection that is accepted now.
            let _entered = runtime.enter();
            let accepted = ready!(self.poll_accept(context));
            Poll::Ready(accepted.map(|(stream, peer)| (stream, peer, assigned)))
        });
        accepted.await
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        Poll::Ready(match &self.bound {
            Bound::Tcp(listener) => ready!(listener.poll_accept(context)).and_then(|accepted| {
                let (stream, peer) = accepted;
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), Peer::Tcp(peer)))
            }),
            Bound::Unix { listener, .. } => ready!(listener.poll_accept(context))
                .map(|(stream, _)| (Stream::Unix(stream), Peer::Unix)),
        })
    }

    /// Accepts until the drain ends that.
    pub(super) async fn accept_until(
        mut self,
        drain: Drain,
        places: Arc<Places>,
        tracker: TaskTracker,
        workers: Workers,
        mut handle: impl FnMut(Stream, Peer, Held),
    ) {
        let accepting = async {
            let mut complaints = Rarely::default();
            while let Some(place) = places.free().await {
                match self.accept(&workers).await {
                    Ok((stream, peer, assigned)) => {
                        if let Some(seat) = places.seat(peer) {
                            handle(stream, peer, Held::new(place, seat, &tracker, assigned));
                        }
                    }
                    Err(error) if is_the_clients(&error) => {}
                    Err(error) => {
                        complain(&mut complaints, &self.address, &error);
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = drain.accepting_over() => {}
            () = accepting => {}
        }
        if drain.is_replaced() {
            return self.leave_file();
        }
        // The kernel has made these connections already, and would reset them with the socket.
        while let Some(place) = places.free_now()
            && let Some(Ok((stream, peer, assigned))) = self.accept(&workers).now_or_never()
        {
            if let Some(seat) = places.seat(peer) {
                handle(stream, peer, Held::new(place, seat, &tracker, assigned));
            }
        }
    }
}

/// Whether the connection failed before it was accepted; the error is then ignored.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | NotConnected | InvalidInput
    )
}

/// Counts a failure, and logs one in ten seconds.
fn complain(complaints: &mut Rarely, address: &ListenAddr, error: &io::Error) {
    metric::accept_failed();
    if let Some(unreported) = complaints.due() {
        tracing::error!(%address, %error, unreported, "cannot accept connections; retrying");
    }
}

// === impl Held ===

impl Drop for Held {
    fn drop(&mut self) {
        metric::connections(-1.0);
    }
}
