//! Header fields of a route's requests and responses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Treatment of header fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteHeaders {
    /// Fields of a request whose name has `_`, which many servers read as `-`. A name that would so become a reserved one is
    /// refused in any case. Example: `refuse`.
    pub underscores: Underscores,
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
