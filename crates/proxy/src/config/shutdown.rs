//! End of the process: the times that clients have.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Times of a stop, after SIGTERM. Each stage begins when the one before is over; `grace` and `streams` run side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// Time in which `/readyz` answers 503 already and connections are still accepted, so that load balancers send no more before
    /// the listeners close. SIGINT (Ctrl-C) skips it. Example: `5s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub lame_duck: Duration,
    /// Time that requests in progress have once the listeners are closed. Example: `30s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub grace: Duration,
    /// Time that WebSockets, server-sent events and gRPC calls have, from the same moment; longer or shorter than `grace`. Then
    /// WebSockets get the close code 1001, and the others are broken off. The process ends a second after the longer of both at the
    /// latest. SIGINT skips it. Example: `60s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub streams: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            lame_duck: Duration::from_secs(5),
            grace: Duration::from_secs(30),
            streams: Duration::from_secs(60),
        }
    }
}
