//! How long and how much a client may take.

use std::time::Duration;

use super::framing::HeadLimits;

/// The bounds of every connection. Deadlines are absolute: a client cannot move them by sending a little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From the accepted connection to the end of the first head, TLS handshake included. Default: 15 s.
    pub first_head: Duration,
    /// From a head's first octet to its last. Default: 15 s.
    pub head: Duration,
    /// Between an answer and the next request. Default: 75 s.
    pub idle: Duration,
    /// Waiting for a request body that costs nothing. Over HTTP/2 it begins anew while the answer is under way. Default: 10 s.
    pub body_grace: Duration,
    /// Octets per second of a request body, beyond the grace, while the gateway is reading. Default: 100.
    pub body_rate: u32,
    /// How long a client may take no octet of an answer that is ready. Default: 5 min.
    pub write_stall: Duration,
    /// Connections at once, tunnels included; beyond them none is accepted. Default: 10,000.
    pub connections: usize,
    /// Streams at once of one HTTP/2 connection. Default: 200.
    pub streams: u32,
    /// The head of an HTTP/1 request; the octets also bound the header list of HTTP/2.
    pub head_size: HeadLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first_head: Duration::from_secs(15),
            head: Duration::from_secs(15),
            idle: Duration::from_secs(75),
            body_grace: Duration::from_secs(10),
            body_rate: 100,
            write_stall: Duration::from_secs(300),
            connections: 10_000,
            streams: 200,
            head_size: HeadLimits::default(),
        }
    }
}
