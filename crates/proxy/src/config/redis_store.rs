//! The session store in Valkey or Redis, shared by several gateways.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::secret::SecretRef;
use super::text::written_as_text;

/// Port of a server whose address names none, and of a sentinel.
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Valkey 8 or newer, or Redis 7 or newer: one server (`url`), a primary watched by sentinels (`sentinel`), or a cluster
/// (`cluster`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisStore {
    /// One server: `redis://` or with TLS `rediss://`, host, port and the number of the database. Example:
    /// `rediss://valkey.internal:6380/0`.
    #[serde(default)]
    pub url: Option<RedisUrl>,
    /// The ACL user; without it the password is that of the user `default`. Example: `doorward`.
    #[serde(default)]
    pub user: Option<String>,
    /// The password, read at each connection. Example: `{ file: /run/secrets/valkey }`.
    #[serde(default)]
    pub password: Option<SecretRef>,
    /// TLS to the servers and the sentinels, with `rediss://` as well as with `sentinel` and `cluster`. `{}` trusts the system's
    /// authorities. Example: `{ ca_file: /etc/tls/internal-ca.pem }`.
    #[serde(default)]
    pub tls: Option<RedisTls>,
    /// The sentinels that watch the primary. Example: `{ master: main, nodes: [s1:26379, s2:26379, s3:26379] }`.
    #[serde(default)]
    pub sentinel: Option<Sentinel>,
    /// Some nodes of a cluster; the others are found through them. Example: `[n1:6379, n2:6379]`.
    #[serde(default)]
    pub cluster: Vec<RedisAddress>,
    /// Prefix of every key. Gateways that share their sessions have the same. Example: `doorward:`.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// A call that takes longer fails, and the request that waits for it is answered with 503. Example: `500ms`.
    #[serde(default = "default_timeout", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub timeout: Duration,
}

impl RedisStore {
    /// Whether the connections use TLS.
    pub fn uses_tls(&self) -> bool {
        self.tls.is_some() || self.url.as_ref().is_some_and(|url| url.tls)
    }
}

/// TLS to the servers of the store. The files are read at each connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedisTls {
    /// Certificate authorities in PEM form, trusted instead of the system's. Example: `/etc/tls/internal-ca.pem`.
    pub ca_file: Option<PathBuf>,
    /// The gateway's own certificate chain in PEM form; with `client_key`. Example: `/etc/tls/gateway.crt`.
    pub client_certificate: Option<PathBuf>,
    /// The private key of `client_certificate`, in PEM form. Example: `/etc/tls/gateway.key`.
    pub client_key: Option<PathBuf>,
}

/// Sentinels of the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sentinel {
    /// The name of the primary at the sentinels (`sentinel monitor NAME …`). Example: `main`.
    pub master: String,
    /// The sentinels, as `host:port`. Example: `[s1:26379, s2:26379, s3:26379]`.
    pub nodes: Vec<RedisAddress>,
    /// The password of the sentinels, if they have one. Example: `{ file: /run/secrets/sentinel }`.
    #[serde(default)]
    pub password: Option<SecretRef>,
}

impl Sentinel {
    /// The sentinels, each with its port.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, u16)> {
        self.nodes.iter().map(|node| (&*node.host, node.port.unwrap_or(SENTINEL_PORT)))
    }
}

fn default_prefix() -> String {
    "doorward:".to_owned()
}

fn default_timeout() -> Duration {
    Duration::from_millis(500)
}

/// Address of one server: `redis://HOST:PORT/DATABASE`, or `rediss://` with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisUrl {
    /// DNS name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Number of the database.
    pub database: u32,
    /// Whether the server speaks TLS.
    pub tls: bool,
}

/// Reasons a text is not the address of a server.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RedisUrlError {
    /// It has a user or a password; the text is not repeated.
    #[error(
        "invalid address: it has a user or a password; write `user: NAME` and `password: {{ file: PATH }}` beside `url`, and here such as `redis://valkey:6379`"
    )]
    Login,
    /// Another scheme.
    #[error(
        "unsupported scheme `{0}`; write `redis://HOST:PORT`, or `rediss://HOST:PORT` with TLS"
    )]
    Scheme(String),
    /// It is not an address at all.
    #[error("invalid address; write such as `redis://valkey:6379/0`")]
    Form,
}

impl FromStr for RedisUrl {
    type Err = RedisUrlError;

    fn from_str(text: &str) -> Result<Self, RedisUrlError> {
        // First, so that no other message repeats a password.
        if text.contains('@') {
            return Err(RedisUrlError::Login);
        }
        let url: Url = text.parse().map_err(|_| RedisUrlError::Form)?;
        let tls = match url.scheme() {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            other => return Err(RedisUrlError::Scheme(other.to_owned())),
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(RedisUrlError::Form);
        }
        let database = match url.path().strip_prefix('/').unwrap_or_default() {
            "" => 0,
            text => text.parse().map_err(|_| RedisUrlError::Form)?,
        };
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            _ => return Err(RedisUrlError::Form),
        };
        Ok(Self { host, port: url.port().unwrap_or(PORT), database, tls })
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host) = (if self.tls { "rediss" } else { "redis" }, bracketed(&self.host));
        write!(f, "{scheme}://{host}:{}/{}", self.port, self.database)
    }
}

written_as_text!(RedisUrl, "the address of a server", "redis://valkey:6379/0");

/// Address of a node or a sentinel: `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisAddress {
    /// DNS name or IP address, without brackets.
    pub host: String,
    /// TCP port; without it the usual one.
    pub port: Option<u16>,
}

impl RedisAddress {
    /// The port of a node of a cluster.
    pub fn node_port(&self) -> u16 {
        self.port.unwrap_or(PORT)
    }
}

/// Reason a text is not `HOST:PORT`.
#[derive(Debug, thiserror::Error)]
#[error("invalid address; write a host and a port, such as `valkey-1:6379`")]
pub struct RedisAddressError;

impl FromStr for RedisAddress {
    type Err = RedisAddressError;

    fn from_str(text: &str) -> Result<Self, RedisAddressError> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                let port = port.parse().ok().filter(|port| *port != 0);
                (host, Some(port.ok_or(RedisAddressError)?))
            }
            _ => (text, None),
        };
        let host = match Host::parse(host).map_err(|_| RedisAddressError)? {
            Host::Domain(name) => name,
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bracketed(&self.host))?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

written_as_text!(RedisAddress, "a host and a port", "valkey-1:6379");

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_written() {
        for (text, written) in [
            ("redis://valkey", "redis://valkey:6379/0"),
            ("rediss://valkey.internal:6380/3", "rediss://valkey.internal:6380/3"),
            ("valkeys://10.0.0.1:7000", "rediss://10.0.0.1:7000/0"),
            ("redis://[::1]:7000/", "redis://[::1]:7000/0"),
        ] {
            assert_eq!(text.parse::<RedisUrl>().unwrap().to_string(), written, "{text}");
        }
        for text in ["valkey-1:7000", "10.0.0.1", "[::1]:7000", "valkey"] {
            assert_eq!(text.parse::<RedisAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_addresses_are_refused_and_no_password_is_repeated() {
        for text in [
            "redis://user:hunter2@valkey:6379",
            "redis://:hunter2@valkey",
            "user:hunter2@valkey",
            "http://hunter2@valkey",
        ] {
            let refused = text.parse::<RedisUrl>().unwrap_err();
            assert_eq!(refused, RedisUrlError::Login, "{text}");
            assert!(!refused.to_string().contains("hunter2"));
        }
        for text in ["", "valkey:6379", "redis://", "redis://v/x", "redis://v?db=1", "redis://v#i"]
        {
            assert!(text.parse::<RedisUrl>().is_err(), "{text}");
        }
        for text in ["", "redis://v:1", "v:x", "v:0", "v:99999", "::1:7000", "a b:1", "v:1/2"] {
            assert!(text.parse::<RedisAddress>().is_err(), "{text}");
        }
    }
}
