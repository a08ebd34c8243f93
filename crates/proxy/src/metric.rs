//! Every metric: its name, its meaning, and the one place where it is counted.
//!
//! docs/reference/metrics.md is generated from the table. Labels hold names of the configuration and words of the code, never a
//! value that a client sent, so that no client can create series. Clients of issuers and models are labels only as far as they
//! are few.

mod route;
mod table;
mod workload;

pub use self::{
    route::RouteMeters,
    table::{METRICS, Metric},
};

use std::{sync::LazyLock, time::Duration};

use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use web_sessions::RedisEvent;

use self::table::*;

/// Registers the meaning of each metric with the recorder.
pub fn describe() {
    for metric in METRICS {
        match metric.kind {
            "counter" => describe_counter!(metric.name, metric.help),
            "gauge" => describe_gauge!(metric.name, metric.help),
            _ => describe_histogram!(metric.name, Unit::Seconds, metric.help),
        }
    }
}

/// Counts a step of a login.
pub fn login(issuer: &str, outcome: &'static str) {
    counter!(LOGINS, "issuer" => issuer.to_owned(), "outcome" => outcome).increment(1);
}

/// Counts a logout.
pub fn logout(issuer: &str, outcome: &'static str) {
    counter!(LOGOUTS, "issuer" => issuer.to_owned(), "outcome" => outcome).increment(1);
}

/// Counts a refresh of a session's tokens.
pub fn refreshed(issuer: &str, outcome: &'static str) {
    counter!(REFRESHES, "issuer" => issuer.to_owned(), "outcome" => outcome).increment(1);
}

/// Counts a token exchange that a request waited for.
pub fn exchanged(issuer: &str, outcome: &'static str) {
    counter!(EXCHANGES, "issuer" => issuer.to_owned(), "outcome" => outcome).increment(1);
}

/// Counts a request of the local listener.
pub(crate) fn outbound(target: &str, outcome: &'static str) {
    counter!(OUTBOUND, "target" => target.to_owned(), "outcome" => outcome).increment(1);
}

/// Counts a bearer token.
pub fn token_verified(issuer: &str, outcome: &'static str) {
    counter!(TOKENS, "issuer" => issuer.to_owned(), "outcome" => outcome).increment(1);
}

/// Counts an API key that was not accepted.
pub fn api_key_refused(reason: &'static str) {
    counter!(API_KEYS_REFUSED, "reason" => reason).increment(1);
}

/// Counts a session cookie.
pub fn session_opened(outcome: &'static str) {
    counter!(SESSIONS_OPENED, "outcome" => outcome).increment(1);
}

/// Counts an event between the session store and its servers.
pub fn store(event: RedisEvent) {
    match event {
        RedisEvent::Call { operation, outcome, took } => {
            histogram!(STORE_SECONDS, "operation" => operation, "outcome" => outcome)
                .record(took.as_secs_f64());
        }
        RedisEvent::Reconnected { connection } => {
            counter!(STORE_CONNECTIONS, "connection" => connection).increment(1);
        }
        RedisEvent::ChangesArriving(arriving) => {
            gauge!(STORE_CHANGES).set(if arriving { 1.0 } else { 0.0 });
        }
    }
}

/// Counts a reload of the configuration.
pub fn reloaded(outcome: &'static str) {
    counter!(RELOADS, "outcome" => outcome).increment(1);
}

/// Records which configuration is in force.
pub fn configured(hash: &str, previous: Option<&str>) {
    if let Some(previous) = previous {
        gauge!(CONFIG, "hash" => previous.to_owned()).set(0.0);
    }
    gauge!(CONFIG, "hash" => hash.to_owned()).set(1.0);
}

/// Counts a request by its outcome.
pub(crate) fn request(route: &str, outcome: &'static str) {
    counter!(REQUESTS, "route" => route.to_owned(), "outcome" => outcome).increment(1);
}

/// Stages of a request that are timed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    Identify,
    Authorize,
    Forward,
    Total,
}

/// Records the duration of a stage. The handles are made once: looking them up costs more than recording.
pub(crate) fn stage(stage: Stage, took: Duration) {
    static HANDLES: LazyLock<[Histogram; 4]> = LazyLock::new(|| {
        ["identify", "authorize", "forward", "total"]
            .map(|stage| histogram!(STAGES, "stage" => stage))
    });
    let [identify, authorize, forward, total] = &*HANDLES;
    let handle = match stage {
        Stage::Identify => identify,
        Stage::Authorize => authorize,
        Stage::Forward => forward,
        Stage::Total => total,
    };
    handle.record(took.as_secs_f64());
}

/// Counts spans for the collector.
pub(crate) fn spans(outcome: &'static str) -> Counter {
    counter!(SPANS, "outcome" => outcome)
}

/// Counts fields of a route's requests that were removed for a `_` in their names.
pub fn underscored(route: &str) -> Counter {
    counter!(UNDERSCORED, "route" => route.to_owned())
}

/// Counts bearer tokens of an issuer that were verified before.
pub fn tokens_remembered(issuer: &str) -> Counter {
    counter!(TOKENS, "issuer" => issuer.to_owned(), "outcome" => "cached")
}

/// Counts a session cookie that was opened before.
pub fn session_remembered() {
    static HANDLE: LazyLock<Counter> =
        LazyLock::new(|| counter!(SESSIONS_OPENED, "outcome" => "cached"));
    HANDLE.increment(1);
}

/// Counts the decision of a shadow rule.
pub(crate) fn shadow(route: &str, rule: usize, outcome: &'static str) {
    counter!(SHADOWS, "route" => route.to_owned(), "rule" => rule.to_string(), "outcome" => outcome)
        .increment(1);
}

/// Counts a connection from a client that begins (1) or ends (-1).
pub(crate) fn connections(change: f64) {
    gauge!(CONNECTIONS).increment(change);
}

/// Sets the load of a worker; called when metrics are requested.
pub(crate) fn worker(number: usize, connections: usize, busy: Duration) {
    gauge!(WORKER_CONNECTIONS, "worker" => number.to_string()).set(float(connections));
    gauge!(WORKER_BUSY, "worker" => number.to_string()).set(busy.as_secs_f64());
}

/// Sets the most connections from clients at once.
pub(crate) fn connections_limit(most: usize) {
    gauge!(CONNECTIONS_LIMIT).set(float(most));
}

/// Counts a client that reached a limit of the listener.
pub(crate) fn limit_reached(limit: &'static str) {
    counter!(LIMITS, "limit" => limit).increment(1);
}

/// Counts a request of a user who reached a limit of a route.
pub(crate) fn user_limit_reached(limit: &'static str) {
    counter!(USER_LIMITS, "limit" => limit).increment(1);
}

/// Labels of the tokens of a model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ModelTokens<'a> {
    pub(crate) route: &'a str,
    pub(crate) issuer: &'a str,
    /// Few: those beyond the first ones share a label.
    pub(crate) client: &'a str,
    /// Few: those beyond the first ones share a label.
    pub(crate) model: &'a str,
}

/// Counts the tokens of an answer.
pub(crate) fn model_tokens(labels: ModelTokens<'_>, input: u64, output: u64) {
    let ModelTokens { route, issuer, client, model } = labels;
    for (direction, tokens) in [("input", input), ("output", output)] {
        counter!(
            MODEL_TOKENS,
            "route" => route.to_owned(), "issuer" => issuer.to_owned(), "client" => client.to_owned(),
            "model" => model.to_owned(), "direction" => direction
        )
        .increment(tokens);
    }
}

/// Counts an answer of a model by what is known of its tokens.
pub(crate) fn model_answer(route: &str, outcome: &'static str) {
    counter!(MODEL_ANSWERS, "route" => route.to_owned(), "outcome" => outcome).increment(1);
}

/// Counts a connection that could not be accepted.
pub(crate) fn accept_failed() {
    counter!(ACCEPT_ERRORS).increment(1);
}

/// Counts a request that violates HTTP.
pub(crate) fn malformed(reason: &'static str) {
    counter!(MALFORMED, "reason" => reason).increment(1);
}

/// Counts a connection that was closed for its header of the PROXY protocol.
pub(crate) fn proxy_protocol_refused(reason: &'static str) {
    counter!(PROXY_PROTOCOL, "reason" => reason).increment(1);
}

/// Counts a panic while a request was answered.
pub(crate) fn panicked() {
    counter!(PANICS).increment(1);
}

/// Counts a TLS handshake that failed.
pub(crate) fn handshake_failed(outcome: &'static str) {
    counter!(HANDSHAKES, "outcome" => outcome).increment(1);
}

/// Counts a change of the certificate's files.
pub(crate) fn certificate_reloaded(outcome: &'static str) {
    counter!(CERTIFICATES, "outcome" => outcome).increment(1);
}

/// Sets whether an issuer's keys and metadata can be used; called when metrics are requested.
pub(crate) fn issuer_available(issuer: &str, available: bool) {
    gauge!(ISSUER_AVAILABLE, "issuer" => issuer.to_owned()).set(f64::from(u8::from(available)));
}

/// Sets whether the store of sessions answers; called when metrics are requested.
pub(crate) fn store_available(available: bool) {
    gauge!(STORE_AVAILABLE).set(f64::from(u8::from(available)));
}

/// Counts ejections of a target.
pub(crate) fn ejections(route: &str, target: &str) -> Counter {
    counter!(UPSTREAM_EJECTIONS, "route" => route.to_owned(), "target" => target.to_owned())
}

/// Sets whether a target gets requests; called when metrics are requested.
pub(crate) fn upstream_healthy(route: &str, target: &str, healthy: bool) {
    gauge!(UPSTREAM_HEALTHY, "route" => route.to_owned(), "target" => target.to_owned())
        .set(f64::from(u8::from(healthy)));
}

/// Load of a route's upstream now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UpstreamLoad {
    /// Open connections, those that wait among them.
    pub connections: usize,
    /// Exchanges in progress.
    pub in_flight: usize,
    /// Targets that get no requests for now.
    pub ejected: usize,
}

/// Sets values that are counted elsewhere; called when metrics are requested.
pub fn sample<'r>(
    sessions: usize,
    key_fetches: impl Iterator<Item = (String, u64)>,
    upstreams: impl Iterator<Item = (&'r str, UpstreamLoad)>,
    dropped: u64,
) {
    gauge!(SESSIONS).set(float(sessions));
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    for (route, load) in upstreams {
        for (name, value) in [
            (UPSTREAM_CONNECTIONS, load.connections),
            (UPSTREAM_EXCHANGES, load.in_flight),
            (UPSTREAM_EJECTED, load.ejected),
        ] {
            gauge!(name, "route" => route.to_owned()).set(float(value));
        }
    }
    for (issuer, fetches) in key_fetches {
        counter!(KEY_FETCHES, "issuer" => issuer).absolute(fetches);
    }
    counter!(DROPPED_LINES).absolute(dropped);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; nothing counted here reaches 2^53"
)]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
