//! Every metric: its name, its meaning, and the one place where it is counted.
//!
//! docs/reference/metrics.md is generated from the table. Labels hold names of the configuration and words of the code, never a
//! value that a client sent, so that no client can create series.

mod route;

pub use self::route::RouteMeters;

use std::{sync::LazyLock, time::Duration};

use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

/// One metric: its name, kind, labels and meaning.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name in Prometheus.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// Its meaning.
    pub help: &'static str,
}

macro_rules! metrics_table {
    ($($constant:ident = $name:literal, $kind:literal, [$($label:literal),*], $help:literal;)*) => {
        $(const $constant: &str = $name;)*
        /// All metrics, in the order of the reference page.
        pub const METRICS: &[Metric] = &[
            $(Metric { name: $name, kind: $kind, labels: &[$($label),*], help: $help },)*
        ];
    };
}

metrics_table! {
    REQUESTS = "doorward_requests_total", "counter", ["route", "outcome"],
        "Requests by route and outcome: `forwarded`, `answered` (the gateway's own URLs), or the code of the refusal.";
    UNDERSCORED = "doorward_underscored_headers_dropped_total", "counter", ["route"],
        "Request header fields removed because their name has `_`, which many servers read as `-`.";
    STAGES = "doorward_stage_seconds", "histogram", ["stage"],
        "Duration of the stages: identify, authorize, forward (to the response head), total.";
    REQUEST_SECONDS = "doorward_request_seconds", "histogram", ["route"],
        "Duration of forwarded requests by route, to the head of the response.";
    UPSTREAM_SECONDS = "doorward_upstream_seconds", "histogram", ["route"],
        "Time from the decision to the head of the upstream's response, by route.";
    UPSTREAM_RESPONSES = "doorward_upstream_responses_total", "counter", ["route", "status"],
        "Responses of the route's upstream, by the class of their status: `1xx` (a WebSocket) to `5xx`.";
    BYTES = "doorward_body_bytes_total", "counter", ["route", "direction"],
        "Bytes of bodies: `received` from clients, `sent` to them. WebSockets are not counted.";
    LOGINS = "doorward_logins_total", "counter", ["issuer", "outcome"],
        "Logins: `started`, then `ok` or the failure: `refused_by_provider`, `provider_unavailable`, `issuer_misconfigured`, `too_many_requests`, `login_replayed`, `no_transaction`, `ended_meanwhile`, `session_too_large`, `failed`, or the code of the failed check.";
    LOGOUTS = "doorward_logouts_total", "counter", ["issuer", "outcome"],
        "Logouts: `here`, `by_provider` (back-channel), `by_browser` (front-channel), a front-channel request that names no session (`bad_request`), or a logout token that was `replayed` or a `bad_token`.";
    REFRESHES = "doorward_refreshes_total", "counter", ["issuer", "outcome"],
        "Token refreshes of sessions: `ok`, `unavailable` (retried later), `invalid_grant`, `bad_id_token`, `bad_user_info` and `wrong_subject` (the session ends), `error`.";
    TOKENS = "doorward_token_verifications_total", "counter", ["issuer", "outcome"],
        "Bearer tokens: `cached`, `verified`, `introspected`, `too_many_requests` (the issuer is not called), or the check that failed.";
    SESSIONS_OPENED = "doorward_session_opens_total", "counter", ["outcome"],
        "Session cookies presented: `cached`, `opened` from the store, `unknown`.";
    SESSIONS = "doorward_sessions", "gauge", [],
        "Sessions that the store keeps; with the store `cookie`, those that this process used lately.";
    BUILD = "doorward_build_info", "gauge", ["version"],
        "1 for the version of this program.";
    SHADOWS = "doorward_shadow_rules_total", "counter", ["route", "rule", "outcome"],
        "Decisions of shadow rules, which are not enforced: `allow`, `refuse`.";
    RELOADS = "doorward_config_reloads_total", "counter", ["outcome"],
        "Reloads of the configuration: `ok`, `refused`.";
    CONFIG = "doorward_config_info", "gauge", ["hash"],
        "1 for the configuration in force, by the SHA-256 of its text.";
    KEY_FETCHES = "doorward_jwks_fetches_total", "counter", ["issuer"],
        "Fetches of an issuer's keys.";
    UPSTREAM_CONNECTIONS = "doorward_upstream_connections", "gauge", ["route"],
        "Open connections to the route's upstream, those that wait among them.";
    UPSTREAM_EXCHANGES = "doorward_upstream_in_flight", "gauge", ["route"],
        "Exchanges with the route's upstream in progress, open WebSockets among them.";
    UPSTREAM_EJECTED = "doorward_upstream_targets_ejected", "gauge", ["route"],
        "Targets of the route's upstream that get no requests for now, because they could not be reached.";
    CONNECTIONS = "doorward_connections", "gauge", [],
        "Open connections from clients.";
    CONNECTIONS_LIMIT = "doorward_connections_limit", "gauge", [],
        "Most connections from clients at once: `limits.connections`, or fewer where the process may open few files.";
    LIMITS = "doorward_limits_reached_total", "counter", ["limit"],
        "Clients that reached a limit of the listener, by its key in `limits`. At `connections` new ones wait; at `per_address` a connection is closed; the others end the request or the connection. And `upstream_connections`: a request waited for a file descriptor to its upstream.";
    ACCEPT_ERRORS = "doorward_accept_errors_total", "counter", [],
        "Connections that could not be accepted, for example because the process has no file descriptor left.";
    MALFORMED = "doorward_malformed_requests_total", "counter", ["reason"],
        "Requests that violate HTTP, by the violated rule.";
    PANICS = "doorward_panics_total", "counter", [],
        "Requests answered with 500 because of a bug. Please report it.";
    HANDSHAKES = "doorward_tls_handshake_failures_total", "counter", ["outcome"],
        "Failed TLS handshakes: `failed`, `timeout`.";
    CERTIFICATES = "doorward_certificate_reloads_total", "counter", ["outcome"],
        "Changes of the certificate's files: `replaced`, `refused` (the old one stays in use), `failed`.";
    DROPPED_LINES = "doorward_log_lines_dropped_total", "counter", [],
        "Log lines dropped because the log's reader was too slow.";
    SPANS = "doorward_trace_spans_total", "counter", ["outcome"],
        "Spans of traces: `exported`, `refused` by the collector, or `dropped` because too many waited for it.";
}

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

/// Counts a bearer token.
pub fn token_verified(issuer: &str, outcome: &'static str) {
    counter!(TOKENS, "issuer" => issuer.to_owned(), "outcome" => outcome).increment(1);
}

/// Counts a session cookie.
pub fn session_opened(outcome: &'static str) {
    counter!(SESSIONS_OPENED, "outcome" => outcome).increment(1);
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

/// Sets the most connections from clients at once.
pub(crate) fn connections_limit(most: usize) {
    gauge!(CONNECTIONS_LIMIT).set(float(most));
}

/// Counts a client that reached a limit of the listener.
pub(crate) fn limit_reached(limit: &'static str) {
    counter!(LIMITS, "limit" => limit).increment(1);
}

/// Counts a connection that could not be accepted.
pub(crate) fn accept_failed() {
    counter!(ACCEPT_ERRORS).increment(1);
}

/// Counts a request that violates HTTP.
pub(crate) fn malformed(reason: &'static str) {
    counter!(MALFORMED, "reason" => reason).increment(1);
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
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    #[test]
    fn every_metric_of_the_table_is_counted_and_no_other() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            login("main", "ok");
            logout("main", "here");
            refreshed("main", "ok");
            token_verified("main", "verified");
            session_opened("opened");
            reloaded("ok");
            configured("abc", Some("xyz"));
            request("app", "no_route");
            underscored("app").increment(1);
            let meters = RouteMeters::new("app");
            meters.forwarded(
                http::StatusCode::NOT_FOUND,
                Duration::from_millis(7),
                Duration::from_millis(5),
            );
            meters.sent(5);
            meters.received(3);
            // `stage` keeps handles of whichever recorder the first test to call it had.
            histogram!(STAGES, "stage" => "total").record(0.005);
            shadow("app", 1, "allow");
            connections(1.0);
            accept_failed();
            connections_limit(10);
            limit_reached("head");
            malformed("host");
            panicked();
            handshake_failed("timeout");
            certificate_reloaded("replaced");
            spans("exported").increment(1);
            let load = UpstreamLoad { connections: 2, ..UpstreamLoad::default() };
            sample(3, [("main".to_owned(), 2)].into_iter(), [("app", load)].into_iter(), 1);
        });
        let page = handle.render();
        let mut counted: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect();
        counted.sort_unstable();
        let mut documented: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
        documented.sort_unstable();
        assert_eq!(counted, documented);
        assert!(page.contains("doorward_upstream_connections{route=\"app\"} 2"), "{page}");
        assert!(page.contains("doorward_config_info{hash=\"xyz\"} 0"), "{page}");
        for line in [
            "doorward_requests_total{route=\"app\",outcome=\"forwarded\"} 1",
            "doorward_upstream_responses_total{route=\"app\",status=\"4xx\"} 1",
            "doorward_body_bytes_total{route=\"app\",direction=\"sent\"} 5",
            "doorward_body_bytes_total{route=\"app\",direction=\"received\"} 3",
            "doorward_request_seconds_count{route=\"app\"} 1",
        ] {
            assert!(page.contains(line), "{line}: {page}");
        }
        let build = format!("doorward_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        assert!(page.contains(&build), "{page}");
    }
}
