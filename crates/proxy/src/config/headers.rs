//! Header fields of a route's requests and responses.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{OneOrMany, one_or_many};

/// Treatment of header fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteHeaders {
    /// Fields of a request whose name has `_`, which many servers read as `-`. A name that would so become a reserved one is
    /// refused in any case. Example: `refuse`.
    pub underscores: Underscores,
    /// Changes to the responses of the upstream. Example: `{ remove: [Server] }`.
    pub response: ResponseRules,
}

/// Treatment of fields whose name has `_`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Underscores {
    /// The field is removed, and counted.
    #[default]
    Drop,
    /// The request is refused with 400.
    Refuse,
}

/// Changes to the header section of an upstream's responses, except a WebSocket's. The gateway's own answers stay as they are, but
/// for `Strict-Transport-Security`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResponseRules {
    /// Fields to set, by name; the upstream's own value is replaced. Where `public_url` is https and its host not the machine
    /// itself, `Strict-Transport-Security` is `max-age=31536000` unless it is set or removed here or the upstream sets it.
    /// Example: `{ Strict-Transport-Security: "max-age=31536000" }`.
    pub set: BTreeMap<String, String>,
    /// Fields to remove; one, or a list. Example: `[Server]`.
    #[serde(with = "one_or_many")]
    #[schemars(with = "OneOrMany<String>")]
    pub remove: Vec<String>,
}
