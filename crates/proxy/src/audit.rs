//! The audit line of a request, its metrics and its span. Records the decisions of the stages, and makes none.

mod line;
mod shadows;
mod tally;

use self::{
    line::{Exchanged, Line},
    shadows::shadows,
};
pub(crate) use self::{
    line::{StreamEnd, stream_ended},
    tally::{SpentTokens, Tally},
};

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use access_policy::{AccessRequest, Caller, Known};
use http_canonical::ForwardAuth;
use web_sessions::LiveKey;

use crate::{
    authorize::Permitted,
    config::SignedOut,
    identify::{Credential, Identified, Sender},
    listen::{CanonicalRequest, Glimpse},
    mcp::McpMessage,
    metric::{self, Stage},
    refusal::Refusal,
    route::{Route, Routed},
    telemetry::{self, Span},
};
use http::StatusCode;

/// Record of one request on its way through the stages, for its audit line and its metrics. The span of the request gives the
/// line its `request_id`.
#[derive(Debug)]
pub struct Trail {
    method: http::Method,
    target: String,
    client: Option<std::net::IpAddr>,
    route: Option<Arc<Route>>,
    own_url: bool,
    /// The gateway's own URL, for the span.
    own_path: Option<String>,
    known: Option<Arc<Known>>,
    credential: &'static str,
    /// Present when the credential is an API key.
    key: Option<Arc<LiveKey>>,
    rule: Option<usize>,
    /// The message of MCP, where rules speak of messages.
    message: Option<Arc<McpMessage>>,
    begun: Instant,
    stage_begun: Instant,
    /// Present when the trace is recorded.
    span: Option<Span>,
    /// Present when an upstream answered.
    exchange: Option<Arc<Tally>>,
}

impl Trail {
    /// Starts the record of a request.
    pub fn new(request: &CanonicalRequest) -> Self {
        Self {
            method: request.method().clone().into_http(),
            target: request.path().as_str().to_owned(),
            client: request.client_ip(),
            ..Self::unread()
        }
    }

    /// Starts the record of a request that is refused before it was read.
    pub fn glimpsed(glimpse: &Glimpse) -> Self {
        Self {
            method: glimpse.method.clone(),
            target: glimpse.path.clone(),
            client: glimpse.peer.ip(),
            ..Self::unread()
        }
    }

    /// Starts the record of a request of which nothing is known.
    pub fn unread() -> Self {
        let now = now();
        Self {
            method: http::Method::default(),
            target: String::new(),
            client: None,
            route: None,
            own_url: false,
            own_path: None,
            known: None,
            credential: "none",
            key: None,
            rule: None,
            message: None,
            begun: now,
            stage_begun: now,
            span: None,
            exchange: None,
        }
    }

    /// With the span of the request.
    #[must_use]
    pub(crate) fn with_span(mut self, span: Option<Span>) -> Self {
        self.span = span;
        self
    }

    /// Notes that the request is for one of the gateway's own URLs.
    pub fn own_url(&mut self) {
        self.own_url = true;
        if self.span.is_some() {
            self.own_path = Some(self.target.clone());
        }
    }

    /// The route that was chosen.
    pub fn route(&self) -> Option<&Route> {
        self.route.as_deref()
    }

    /// Notes the chosen route.
    pub fn routed(&mut self, routed: &Routed) {
        self.route = Some(Arc::clone(&routed.route));
    }

    /// Notes the caller.
    pub fn identified(&mut self, identified: &Identified) {
        self.stage(Stage::Identify);
        self.called_by(&identified.sender);
        let Routed { request, route } = &identified.routed;
        self.message = identified.read_message().cloned();
        let access = AccessRequest::new(request.method(), request.path())
            .with_host(request.host().name())
            .with_times(identified.times)
            .with_message(identified.message());
        shadows(route, &access, &identified.sender.caller);
    }

    /// Notes the request about which a proxy in front asks: the decision is about that one.
    pub fn asked_about(&mut self, question: &ForwardAuth) {
        if let Some(method) = &question.method {
            self.method = method.clone().into_http();
        }
        self.target = question.path.as_str().to_owned();
    }

    /// Notes the route that the request asked about would take.
    pub fn would_take(&mut self, route: &Arc<Route>) {
        self.route = Some(Arc::clone(route));
    }

    /// Notes the caller of the request asked about.
    pub fn asked_by(&mut self, sender: &Sender, access: &AccessRequest<'_>) {
        self.called_by(sender);
        if let Some(route) = &self.route {
            shadows(route, access, &sender.caller);
        }
    }

    /// Notes the rule that would let the request asked about through.
    pub fn let_through(&mut self, rule: usize) {
        self.rule = Some(rule);
    }

    /// Notes that the policy permitted the request.
    pub fn permitted(&mut self, permitted: &Permitted) {
        self.stage(Stage::Authorize);
        self.rule = Some(permitted.rule());
    }

    /// Notes the account of the exchange with the upstream that answered.
    pub(crate) fn exchanged(&mut self, exchange: Option<Arc<Tally>>) {
        self.exchange = exchange;
    }

    /// Finishes a request that was answered, by the upstream or by the gateway itself. The line of a plain exchange is written
    /// at its end, with the bytes of its bodies.
    pub fn answered(mut self, status: StatusCode) {
        let outcome = if self.own_url { "answered" } else { "forwarded" };
        let forwarding = if self.own_url { None } else { Some(self.stage(Stage::Forward)) };
        match (&self.route, forwarding) {
            (Some(route), Some(upstream)) => {
                route.meters.forwarded(status, now() - self.begun, upstream);
                route.meters.called_by(self.known.as_deref(), true);
            }
            _ => metric::request("-", outcome),
        }
        match self.exchange.take() {
            Some(exchange) => exchange.answered(self, outcome, status),
            None => self.finish(outcome, status, None),
        }
    }

    /// Finishes a request that was refused.
    pub fn refused(self, refusal: &Refusal) {
        self.refused_with(refusal, refusal.status());
    }

    /// Finishes a request that was refused with another status than the refusal's own.
    pub fn refused_with(self, refusal: &Refusal, status: StatusCode) {
        metric::request(self.route_name(), refusal.code());
        if let (Refusal::Forbidden { .. }, Some(route)) = (refusal, &self.route) {
            route.meters.called_by(self.known.as_deref(), false);
        }
        if let Refusal::Forbidden { rule, .. } = refusal {
            let rule = *rule;
            return Self { rule, ..self }.finish(refusal.code(), status, Some(refusal));
        }
        self.finish(refusal.code(), status, Some(refusal));
    }

    /// Answer of the route to scripts of pages whose user is not signed in.
    pub fn signed_out(&self) -> SignedOut {
        match &self.route {
            Some(route) if !self.own_url => route.signed_out,
            _ => SignedOut::default(),
        }
    }

    fn route_name(&self) -> &str {
        self.route.as_ref().map_or("-", |route| route.name.as_str())
    }

    /// Ends a stage, and returns its duration.
    fn stage(&mut self, stage: Stage) -> Duration {
        let now = now();
        let took = now - self.stage_begun;
        metric::stage(stage, took);
        self.stage_begun = now;
        took
    }

    fn called_by(&mut self, sender: &Sender) {
        if let Caller::Known(known) = &sender.caller {
            self.known = Some(Arc::clone(known));
        }
        self.credential = name_of(&sender.credential);
        if let Credential::Key { key, .. } = &sender.credential {
            self.key = Some(Arc::clone(key));
        }
    }

    /// Writes the audit line: one for each request, with the decision and its reason.
    fn finish(mut self, outcome: &'static str, status: StatusCode, refusal: Option<&Refusal>) {
        let took = self.total(outcome, status);
        self.write(&Line { outcome, status, refusal, took, exchange: None });
    }

    /// Counts the time to the head of the answer, and describes the request in its span.
    fn total(&mut self, outcome: &'static str, status: StatusCode) -> Duration {
        let took = now() - self.begun;
        metric::stage(Stage::Total, took);
        if let Some(mut span) = self.span.take() {
            self.describe(&mut span, outcome, status);
            self.span = Some(span);
        }
        took
    }

    #[cold]
    fn describe(&self, span: &mut Span, outcome: &'static str, status: StatusCode) {
        let method = telemetry::known(&self.method);
        let prefix = match &self.own_path {
            // No client may choose the name of a span.
            Some(path) => (status != StatusCode::NOT_FOUND).then(|| path.clone()),
            None => self.route.as_ref().map(|route| route.prefix.as_str().to_owned()),
        };
        span.name(match &prefix {
            Some(prefix) => Cow::Owned(format!("{method} {prefix}")),
            None => Cow::Borrowed(method),
        });
        span.set("http.request.method", method);
        span.path(&self.target);
        span.status(status);
        span.set("doorward.outcome", outcome);
        if let Some(prefix) = prefix {
            span.set("http.route", prefix);
        }
        if let Some(route) = &self.route {
            span.set("doorward.route", route.name.clone());
        }
    }
}

fn name_of(credential: &Credential) -> &'static str {
    match credential {
        Credential::None => "none",
        Credential::Bearer { carrier, .. } | Credential::Key { carrier, .. } => carrier.as_str(),
        Credential::Session(_) => "session",
        Credential::Certificate { .. } => "certificate",
    }
}

#[expect(clippy::disallowed_methods, reason = "durations are measured here and decide nothing")]
fn now() -> Instant {
    Instant::now()
}
