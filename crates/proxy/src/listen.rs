//! Stage 1, listen: accept, TLS, strict framing, what every request gets, drain.

mod conn;
pub mod framing;
mod violation;

pub use axum::body::Body;
pub use conn::{ConnInfo, Peer, Scheme, UpgradeAsked};
pub use violation::{Reason, Violation};

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

/// Where the gateway listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddr {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// A text that is neither `ADDRESS:PORT` nor `unix:/PATH`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no address to listen at: write `127.0.0.1:8080`, `[::]:8080` or `unix:/run/doorward.sock`"
)]
pub struct ListenAddrError(String);

// === impl ListenAddr ===

impl FromStr for ListenAddr {
    type Err = ListenAddrError;

    fn from_str(text: &str) -> Result<Self, ListenAddrError> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(PathBuf::from(path))),
            Some(_) => Err(ListenAddrError(text.to_owned())),
            None => text.parse().map(Self::Tcp).map_err(|_| ListenAddrError(text.to_owned())),
        }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
