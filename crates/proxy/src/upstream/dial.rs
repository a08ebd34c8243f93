//! Opens connections to one upstream: name, TCP or Unix socket, TLS.
//!
//! Names are resolved for every connection, so that a changed address is used without a restart; when the resolver fails, the
//! address that worked last is used.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwapOption;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{
    bound::{Place, Placed},
    failure::refused_by_tls,
    race,
    tls::{TlsError, UpstreamTls},
};
use crate::config::{UpstreamAddress, UpstreamProtocol, UpstreamUrl};

/// An open connection, over TCP, a Unix socket or TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Reason a connection to an upstream was not made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name cannot be resolved, and was never resolved since the start.
    #[error("{host} cannot be resolved: {source}")]
    Resolve {
        /// the name
        host: String,
        /// the resolver's error
        #[source]
        source: io::Error,
    },
    /// The connection was refused: no process listens there.
    #[error("connection refused")]
    Refused,
    /// There is no such socket file.
    #[error("no socket at {}", path.display())]
    NoSocket {
        /// the path
        path: PathBuf,
    },
    /// It took too long, TLS included.
    #[error("no connection within {}", humantime::format_duration(*after))]
    TimedOut {
        /// the route's limit
        after: Duration,
    },
    /// All connections that the limit on open files leaves for upstreams are in use, and none ended in time.
    #[error(
        "no connection is free within {}: the limit on open files is reached", humantime::format_duration(*after)
    )]
    NoDescriptor {
        /// the route's limit
        after: Duration,
    },
    /// Another error of the network.
    #[error("cannot connect: {source}")]
    Network {
        /// the error
        #[source]
        source: io::Error,
    },
    /// The upstream's certificate is not trusted.
    #[error("TLS: the certificate is not trusted: {}", untrusted(source))]
    Certificate {
        /// the error from rustls
        #[source]
        source: rustls::Error,
    },
    /// The upstream does not accept the gateway without a certificate, or not with this one.
    #[error("{reason}")]
    ClientCertificate {
        /// the reason and the remedy
        reason: String,
    },
    /// TLS failed in another way; often the port serves plain HTTP.
    #[error("TLS handshake failed: {source}")]
    Tls {
        /// the error from rustls or the network
        #[source]
        source: io::Error,
    },
    /// An `h2:` upstream that does not agree to HTTP/2.
    #[error("unsupported HTTP/2: the upstream does not offer it by ALPN; use `https:`")]
    NotHttp2,
    /// An HTTP/2 upstream that accepts the connection and sends no SETTINGS, or allows no stream.
    #[error("no HTTP/2: the upstream {}", settings(*after))]
    NoSettings {
        /// the route's limit; `None` when the upstream closed the connection
        after: Option<Duration>,
    },
    /// Every HTTP/2 connection is at the upstream's limit of streams, and none ended in time.
    #[error("no free HTTP/2 stream within {}", humantime::format_duration(*after))]
    NoStream {
        /// the route's limit
        after: Duration,
    },
    /// The outcome of one attempt, for each caller that waited for it.
    #[error(transparent)]
    Shared(Arc<ConnectError>),
    /// The connection is open, but HTTP cannot start.
    #[error("HTTP handshake failed: {source}")]
    Http {
        /// the error from hyper
        #[source]
        source: hyper::Error,
    },
}

/// Reason an upstream cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum InvalidUpstream {
    /// There is no target.
    #[error("missing target: an upstream needs at least one")]
    NoTarget,
    /// The target uses TLS, and the certificate authorities cannot be used.
    #[error("{target}: {source}")]
    Tls {
        /// the target
        target: String,
        /// the cause
        #[source]
        source: TlsError,
    },
    /// A host that no certificate can name.
    #[error("invalid target {target}: no certificate can name `{host}`")]
    ServerName {
        /// the target
        target: String,
        /// its host
        host: String,
    },
}

/// Opens connections to one target.
pub(crate) struct Dialer {
    address: UpstreamAddress,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    http2: bool,
    last_good: ArcSwapOption<SocketAddr>,
}

impl Dialer {
    pub(crate) fn new(url: &UpstreamUrl, tls: &UpstreamTls) -> Result<Self, InvalidUpstream> {
        let http2 = matches!(url.protocol(), UpstreamProtocol::H2 | UpstreamProtocol::H2c);
        let tls = match url.address() {
            UpstreamAddress::Tcp { host, .. } if url.is_tls() => {
                let name = match tls.server_name() {
                    Some(name) => name.clone(),
                    None => ServerName::try_from(host.clone()).map_err(|_| {
                        InvalidUpstream::ServerName { target: url.to_string(), host: host.clone() }
                    })?,
                };
                let protocol: &[u8] = if http2 { b"h2" } else { b"http/1.1" };
                let config = tls
                    .speaking(protocol)
                    .map_err(|source| InvalidUpstream::Tls { target: url.to_string(), source })?;
                Some((TlsConnector::from(config), name))
            }
            _ => None,
        };
        Ok(Self { address: url.address().clone(), tls, http2, last_good: ArcSwapOption::empty() })
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.http2
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Opens one connection, TLS included.
    pub(crate) async fn dial(&self, within: Duration) -> Result<Box<dyn Stream>, ConnectError> {
        let deadline = Instant::now() + within;
        let place = timeout_at(deadline, Place::wait())
            .await
            .map_err(|_| ConnectError::NoDescriptor { after: within })?;
        timeout_at(deadline, self.open(place))
            .await
            .unwrap_or(Err(ConnectError::TimedOut { after: within }))
    }

    async fn open(&self, place: Place) -> Result<Box<dyn Stream>, ConnectError> {
        let (host, port) = match &self.address {
            UpstreamAddress::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(|source| {
                    if source.kind() == io::ErrorKind::NotFound {
                        ConnectError::NoSocket { path: path.clone() }
                    } else {
                        network(source)
                    }
                })?;
                return Ok(Box::new(Placed { io: stream, _place: place }));
            }
            UpstreamAddress::Tcp { host, port } => (host, *port),
        };
        let addresses = self.resolve(host, port).await?;
        let tcp = race::first(addresses, TcpStream::connect).await.map_err(network)?;
        tcp.set_nodelay(true).map_err(network)?;
        if let Ok(peer) = tcp.peer_addr() {
            self.last_good.store(Some(Arc::new(peer)));
        }
        let Some((connector, name)) = &self.tls else {
            return Ok(Box::new(Placed { io: tcp, _place: place }));
        };
        let tls = connector.connect(name.clone(), tcp).await.map_err(tls_failure)?;
        if self.http2 && tls.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(ConnectError::NotHttp2);
        }
        Ok(Box::new(Placed { io: tls, _place: place }))
    }

    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let found = match tokio::net::lookup_host((host, port)).await {
            Ok(found) => Ok(found.collect::<Vec<_>>()),
            Err(source) => Err(source),
        };
        match (found, self.last_good.load_full()) {
            (Ok(found), _) if !found.is_empty() => Ok(found),
            (_, Some(last)) => Ok(vec![*last]),
            (Ok(_), None) => Err(ConnectError::Resolve {
                host: host.to_owned(),
                source: io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
            }),
            (Err(source), None) => Err(ConnectError::Resolve { host: host.to_owned(), source }),
        }
    }
}

fn network(source: io::Error) -> ConnectError {
    if source.kind() == io::ErrorKind::ConnectionRefused {
        ConnectError::Refused
    } else {
        ConnectError::Network { source }
    }
}

fn settings(after: Option<Duration>) -> String {
    match after {
        Some(after) => {
            format!(
                "sends no SETTINGS, or allows no stream, within {}",
                humantime::format_duration(after)
            )
        }
        None => "closed the connection before its SETTINGS".to_owned(),
    }
}

/// The cause; that of a check of our own without the names of the types around it.
fn untrusted(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(own)) => {
            own.0.to_string()
        }
        other => other.to_string(),
    }
}

fn tls_failure(source: io::Error) -> ConnectError {
    match source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(reason @ rustls::Error::InvalidCertificate(_)) => {
            ConnectError::Certificate { source: reason.clone() }
        }
        _ => match source.get_ref().and_then(|inner| inner.downcast_ref()).and_then(refused_by_tls)
        {
            Some(reason) => ConnectError::ClientCertificate { reason },
            None => ConnectError::Tls { source },
        },
    }
}
