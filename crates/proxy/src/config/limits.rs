//! Limits of the public listeners: what one client may use before it is known.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::byte_size::ByteSize;

/// Time and resources that a client of the public listeners may use. Deadlines are absolute: a client cannot move them by
/// sending a little. A change takes effect after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerLimits {
    /// Connections at once, WebSockets among them; beyond them none is accepted, and new ones wait in the kernel's queue. Fewer
    /// where the process may open few files. Example: `10000`.
    pub connections: usize,
    /// From the accepted connection to the end of its first request head, TLS handshake included. Example: `15s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub first_head: Duration,
    /// From the first byte of a request head to its last. Example: `15s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub head: Duration,
    /// The largest request head, from `4KiB` to `128KiB`; its request line may use a quarter of it. Example: `32KiB`.
    pub head_size: ByteSize,
    /// The slowest request body. Example: `{ bytes_per_second: 100, after: 30s }`.
    pub body_rate: BodyRate,
    /// Time between an answer and the next request on the same connection. An HTTP/2 connection with an open stream is not
    /// idle. Example: `75s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub idle: Duration,
    /// Time for which a client may accept no byte of an answer that is ready. Example: `5m`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub write_stall: Duration,
    /// Connections at once from one IPv4 address, or from one IPv6 network of 64 bits; one more is closed at once. Addresses of
    /// `trusted_proxies` and peers on unix sockets have no such limit. A value of `connections` or more turns it off. Example:
    /// `1000`.
    pub per_address: usize,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            first_head: Duration::from_secs(15),
            head: Duration::from_secs(15),
            head_size: ByteSize(32 * 1024),
            body_rate: BodyRate::default(),
            idle: Duration::from_secs(75),
            write_stall: Duration::from_secs(300),
            per_address: 1000,
        }
    }
}

/// The slowest request body: a client may keep the gateway waiting for `after` in all, and for one second more with each
/// `bytes_per_second` that arrived. Time in which the gateway or the upstream does not read is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BodyRate {
    /// Bytes that buy one second. Example: `100`.
    pub bytes_per_second: u32,
    /// Waiting time that needs no bytes; a pause of this length is always permitted once. Example: `30s`.
    #[serde(with = "humantime_serde", default = "default_after")]
    #[schemars(with = "String")]
    pub after: Duration,
}

impl Default for BodyRate {
    fn default() -> Self {
        Self { bytes_per_second: 100, after: default_after() }
    }
}

fn default_after() -> Duration {
    Duration::from_secs(30)
}
