//! Health checks of upstreams.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A request to each target of the upstream, at an interval. A target gets no requests after two checks in a row that were not
/// answered with a status from 200 to 399, and gets them again after one that was. If no target passes, all get requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthConfig {
    /// The path that is asked for with `GET`, as the upstream knows it: `rewrite` does not change it. Example: `/health`.
    pub path: String,
    /// Interval between two checks, at least `1s`; the answer must come within it, and within 5 s. Example: `10s`.
    #[serde(with = "humantime_serde", default = "default_interval")]
    #[schemars(with = "String")]
    pub interval: Duration,
}

fn default_interval() -> Duration {
    Duration::from_secs(10)
}
