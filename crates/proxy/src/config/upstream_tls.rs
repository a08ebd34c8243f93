//! TLS to an upstream, and the host that it is asked for.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use base64::{Engine, prelude::BASE64_STANDARD};
use http_canonical::CanonicalHost;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{OneOrMany, one_or_many, written_as_text};

/// TLS to the targets of a route. Without it, the authorities of the system are trusted for the target's own name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTlsConfig {
    /// Certificate authorities in PEM form, trusted instead of the system's. Example: `/etc/tls/internal-ca.pem`.
    pub ca_file: Option<PathBuf>,
    /// The gateway's own certificate chain in PEM form, for upstreams that ask for one; with `client_key`.
    /// Example: `/etc/tls/gateway.crt`.
    pub client_certificate: Option<PathBuf>,
    /// The private key of `client_certificate`, in PEM form. Example: `/etc/tls/gateway.key`.
    pub client_key: Option<PathBuf>,
    /// The name that the upstream's certificate must have, if it is not the target's own. Example: `console.internal`.
    pub server_name: Option<String>,
    /// The upstream's public key, trusted instead of an authority; the certificate's name and dates then do not count. A list
    /// allows each of its keys. Example: `sha256/YLh1dUR9y6Kja30RrAn7JKnbQG/uEtLMkBgFF2Fuihg=`.
    #[serde(with = "one_or_many")]
    #[schemars(with = "OneOrMany<Pin>")]
    pub pin: Vec<Pin>,
}

impl UpstreamTlsConfig {
    /// The files it names, for reloads.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> {
        [&self.ca_file, &self.client_certificate, &self.client_key].into_iter().flatten().cloned()
    }
}

/// The SHA-256 digest of a public key, as its `SubjectPublicKeyInfo` in DER form: `sha256/` and 44 characters of Base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin(pub [u8; 32]);

/// Reason a text is not a pin.
#[derive(Debug, thiserror::Error)]
#[error(
    "invalid pin `{text}`; write `sha256/` and the output of `openssl x509 -in CERTIFICATE -noout -pubkey | openssl pkey \
     -pubin -outform der | openssl dgst -sha256 -binary | base64`"
)]
pub struct PinError {
    text: String,
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let digest = text.strip_prefix("sha256/").and_then(|digest| {
            BASE64_STANDARD.decode(digest).ok().and_then(|bytes| bytes.try_into().ok())
        });
        digest.map(Self).ok_or_else(|| PinError { text: text.to_owned() })
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256/{}", BASE64_STANDARD.encode(self.0))
    }
}

written_as_text!(Pin, "a pin", "sha256/YLh1dUR9y6Kja30RrAn7JKnbQG/uEtLMkBgFF2Fuihg=");

/// The host in the requests to an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UpstreamHost {
    /// The host that the client asked for.
    #[default]
    Client,
    /// The host and port of the target.
    Upstream,
    /// This host.
    Named(CanonicalHost),
}

/// Reason a text is not the host for an upstream.
#[derive(Debug, thiserror::Error)]
#[error(
    "invalid host `{text}`: {source}; write `client`, `upstream` or a host, such as `console.internal`"
)]
pub struct UpstreamHostError {
    text: String,
    #[source]
    source: http_canonical::HostRefusal,
}

impl FromStr for UpstreamHost {
    type Err = UpstreamHostError;

    fn from_str(text: &str) -> Result<Self, UpstreamHostError> {
        match text {
            "client" => Ok(Self::Client),
            "upstream" => Ok(Self::Upstream),
            host => host
                .parse()
                .map(Self::Named)
                .map_err(|source| UpstreamHostError { text: text.to_owned(), source }),
        }
    }
}

impl fmt::Display for UpstreamHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("client"),
            Self::Upstream => f.write_str("upstream"),
            Self::Named(host) => host.fmt(f),
        }
    }
}

written_as_text!(UpstreamHost, "a host for the upstream", "upstream");
