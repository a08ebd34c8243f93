//! Tokens that are bound to a key, and the proofs of it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Proofs of the key that a token is bound to (DPoP, RFC 9449). They are accepted wherever bearer tokens are; each counts once,
/// among all replicas that share a store `redis`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DpopConfig {
    /// The longest time between the making of a proof and its use. At most `5m`. Example: `60s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub max_age: Duration,
    /// Requires in each proof a nonce of the gateway, which changes after this time: `1s` to `5m`. The clocks of clients then do not
    /// matter, and no proof can be made in advance. A client learns the nonce from an answer 401, so that its first request is sent
    /// twice. Without this key no nonce is required. Example: `2m`.
    #[serde(with = "humantime_serde::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub nonce: Option<Duration>,
}

impl Default for DpopConfig {
    fn default() -> Self {
        Self { max_age: Duration::from_secs(60), nonce: None }
    }
}

/// Requirements on the bearer tokens of an issuer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokenRules {
    /// The key that its bearer tokens must be bound to; unbound ones are refused. Without this key the provider decides: a token
    /// that is bound is accepted with its proof only, and an unbound one without. Example: `dpop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<BoundTo>,
}

/// The key that a token is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BoundTo {
    /// The key of DPoP proofs (RFC 9449).
    Dpop,
    /// The client's certificate (RFC 8705 §3).
    Certificate,
}

impl From<BoundTo> for oidc_core::verify::Binding {
    fn from(bound: BoundTo) -> Self {
        match bound {
            BoundTo::Dpop => Self::Dpop,
            BoundTo::Certificate => Self::Certificate,
        }
    }
}
