//! Machine to machine: a local listener for programs that must not hold credentials.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::issuer::ClientAuth;
use super::listener::ListenAddr;
use super::route::Timeouts;
use super::streams::Streams;
use super::text::written_as_text;
use super::upstream_tls::UpstreamTlsConfig;

/// A listener for programs on this machine: it gives them access tokens, and adds tokens to their requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutboundConfig {
    /// A loopback address or a Unix socket. Every program that reaches it may use the targets. Example: `127.0.0.1:8081`.
    pub listen: ListenAddr,
    /// Permissions of the Unix socket, in octal; without it, only processes of the gateway's user may connect. Example: `"0660"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<SocketMode>,
    /// Services that the programs call, by the first segment of the path.
    /// Example: `churn: { url: https://churn.internal, issuer: main, audience: churn, scopes: [score] }`.
    #[serde(default)]
    pub targets: BTreeMap<String, OutboundTarget>,
}

/// A service that programs call with tokens of the gateway's, and the way in which these are obtained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutboundTarget {
    /// URL of the service; its path comes before that of the request. Example: `https://churn.internal`.
    pub url: Url,
    /// The issuer of the tokens, by its name in `issuers`. Example: `main`.
    pub issuer: String,
    /// The audience asked for, by which `/token` finds the target. Example: `churn`.
    #[serde(default)]
    pub audience: Option<String>,
    /// The scopes asked for. Example: `[score]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The grant by which tokens are obtained. Example: `client_credentials`.
    #[serde(default)]
    pub grant: OutboundGrant,
    /// The client that asks for tokens; without it, the gateway's own client at the issuer.
    /// Example: `{ id: batch, auth: { secret: { file: /run/secrets/batch } } }`.
    #[serde(default)]
    pub client: Option<OutboundClient>,
    /// Effect of the end of a token on a WebSocket that it opened: `until_token_ends` closes it, and the program opens it again;
    /// `until_done` leaves it to the service. Other exchanges run to their end. Example: `until_done`.
    #[serde(default)]
    pub streams: Streams,
    /// TLS to the service. Example: `{ ca_file: /etc/tls/internal-ca.pem }`.
    #[serde(default)]
    pub tls: UpstreamTlsConfig,
    /// Time limits for the service. Example: `{ connect: 5s, response_head: 60s, idle: 10m }`.
    #[serde(default)]
    pub timeouts: Timeouts,
}

/// The way in which tokens are obtained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutboundGrant {
    /// The client's own tokens (RFC 6749 §4.4), the same for every program.
    #[default]
    ClientCredentials,
    /// Tokens on behalf of a user (RFC 8693): in exchange for the access token that the program sends in `Authorization: Bearer`.
    /// It must be one that the issuer's `audience` accepts.
    Exchange,
    /// Tokens for an assertion (RFC 7523 §2.1) in this file, which is read for each grant. The issuer decides their audience: this
    /// grant has no parameter for it.
    /// Example: `/var/run/secrets/tokens/issuer`.
    JwtBearer(PathBuf),
}

/// A client at an issuer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutboundClient {
    /// Its id. Example: `batch`.
    pub id: String,
    /// Its authentication. Example: `{ secret: { file: /run/secrets/batch } }`.
    pub auth: ClientAuth,
}

/// Permissions of a socket's file, in octal: `"0660"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketMode(pub u32);

/// Reason a text is no mode.
#[derive(Debug, thiserror::Error)]
#[error("invalid mode `{text}`; write four octal digits in quotation marks, such as `\"0660\"`")]
pub struct SocketModeError {
    text: String,
}

impl FromStr for SocketMode {
    type Err = SocketModeError;

    fn from_str(text: &str) -> Result<Self, SocketModeError> {
        let octal = text.len() == 4 && text.starts_with('0');
        let mode = u32::from_str_radix(text, 8).ok().filter(|_| octal);
        mode.map(Self).ok_or_else(|| SocketModeError { text: text.to_owned() })
    }
}

impl fmt::Display for SocketMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

written_as_text!(SocketMode, "a mode in quotation marks", "0660");
