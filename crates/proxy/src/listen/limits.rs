//! Limits on the time and the resources that a client may use.

use std::time::Duration;

use http_canonical::framing::HeadLimits;

use crate::config::ListenerLimits;

/// The limits of every connection. Deadlines are absolute: a client cannot move them by sending a little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From the accepted connection to the end of the first head, TLS handshake included. Default: 15 s.
    pub first_head: Duration,
    /// From a head's first byte to its last. Default: 15 s.
    pub head: Duration,
    /// Between an answer and the next request; over HTTP/2 without an open stream. Default: 75 s.
    pub idle: Duration,
    /// Waiting time for a request body beyond what `body_rate` allows. Over HTTP/2 it restarts while the answer is in progress,
    /// and in a permitted gRPC call.
    /// Default: 30 s.
    pub body_grace: Duration,
    /// Bytes per second of a request body, beyond the grace, while the gateway is reading. Default: 100.
    pub body_rate: u32,
    /// Time for which a client may accept no byte of an answer that is ready. Default: 5 min.
    pub write_stall: Duration,
    /// Connections at once, tunnels included; beyond them none is accepted. Default: 10,000.
    pub connections: usize,
    /// Connections at once from one address, or from one IPv6 /64; one more is closed at once. Default: 1,000.
    pub per_address: usize,
    /// Streams at once of one HTTP/2 connection. Default: 200.
    pub streams: u32,
    /// The head of an HTTP/1 request; the byte limit also applies to the header list of HTTP/2.
    pub head_size: HeadLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self::from(&ListenerLimits::default())
    }
}

impl From<&ListenerLimits> for Limits {
    fn from(config: &ListenerLimits) -> Self {
        let head = usize::try_from(config.head_size.0).unwrap_or(usize::MAX);
        Self {
            first_head: config.first_head,
            head: config.head,
            idle: config.idle,
            body_grace: config.body_rate.after,
            body_rate: config.body_rate.bytes_per_second,
            write_stall: config.write_stall,
            connections: config.connections,
            per_address: config.per_address,
            streams: 200,
            head_size: HeadLimits { line: head / 4, head, ..HeadLimits::default() },
        }
    }
}
