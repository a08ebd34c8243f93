//! Routes to servers of the Model Context Protocol.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::text::{OneOrMany, at_least_one, url};

/// The route as a protected resource of the Model Context Protocol's authorization specification. Bearer tokens need the resource as
/// their audience, and never reach the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct McpConfig {
    /// Identifier of the resource: the URL of the route, as clients write it; `aud` of its tokens.
    /// Example: `https://platform.example/mcp/warehouse`.
    #[serde(deserialize_with = "url")]
    pub resource: Url,
    /// Scopes that every token for it needs; clients are told to ask for them. Example: `[tools]`.
    #[serde(default, with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub scopes: Vec<String>,
}
