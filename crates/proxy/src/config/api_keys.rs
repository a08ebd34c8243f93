//! API keys: their longest life, and the routes that take them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// API keys, for programs that only know a password or a fixed bearer token. They need the store `embedded` or `redis`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeysConfig {
    /// The longest life of a key. A lower value also ends older keys. Example: `90d`.
    #[serde(default = "default_max_age", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub max_age: Duration,
    /// Routes on which keys count, by their names; no other route takes them. Example: `[registry, index]`.
    pub routes: Vec<String>,
    /// The keys of a person are suspended when no sign-in or refresh has confirmed the person for this long. Example: `30d`.
    #[serde(default = "default_suspend_after", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub suspend_after: Duration,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn default_max_age() -> Duration {
    DAY * 90
}

fn default_suspend_after() -> Duration {
    DAY * 30
}
