//! Threads of the process.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Threads of the process. A change takes effect after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeConfig {
    /// Number of worker threads; each serves its share of the connections. Default: one for each core that the process may use, by
    /// its CPU affinity and the quota of its container. Example: `4`.
    pub workers: Option<usize>,
}
