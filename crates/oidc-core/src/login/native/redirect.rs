//! The address a browser comes back to (RFC 8252 §7.3): bound before the login begins, so that no
//! other program can take it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;
use tokio::net::TcpListener;
use url::{Host, Url};

use super::browser::Visitors;
use crate::foreign_text::quoted;
use crate::login::LoginRequest;

/// Number of free ports tried when one is taken on the other address family.
const ATTEMPTS: usize = 8;

/// A redirect URI on this machine, already listened on.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use oidc_core::login::LoopbackRedirect;
/// let redirect = LoopbackRedirect::bind().await?;
/// assert!(redirect.uri().as_str().starts_with("http://127.0.0.1:"));
/// assert_eq!(redirect.uri().path(), "/callback");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct LoopbackRedirect {
    uri: Url,
    listeners: Vec<TcpListener>,
}

/// Reason a redirect URI cannot be listened on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoopbackRedirectError {
    /// Not an address of this machine that a browser may come back to.
    #[error(
        "{uri} cannot be a loopback redirect URI: {reason}; use one like http://127.0.0.1:8765/callback"
    )]
    NotLoopback {
        /// The URI given, cut and escaped.
        uri: String,
        /// The problem with it.
        reason: &'static str,
    },
    /// The port is taken, or the address does not exist.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
}

impl LoopbackRedirect {
    /// `http://127.0.0.1:{port}/callback` with a free port. The provider must allow any port,
    /// as §7.3 requires; if it does not, use [`LoopbackRedirect::bind_to`].
    ///
    /// # Errors
    /// [`LoopbackRedirectError::Listen`]
    pub async fn bind() -> Result<Self, LoopbackRedirectError> {
        let (port, listeners) = listen(&[Ipv4Addr::LOCALHOST.into()], 0).await?;
        let text = format!("http://127.0.0.1:{port}/callback");
        let uri = Url::parse(&text).map_err(|_| not_loopback(&text, "it is not a URL"))?;
        Ok(Self { uri, listeners })
    }

    /// The redirect URI as registered: `http` on `127.0.0.1`, `[::1]` or, against the advice
    /// of §8.3, `localhost`, which is listened on at both. Without a port, or with 80, any free
    /// port is used.
    ///
    /// # Errors
    /// [`LoopbackRedirectError`]
    pub async fn bind_to(registered: &Url) -> Result<Self, LoopbackRedirectError> {
        let refused = |reason| not_loopback(registered.as_str(), reason);
        if registered.scheme() != "http" {
            return Err(refused("its scheme is not http"));
        }
        if !registered.username().is_empty() || registered.password().is_some() {
            return Err(refused("it holds a user name or password"));
        }
        if registered.query().is_some() || registered.fragment().is_some() {
            return Err(refused("it has a query or a fragment"));
        }
        let addresses: &[IpAddr] = match registered.host() {
            Some(Host::Ipv4(address)) if address.is_loopback() => &[address.into()],
            Some(Host::Ipv6(Ipv6Addr::LOCALHOST)) => &[Ipv6Addr::LOCALHOST.into()],
            Some(Host::Domain("localhost")) => {
                &[Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            }
            _ => return Err(refused("its host is not this machine")),
        };
        let (port, listeners) = listen(addresses, registered.port().unwrap_or(0)).await?;
        let mut uri = registered.clone();
        uri.set_port(Some(port)).map_err(|()| refused("it takes no port"))?;
        Ok(Self { uri, listeners })
    }

    /// The redirect URI, port included.
    pub fn uri(&self) -> &Url {
        &self.uri
    }

    /// A login that comes back here, with scope `openid`.
    pub fn request(&self) -> LoginRequest {
        LoginRequest::new(self.uri.clone())
    }

    pub(super) fn listen(self) -> Visitors {
        Visitors::receive(self.listeners, &self.uri)
    }
}

/// Listens on the same port of every address; on a second family only if the machine has it.
async fn listen(
    addresses: &[IpAddr],
    port: u16,
) -> Result<(u16, Vec<TcpListener>), LoopbackRedirectError> {
    let mut attempt = 1;
    loop {
        match listen_once(addresses, port).await {
            Err(LoopbackRedirectError::Listen { source, .. })
                if port == 0 && attempt < ATTEMPTS && source.kind() == io::ErrorKind::AddrInUse =>
            {
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

async fn listen_once(
    addresses: &[IpAddr],
    mut port: u16,
) -> Result<(u16, Vec<TcpListener>), LoopbackRedirectError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let address = SocketAddr::new(*address, port);
        let failed = |source| LoopbackRedirectError::Listen { address, source };
        match TcpListener::bind(address).await {
            Ok(listener) => {
                port = listener.local_addr().map_err(failed)?.port();
                listeners.push(listener);
            }
            // On a machine without IPv6 no answer can arrive over IPv6 either.
            Err(error) if !listeners.is_empty() && error.kind() != io::ErrorKind::AddrInUse => {
                tracing::debug!(%address, %error, "not listened on");
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok((port, listeners))
}

fn not_loopback(uri: &str, reason: &'static str) -> LoopbackRedirectError {
    LoopbackRedirectError::NotLoopback { uri: quoted(uri), reason }
}
