//! Machine to machine: tokens for programs that must not hold credentials. Not yet served.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::listener::ListenAddr;

/// A loopback listener that adds tokens to outgoing requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutboundConfig {
    /// Loopback or a Unix socket. Example: `127.0.0.1:8081`.
    pub listen: ListenAddr,
    /// Targets of requests, by the first segment of their path. Example: `churn: { url: … }`.
    #[serde(default)]
    pub targets: BTreeMap<String, OutboundTarget>,
}

/// A service whose requests need a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutboundTarget {
    /// URL of the service. Example: `https://churn.internal`.
    pub url: Url,
    /// The issuer, by its name in `issuers`. Example: `main`.
    pub issuer: String,
    /// The audience asked for. Example: `churn`.
    #[serde(default)]
    pub audience: Option<String>,
    /// The scopes asked for. Example: `[score]`.
    #[serde(default)]
    pub scopes: Vec<String>,
}
