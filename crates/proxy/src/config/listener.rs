//! Addresses on which the gateway listens.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::KeyPath;
use super::route::HostPattern;
use super::text::written_as_text;

/// An address to accept connections on: `0.0.0.0:8443`, `[::]:8443` or `unix:/run/doorward.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddr {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A Unix socket, by absolute path.
    Unix(PathBuf),
}

/// Reason a text is not an address to listen on.
#[derive(Debug, thiserror::Error)]
pub enum ListenAddrError {
    /// Neither `address:port` nor `unix:/path`.
    #[error("invalid address `{text}`; write `0.0.0.0:8443` or `unix:/run/doorward.sock`")]
    Unreadable {
        /// The text as written.
        text: String,
    },
    /// `unix:` needs an absolute path.
    #[error(
        "invalid address `{text}`: the socket needs an absolute path; write `unix:/run/doorward.sock`"
    )]
    RelativeSocket {
        /// The text as written.
        text: String,
    },
}

impl FromStr for ListenAddr {
    type Err = ListenAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') || path.len() < 2 {
                return Err(ListenAddrError::RelativeSocket { text: text.to_owned() });
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        text.parse()
            .map(Self::Tcp)
            .map_err(|_| ListenAddrError::Unreadable { text: text.to_owned() })
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

written_as_text!(ListenAddr, "an address to listen on", "0.0.0.0:8443");

/// Certificate and private key of a listener, both PEM files, read again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, the server's own first. Example: `/etc/tls/tls.crt`.
    pub certificate: PathBuf,
    /// Its private key. Example: `/etc/tls/tls.key`.
    pub key: PathBuf,
    /// Hosts that it is for; without it, every host that no other one of the list is for. Example: `[a.example, "*.b.example"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<HostPattern>,
    /// CA certificates (PEM) of the clients that connect to these hosts (mutual TLS), read again when they change: connections stay,
    /// and new ones are judged by the new file. A client certificate proves possession of tokens that are bound to it
    /// (RFC 8705 §3); alone it names a caller only where `workload_certificates` says so. Example: `/etc/tls/clients.pem`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Lists of revoked client certificates (CRL, PEM), one for each authority between a client and `client_ca`, which is read again
    /// when it changes. A certificate that is revoked, whose authority has no list here, or whose list has expired (`nextUpdate`) does not
    /// connect, and requests on connections that are open are refused. Example: `/etc/tls/clients.crl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_crl: Option<PathBuf>,
    /// Whether clients must have a certificate of `client_ca`. Example: `require`.
    #[serde(default, skip_serializing_if = "ClientCertificates::is_default")]
    pub client_certificates: ClientCertificates,
}

/// Whether the clients of a listener must have a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificates {
    /// They are asked for one; a client without one connects too.
    #[default]
    Request,
    /// A client without one does not connect.
    Require,
}

impl ClientCertificates {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Tls {
    /// The number of the pair for a host: the one that names it most exactly, else the one for every host, else the first.
    pub(crate) fn for_host<'t>(
        pairs: impl Iterator<Item = &'t Self> + Clone,
        host: Option<&str>,
    ) -> Option<usize> {
        let named = host.and_then(|host| {
            let specificity = |pair: &Self| {
                let names = pair.names.iter().filter(|name| name.matches(host));
                names.map(HostPattern::specificity).max()
            };
            let all = pairs.clone().enumerate();
            let named = all.filter_map(|(number, pair)| Some((specificity(pair)?, number)));
            named.max_by_key(|(specificity, _)| *specificity).map(|(_, number)| number)
        });
        let first = || pairs.clone().next().map(|_| 0);
        named.or_else(|| pairs.clone().position(|pair| pair.names.is_empty())).or_else(first)
    }

    /// Each pair with its place in the file, where one pair may stand without a list.
    pub(super) fn with_places(pairs: &[Self]) -> impl Iterator<Item = (KeyPath, &Self)> {
        let here = KeyPath::root().key("tls");
        let alone = pairs.len() == 1;
        pairs
            .iter()
            .enumerate()
            .map(move |(index, pair)| (if alone { here.clone() } else { here.item(index) }, pair))
    }
}
