//! The table of metrics, from which the reference page is generated.

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
        $(pub(super) const $constant: &str = $name;)*
        /// All metrics, in the order of the reference page.
        pub const METRICS: &[Metric] = &[
            $(Metric { name: $name, kind: $kind, labels: &[$($label),*], help: $help },)*
        ];
    };
}

metrics_table! {
    REQUESTS = "doorward_requests_total", "counter", ["route", "outcome"],
        "Requests by route and outcome: `forwarded`, `answered` (the gateway's own URLs), or the code of the refusal.";
    WORKLOADS = "doorward_workload_requests_total", "counter", ["route", "issuer", "subject", "outcome"],
        "Requests of workloads: `allowed`, `refused`. `subject` is the first pattern of the route's `subjects` that the caller's `sub` matches, `-` for none.";
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
        "Logins: `started`, then `ok` or the failure: `refused_by_provider`, `provider_unavailable`, `issuer_misconfigured`, `too_many_requests`, `login_replayed`, `sign_in_too_weak`, `no_transaction`, `ended_meanwhile`, `session_too_large`, `failed`, or the code of the failed check.";
    LOGOUTS = "doorward_logouts_total", "counter", ["issuer", "outcome"],
        "Logouts: `here`, `by_provider` (back-channel), `by_browser` (front-channel), a front-channel request that names no session (`bad_request`), or a logout token that was `replayed` or a `bad_token`.";
    REFRESHES = "doorward_refreshes_total", "counter", ["issuer", "outcome"],
        "Token refreshes of sessions: `ok`, `unavailable` (retried later), `invalid_grant`, `bad_id_token`, `bad_user_info` and `wrong_subject` (the session ends), `error`.";
    EXCHANGES = "doorward_token_exchanges_total", "counter", ["issuer", "outcome"],
        "Requests that waited for a token that their caller's was exchanged for: `ok`, or the code of the refusal.";
    OUTBOUND = "doorward_outbound_requests_total", "counter", ["target", "outcome"],
        "Requests of the listener `outbound`, by target (`-` for none): `forwarded`, `token`, or the code of the refusal.";
    TOKENS = "doorward_token_verifications_total", "counter", ["issuer", "outcome"],
        "Bearer tokens: `cached`, `verified`, `introspected`, `too_many_requests` (the issuer is not called), or the check that failed.";
    API_KEYS_REFUSED = "doorward_api_key_refusals_total", "counter", ["reason"],
        "API keys that were not accepted: `malformed`, `checksum` (mistyped), `unknown`, `wrong_secret`, `revoked`, `expired`, `owner_unknown` or `owner_away` (suspended), `issuer_gone`, `other_route`, `not_here` (one of the gateway's own URLs), `too_many_requests` (not checked).";
    SESSIONS_OPENED = "doorward_session_opens_total", "counter", ["outcome"],
        "Session cookies presented: `cached`, `opened` from the store, `unknown`.";
    SESSIONS = "doorward_sessions", "gauge", [],
        "Sessions that the store keeps; with the store `cookie`, those that this process used lately.";
    STORE_SECONDS = "doorward_store_seconds", "histogram", ["operation", "outcome"],
        "Duration of calls to the store `redis`, by operation and outcome: `ok`, `timeout`, `failed` (an error, or no connection), `refused` (too many calls in flight).";
    STORE_CONNECTIONS = "doorward_store_reconnects_total", "counter", ["connection"],
        "Connections to the store `redis` made again after a loss: `calls`, `turns`.";
    STORE_CHANGES = "doorward_store_changes_arriving", "gauge", [],
        "1 while changes of other gateways arrive from the store `redis`; at 0 every session is read before it is used.";
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
    ISSUER_AVAILABLE = "doorward_issuer_available", "gauge", ["issuer"],
        "1 while the issuer's metadata and keys are known and not too old, else 0: `/readyz` has the reason.";
    STORE_AVAILABLE = "doorward_store_available", "gauge", [],
        "1 while the store of sessions answers, else 0.";
    UPSTREAM_CONNECTIONS = "doorward_upstream_connections", "gauge", ["route"],
        "Open connections to the route's upstream, those that wait among them.";
    UPSTREAM_EXCHANGES = "doorward_upstream_in_flight", "gauge", ["route"],
        "Exchanges with the route's upstream in progress, open WebSockets among them.";
    UPSTREAM_EJECTED = "doorward_upstream_targets_ejected", "gauge", ["route"],
        "Targets of the route's upstream that get no requests for now, because they could not be reached.";
    UPSTREAM_HEALTHY = "doorward_upstream_healthy", "gauge", ["route", "target"],
        "1 while the target gets requests; 0 while it is ejected or fails its health check.";
    UPSTREAM_EJECTIONS = "doorward_upstream_ejections_total", "counter", ["route", "target"],
        "Ejections of the target: its connections failed, were closed before a response, or its health check failed.";
    UPSTREAM_RETRIES = "doorward_upstream_retries_total", "counter", ["route", "outcome"],
        "Second attempts: `ok` when the upstream answered, `failed`, or `no_budget` when none was made because too many recent requests had one.";
    CONNECTIONS = "doorward_connections", "gauge", [],
        "Open connections from clients.";
    CONNECTIONS_LIMIT = "doorward_connections_limit", "gauge", [],
        "Most connections from clients at once: `limits.connections`, or fewer where the process may open few files.";
    WORKER_CONNECTIONS = "doorward_worker_connections", "gauge", ["worker"],
        "Open connections from clients that this worker thread serves.";
    WORKER_BUSY = "doorward_worker_busy_seconds", "gauge", ["worker"],
        "Time since the start in which this worker thread did not wait. Its growth for each second is the part of a core that it uses.";
    LIMITS = "doorward_limits_reached_total", "counter", ["limit"],
        "Clients that reached a limit of the listener, by its key in `limits`. At `connections` new ones wait; at `per_address` a connection is closed; the others end the request or the connection. And `upstream_connections`: a request waited for a file descriptor to its upstream.";
    USER_LIMITS = "doorward_user_limits_reached_total", "counter", ["limit"],
        "Requests refused with 429, by the key in `limits.per_user` of their route.";
    MODEL_TOKENS = "doorward_model_tokens_total", "counter", ["route", "issuer", "client", "model", "direction"],
        "Tokens that answers of routes with `usage` state, by `direction`: `input`, `output`. The first 64 models and 256 clients have labels of their own, the others are `other`.";
    MODEL_ANSWERS = "doorward_model_answers_total", "counter", ["route", "outcome"],
        "Answers of routes with `usage`: `counted`, `unknown` (no usage in it), `estimated` (broken off, or a stream without usage).";
    ACCEPT_ERRORS = "doorward_accept_errors_total", "counter", [],
        "Connections that could not be accepted, for example because the process has no file descriptor left.";
    PROXY_PROTOCOL = "doorward_proxy_protocol_refused_total", "counter", ["reason"],
        "Connections closed for their header of the PROXY protocol: `untrusted` (the peer is not in `trusted_proxies`), `malformed`, `timeout`, `crowded` (the client that it tells has too many connections).";
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
