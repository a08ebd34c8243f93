//! The metrics of one route. Their handles are made once: looking them up costs more than recording.

use std::{fmt, time::Duration};

use http::StatusCode;
use metrics::{Counter, Histogram, counter, histogram};

use super::{BYTES, REQUEST_SECONDS, REQUESTS, UPSTREAM_RESPONSES, UPSTREAM_SECONDS};

/// Records what a route forwards.
pub struct RouteMeters {
    forwarded: Counter,
    seconds: Histogram,
    upstream: Histogram,
    /// By the class of the status, from `1xx`.
    responses: [Counter; 5],
    received: Counter,
    sent: Counter,
}

impl RouteMeters {
    /// The metrics of the route with this name.
    pub fn new(route: &str) -> Self {
        let route = || route.to_owned();
        Self {
            forwarded: counter!(REQUESTS, "route" => route(), "outcome" => "forwarded"),
            seconds: histogram!(REQUEST_SECONDS, "route" => route()),
            upstream: histogram!(UPSTREAM_SECONDS, "route" => route()),
            responses: ["1xx", "2xx", "3xx", "4xx", "5xx"]
                .map(|class| counter!(UPSTREAM_RESPONSES, "route" => route(), "status" => class)),
            received: counter!(BYTES, "route" => route(), "direction" => "received"),
            sent: counter!(BYTES, "route" => route(), "direction" => "sent"),
        }
    }

    /// Metrics that record nothing.
    pub fn none() -> Self {
        Self {
            forwarded: Counter::noop(),
            seconds: Histogram::noop(),
            upstream: Histogram::noop(),
            responses: std::array::from_fn(|_| Counter::noop()),
            received: Counter::noop(),
            sent: Counter::noop(),
        }
    }

    /// Records a request that the upstream answered with this status, and the time to the head of the response: in all, and
    /// from the decision.
    pub(crate) fn forwarded(&self, status: StatusCode, took: Duration, upstream: Duration) {
        self.forwarded.increment(1);
        self.seconds.record(took.as_secs_f64());
        self.upstream.record(upstream.as_secs_f64());
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(responses) = self.responses.get(class) {
            responses.increment(1);
        }
    }

    /// Counts bytes of a request's body.
    pub(crate) fn received(&self, bytes: usize) {
        self.received.increment(bytes as u64);
    }

    /// Counts bytes of a response's body.
    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.increment(bytes as u64);
    }
}

impl fmt::Debug for RouteMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RouteMeters")
    }
}
