//! Binds sockets and accepts connections, without a busy loop on errors.
//!
//! The number of connections is limited (`places`). When accepting fails for lack of file descriptors or memory, the loop pauses
//! and logs that once in ten seconds.

use std::{
    io,
    net::SocketAddr,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::OwnedSemaphorePermit,
};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::{
    Drain, ListenAddr,
    places::{Places, Seat},
    rarely::Rarely,
};
use crate::metric;
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
    Unix { listener: UnixListener, _file: SocketFile },
}

/// An accepted connection.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Guard of a connection for its whole life, including a tunnel: its place under the limit, and its count in the drain.
#[derive(Debug)]
pub(super) struct Held {
    _place: OwnedSemaphorePermit,
    _seat: Seat,
    _tracked: TaskTrackerToken,
}

impl Held {
    fn new(place: OwnedSemaphorePermit, seat: Seat, tracker: &TaskTracker) -> Self {
        metric::connections(1.0);
        Self { _place: place, _seat: seat, _tracked: tracker.token() }
    }
}

impl Socket {
    pub(super) async fn bind(address: &ListenAddr) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Bind { address: address.clone(), source };
        match address {
            ListenAddr::Tcp(tcp) => {
                let listener = TcpListener::bind(tcp).await.map_err(failed)?;
                let bound: SocketAddr = listener.local_addr().map_err(failed)?;
                Ok(Self { address: ListenAddr::Tcp(bound), bound: Bound::Tcp(listener) })
            }
            ListenAddr::Unix(path) => {
                remove_dead_socket(path).await;
                let listener = UnixListener::bind(path).map_err(failed)?;
                let bound = Bound::Unix { listener, _file: SocketFile(path.clone()) };
                Ok(Self { address: address.clone(), bound })
            }
        }
    }

    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.bound {
            Bound::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), Peer::Tcp(peer)))
            }
            Bound::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), Peer::Unix))
            }
        }
    }

    /// Accepts until the drain begins.
    pub(super) async fn accept_until(
        self,
        drain: Drain,
        places: Arc<Places>,
        tracker: TaskTracker,
        mut handle: impl FnMut(Stream, Peer, Held),
    ) {
        let accepting = async move {
            let mut complaints = Rarely::default();
            while let Some(place) = places.free().await {
                match self.accept().await {
                    Ok((stream, peer)) => {
                        if let Some(seat) = places.seat(peer) {
                            handle(stream, peer, Held::new(place, seat, &tracker));
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
            () = drain.begun() => {}
            () = accepting => {}
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

/// Removes the socket file that a killed process left. A file whose socket is still in use stays, and binding reports the
/// error.
async fn remove_dead_socket(path: &Path) {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if !is_socket {
        return;
    }
    if let Err(error) = UnixStream::connect(path).await
        && error.kind() == io::ErrorKind::ConnectionRefused
    {
        let _ = std::fs::remove_file(path);
    }
}

/// The file of a unix socket, removed when listening ends.
#[derive(Debug)]
struct SocketFile(PathBuf);

// === impl SocketFile ===

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

// === impl Held ===

impl Drop for Held {
    fn drop(&mut self) {
        metric::connections(-1.0);
    }
}
