//! What can be seen from outside: every metric and the audit line of a request, listed in one place.

pub mod log;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderValue, StatusCode};
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::{
    authorize::Permitted,
    canonical::{CanonicalRequest, RequestId},
    identify::{Credential, Identified, Identity, Known},
    respond::Refusal,
    route::{Route, Routed},
    session::LiveSession,
};

/// One metric: its name, kind, labels, and what it tells.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// As Prometheus sees it.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

macro_rules! metrics_table {
    ($($constant:ident = $name:literal, $kind:literal, [$($label:literal),*], $help:literal;)*) => {
        $(const $constant: &str = $name;)*
        /// Every metric there is, in the order of the reference page.
        pub const METRICS: &[Metric] = &[
            $(Metric { name: $name, kind: $kind, labels: &[$($label),*], help: $help },)*
        ];
    };
}

metrics_table! {
    REQUESTS = "doorward_requests_total", "counter", ["route", "outcome"],
        "Requests by route and outcome: `forwarded`, `answered` (the gateway's own URLs), or the code of the refusal.";
    STAGES = "doorward_stage_seconds", "histogram", ["stage"],
        "How long the stages took: identify, authorize, forward (to the response head), total.";
    LOGINS = "doorward_logins_total", "counter", ["issuer", "outcome"],
        "Logins begun and ended, by outcome.";
    LOGOUTS = "doorward_logouts_total", "counter", ["issuer", "outcome"],
        "Logouts by who began them.";
    REFRESHES = "doorward_refreshes_total", "counter", ["issuer", "outcome"],
        "Token refreshes of sessions, by outcome.";
    TOKENS = "doorward_token_verifications_total", "counter", ["issuer", "outcome"],
        "Bearer tokens: `cached`, `verified`, or the check that failed.";
    SESSIONS_OPENED = "doorward_session_opens_total", "counter", ["outcome"],
        "Session cookies presented: `cached`, `opened` from the store, `unknown`.";
    SESSIONS = "doorward_sessions", "gauge", [],
        "Sessions held in memory.";
    SHADOWS = "doorward_shadow_rules_total", "counter", ["route", "rule", "outcome"],
        "What shadow rules would have decided.";
    RELOADS = "doorward_config_reloads_total", "counter", ["outcome"],
        "Reloads of the configuration: `ok`, `refused`.";
    CONFIG = "doorward_config_info", "gauge", ["hash"],
        "1 for the configuration in force, by the SHA-256 of its text.";
    KEY_FETCHES = "doorward_jwks_fetches_total", "counter", ["issuer"],
        "Fetches of an issuer's keys.";
    DROPPED_LINES = "doorward_log_lines_dropped_total", "counter", [],
        "Log lines dropped because the log's reader was too slow.";
}

/// Tells the recorder what each metric means.
pub fn describe() {
    for metric in METRICS {
        match metric.kind {
            "counter" => describe_counter!(metric.name, metric.help),
            "gauge" => describe_gauge!(metric.name, metric.help),
            _ => describe_histogram!(metric.name, Unit::Seconds, metric.help),
        }
    }
}

/// Counts a login's step.
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

/// Says which configuration is in force.
pub fn configured(hash: &str, previous: Option<&str>) {
    if let Some(previous) = previous {
        gauge!(CONFIG, "hash" => previous.to_owned()).set(0.0);
    }
    gauge!(CONFIG, "hash" => hash.to_owned()).set(1.0);
}

/// Reads what is only counted elsewhere; called when metrics are asked for.
pub fn sample(sessions: usize, key_fetches: impl Iterator<Item = (String, u64)>, dropped: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; sessions stay below 2^53")]
    gauge!(SESSIONS).set(sessions as f64);
    for (issuer, fetches) in key_fetches {
        counter!(KEY_FETCHES, "issuer" => issuer).absolute(fetches);
    }
    counter!(DROPPED_LINES).absolute(dropped);
}

/// What one request left behind on its way down the line, for its audit line and its metrics.
#[derive(Debug)]
pub struct Trail {
    request_id: Option<RequestId>,
    method: http::Method,
    target: String,
    client: Option<std::net::IpAddr>,
    route: Option<Arc<Route>>,
    own_url: bool,
    known: Option<Arc<Known>>,
    credential: &'static str,
    rule: Option<usize>,
    cookies: Vec<HeaderValue>,
    session: Option<Arc<LiveSession>>,
    begun: Instant,
    stage_begun: Instant,
}

impl Trail {
    /// Begins at the head of the line.
    pub fn new(request: &CanonicalRequest) -> Self {
        let now = now();
        Self {
            request_id: Some(request.request_id().clone()),
            method: request.method().clone(),
            target: request.path().as_str().to_owned(),
            client: request.client_ip(),
            route: None,
            own_url: false,
            known: None,
            credential: "none",
            rule: None,
            cookies: Vec::new(),
            session: None,
            begun: now,
            stage_begun: now,
        }
    }

    /// For a request that could not be understood.
    pub fn unread(request_id: Option<RequestId>) -> Self {
        let now = now();
        Self {
            request_id,
            method: http::Method::default(),
            target: String::new(),
            client: None,
            route: None,
            own_url: false,
            known: None,
            credential: "none",
            rule: None,
            cookies: Vec::new(),
            session: None,
            begun: now,
            stage_begun: now,
        }
    }

    /// The request is for one of the gateway's own URLs.
    pub fn own_url(&mut self) {
        self.own_url = true;
    }

    /// A route was chosen.
    pub fn routed(&mut self, routed: &Routed) {
        self.route = Some(Arc::clone(&routed.route));
    }

    /// The caller was looked up.
    pub fn identified(&mut self, identified: &Identified) {
        self.stage("identify");
        if let Identity::Known(known) = &identified.identity {
            self.known = Some(Arc::clone(known));
        }
        self.credential = match &identified.credential {
            Credential::None => "none",
            Credential::Bearer { .. } => "bearer",
            Credential::Session(session) => {
                self.session = Some(Arc::clone(session));
                "session"
            }
        };
        self.cookies.clone_from(&identified.cookies);
        self.shadows(identified);
    }

    /// The policy said yes.
    pub fn permitted(&mut self, permitted: &Permitted) {
        self.stage("authorize");
        self.rule = Some(permitted.rule());
    }

    /// `Set-Cookie` values the answer must carry.
    pub fn take_cookies(&mut self) -> Vec<HeaderValue> {
        std::mem::take(&mut self.cookies)
    }

    /// What pages call the caller.
    pub fn who(&self) -> Option<String> {
        self.known.as_ref().map(|known| known.display_name().to_owned())
    }

    /// The session the request came with.
    pub fn session(&self) -> Option<&LiveSession> {
        self.session.as_deref()
    }

    /// Whether this was a plain request for `/` that no route owns.
    pub fn is_home(&self) -> bool {
        self.target == "/" && self.route.is_none()
    }

    /// The request was answered, by the upstream or by the gateway itself.
    pub fn answered(mut self, status: StatusCode) {
        let outcome = if self.own_url { "answered" } else { "forwarded" };
        if !self.own_url {
            self.stage("forward");
        }
        self.finish(outcome, status, None);
    }

    /// The request was refused.
    pub fn refused(self, refusal: &Refusal) {
        if let Refusal::Forbidden { rule, .. } = refusal {
            let rule = *rule;
            return Self { rule, ..self }.finish(refusal.code(), refusal.status(), Some(refusal));
        }
        self.finish(refusal.code(), refusal.status(), Some(refusal));
    }

    fn stage(&mut self, stage: &'static str) {
        let now = now();
        histogram!(STAGES, "stage" => stage).record(seconds(now - self.stage_begun));
        self.stage_begun = now;
    }

    fn shadows(&self, identified: &Identified) {
        let Routed { request, route } = &identified.routed;
        for (rule, allowed) in
            route.policy.shadows(request.method(), request.path(), &identified.identity)
        {
            let outcome = if allowed { "allow" } else { "refuse" };
            counter!(SHADOWS, "route" => route.name.clone(), "rule" => rule.to_string(), "outcome" => outcome)
                .increment(1);
            tracing::info!(route = route.name, rule, outcome, "shadow rule");
        }
    }

    /// The audit line: one for each request, with the decision and its reason.
    fn finish(&self, outcome: &'static str, status: StatusCode, refusal: Option<&Refusal>) {
        let took = now() - self.begun;
        histogram!(STAGES, "stage" => "total").record(seconds(took));
        let route = self.route.as_ref().map_or("-", |route| route.name.as_str());
        counter!(REQUESTS, "route" => route.to_owned(), "outcome" => outcome).increment(1);
        let decision = match refusal {
            None => "allow",
            Some(Refusal::LoginNeeded { .. }) => "sign_in",
            Some(_) => "refuse",
        };
        let reason = refusal.map(ToString::to_string);
        let server_fault = status.is_server_error() && refusal.is_some();
        let known = self.known.as_deref();
        macro_rules! audit {
            ($level:ident) => {
                tracing::$level!(
                    target: "doorward::audit",
                    request_id = self.request_id.as_ref().map(RequestId::as_str),
                    decision,
                    outcome,
                    status = status.as_u16(),
                    method = self.method.as_str(),
                    path = self.target.as_str(),
                    route,
                    rule = self.rule,
                    subject = known.map(|known| known.subject.as_str()),
                    user = known.and_then(|known| known.preferred_username.as_deref()),
                    client = known.and_then(|known| known.client.as_deref()),
                    credential = self.credential,
                    address = self.client.map(tracing::field::display),
                    reason = reason.as_deref(),
                    took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                    "request"
                )
            };
        }
        if server_fault {
            audit!(warn);
        } else {
            audit!(info);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "durations are measured here and decide nothing")]
fn now() -> Instant {
    Instant::now()
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
