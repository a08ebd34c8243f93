//! Addresses of upstreams.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::{Host, Url};

use super::text::written_as_text;

/// An upstream's origin: `http://hub:8000`, `https://console.internal`, `h2c://scores:50051`,
/// `h2://scores:443` or `unix:/run/app.sock`. It has no path; `rewrite` sets one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamUrl {
    protocol: UpstreamProtocol,
    address: UpstreamAddress,
}

/// Protocol of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamProtocol {
    /// `http:` and `unix:`: HTTP/1.1 in clear text.
    Http,
    /// `https:`: TLS and HTTP/1.1, which carries WebSockets; HTTP/2 only where `h2:` asks for it.
    Https,
    /// `h2c:`: HTTP/2 in clear text, by prior knowledge (gRPC).
    H2c,
    /// `h2:`: TLS and nothing but HTTP/2 (gRPC).
    H2,
}

/// Address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamAddress {
    /// A host (a name, or an address without brackets) and a port.
    Tcp {
        /// The name or address.
        host: String,
        /// The port, the scheme's own where none was written.
        port: u16,
    },
    /// A Unix socket, by absolute path.
    Unix(PathBuf),
}

impl UpstreamUrl {
    /// The protocol.
    #[must_use]
    pub fn protocol(&self) -> UpstreamProtocol {
        self.protocol
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> &UpstreamAddress {
        &self.address
    }

    /// Whether the connection is TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self.protocol, UpstreamProtocol::Https | UpstreamProtocol::H2)
    }
}

/// Reason a text is not an upstream.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamUrlError {
    /// Not a URL at all.
    #[error("invalid upstream `{text}`: {source}; write `http://host:port`")]
    Unreadable {
        /// The text as written.
        text: String,
        /// The URL parser's error.
        source: url::ParseError,
    },
    /// An unsupported scheme.
    #[error("unsupported scheme `{scheme}`; use `http`, `https`, `h2c`, `h2` or `unix`")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// No host.
    #[error("invalid upstream `{text}`: no host; write `http://host:port`")]
    NoHost {
        /// The text as written.
        text: String,
    },
    /// User name or password in the URL.
    #[error(
        "invalid upstream: it holds a user name or a password; remove them, the route's `identity` sends the caller"
    )]
    Credentials,
    /// A path.
    #[error(
        "invalid upstream: it has the path `{path}`; remove it if `match.path` begins with it, because the upstream gets \
         the path of the request; else write `rewrite: {{ add_prefix: {path} }}`"
    )]
    Path {
        /// The path.
        path: String,
    },
    /// A query or a fragment.
    #[error("invalid upstream: it has a query or a fragment; remove everything from `?` or `#` on")]
    QueryOrFragment,
    /// `unix:` needs an absolute path.
    #[error(
        "invalid upstream `{text}`: the socket needs an absolute path; write `unix:/run/app.sock`"
    )]
    RelativeSocket {
        /// The text as written.
        text: String,
    },
}

impl FromStr for UpstreamUrl {
    type Err = UpstreamUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') || path.starts_with("//") || path.len() < 2 {
                return Err(UpstreamUrlError::RelativeSocket { text: text.to_owned() });
            }
            let address = UpstreamAddress::Unix(PathBuf::from(path));
            return Ok(Self { protocol: UpstreamProtocol::Http, address });
        }
        let unreadable = |source| UpstreamUrlError::Unreadable { text: text.to_owned(), source };
        let scheme = match text.split_once("://") {
            Some((scheme, _)) => scheme,
            None => match Url::parse(text) {
                Ok(url) if url.port().is_none() && url.path().parse::<u16>().is_err() => {
                    return Err(UpstreamUrlError::Scheme { scheme: url.scheme().to_owned() });
                }
                Ok(_) => return Err(unreadable(url::ParseError::RelativeUrlWithoutBase)),
                Err(source) => return Err(unreadable(source)),
            },
        };
        // `h2c` and `h2` are unknown to the URL standard, whose rules for a host depend on the scheme.
        let (protocol, spelled) = match scheme {
            "http" => (UpstreamProtocol::Http, text.to_owned()),
            "https" => (UpstreamProtocol::Https, text.to_owned()),
            "h2c" => (UpstreamProtocol::H2c, text.replacen("h2c", "http", 1)),
            "h2" => (UpstreamProtocol::H2, text.replacen("h2", "https", 1)),
            other => return Err(UpstreamUrlError::Scheme { scheme: other.to_owned() }),
        };
        let url = Url::parse(&spelled).map_err(unreadable)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UpstreamUrlError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(UpstreamUrlError::QueryOrFragment);
        }
        if url.path() != "/" {
            return Err(UpstreamUrlError::Path { path: url.path().to_owned() });
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(UpstreamUrlError::NoHost { text: text.to_owned() }),
        };
        let Some(port) = url.port_or_known_default() else {
            return Err(UpstreamUrlError::NoHost { text: text.to_owned() });
        };
        Ok(Self { protocol, address: UpstreamAddress::Tcp { host, port } })
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = match &self.address {
            UpstreamAddress::Unix(path) => return write!(f, "unix:{}", path.display()),
            UpstreamAddress::Tcp { host, port } => (host, port),
        };
        let scheme = match self.protocol {
            UpstreamProtocol::Http => "http",
            UpstreamProtocol::Https => "https",
            UpstreamProtocol::H2c => "h2c",
            UpstreamProtocol::H2 => "h2",
        };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

written_as_text!(UpstreamUrl, "an upstream's URL", "http://jupyterhub:8000");
