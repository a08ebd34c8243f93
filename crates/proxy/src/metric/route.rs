//! The metrics of one route. Their handles are made once: looking them up costs more than recording.

use std::{fmt, time::Duration};

use access_policy::{Known, Policy};
use http::StatusCode;
use metrics::{Counter, Histogram, counter, histogram};

use super::table::{
    BYTES, REQUEST_SECONDS, REQUESTS, UPSTREAM_RESPONSES, UPSTREAM_RETRIES, UPSTREAM_SECONDS,
};
use super::workload::WorkloadMeters;

/// Records what a route forwards.
pub struct RouteMeters {
    forwarded: Counter,
    seconds: Histogram,
    upstream: Histogram,
    /// By the class of the status, from `1xx`.
    responses: [Counter; 5],
    received: Counter,
    sent: Counter,
    /// `ok`, `failed`, `no_budget`
    retries: [Counter; 3],
    workloads: WorkloadMeters,
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
            retries: ["ok", "failed", "no_budget"].map(
                |outcome| counter!(UPSTREAM_RETRIES, "route" => route(), "outcome" => outcome),
            ),
            workloads: WorkloadMeters::none(),
        }
    }

    /// The same with those of workloads, by the patterns in the rules of the route.
    #[must_use]
    pub fn with_workloads(mut self, route: &str, policy: &Policy) -> Self {
        self.workloads = WorkloadMeters::new(route, policy);
        self
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
            retries: std::array::from_fn(|_| Counter::noop()),
            workloads: WorkloadMeters::none(),
        }
    }

    /// Counts a request of a workload; those of other callers are not counted here.
    pub(crate) fn called_by(&self, known: Option<&Known>, allowed: bool) {
        if let Some(known) = known.filter(|known| known.workload) {
            self.workloads.count(known, allowed);
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

    /// Counts a second attempt, which the upstream answered or not.
    pub(crate) fn retried(&self, answered: bool) {
        let [ok, failed, _] = &self.retries;
        if answered { ok } else { failed }.increment(1);
    }

    /// Counts a second attempt that was not made.
    pub(crate) fn retry_refused(&self) {
        let [_, _, no_budget] = &self.retries;
        no_budget.increment(1);
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
