//! `auth`: forward-auth for nginx `auth_request`, Traefik ForwardAuth and Caddy `forward_auth`.
//!
//! The proxy in front asks about a request it holds: 202 lets it through, 401 asks for a sign-in, 403 refuses. nginx turns any
//! other status into an error of its own, so no other is sent, but by `?sign_in=redirect` 302 for a navigation that has to sign
//! in. The status that a request in line would get is in `X-Doorward-Status`. The fields that describe the request are read only from `trusted_proxies`, because a client could
//! choose the path that the rules see. A question about no request, or about one of the gateway's own URLs, is refused: a page
//! that reaches this URL through the proxy could otherwise read the user's token from the answer. For the same reason the token
//! is sent only for routes without an upstream: where the gateway forwards the requests itself, a proxy before it may pass a
//! page's own `X-Forwarded-Uri` on to this URL.

use access_policy::{AccessRequest, Caller, Message};
use axum::body::Body;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_canonical::{
    CanonicalHost, CanonicalMethod, CanonicalPath, ForwardAuth, NoQuestion, is_below,
};

use crate::{
    authorize::{Case, Denied, Page, judge},
    endpoints::{Call, Endpoints, parameter},
    identify::{
        Credential, Sender,
        authorization::{Carrier, Takes, other_site},
        possession::Asked,
    },
    refusal::Refusal,
    route::Route,
};

/// `x-doorward-status`: the status that a request in line would have got, where the answer has another.
pub const X_DOORWARD_STATUS: HeaderName = HeaderName::from_static("x-doorward-status");

impl Endpoints {
    pub(super) async fn auth(&self, call: Call) -> Result<Response<Body>, Refusal> {
        let question = call.request.question().map_err(|none| {
            tracing::warn!(peer = ?call.request.peer(), reason = %none, "forward-auth question refused");
            no_question(none)
        })?;
        call.notes.audit(|trail| trail.asked_about(question));
        if self.is_own(&question.path) {
            return Err(own_url());
        }
        let route = self.routes.choose(&question.host, &question.path)?;
        call.notes.audit(|trail| trail.would_take(&route));
        let method = method(question, &route)?;
        let wanted = redirects(&call)?;
        let redirects =
            || wanted && route.sends_to_sign_in(question.websocket, call.request.headers());
        call.notes.challenge_on(&route, question, &method, call.request.headers());
        let asked = Asked {
            method: question.method.as_ref(),
            origin: &|| self.page_origin(&route, &question.host),
            path: &question.path,
        };
        let sender = self.sender(&call, asked, Takes::on(&route)).await?;
        let access = AccessRequest::new(&method, &question.path)
            .with_host(question.host.name())
            .with_times(self.identify.times(&route))
            .with_message(unseen(&method, &route));
        call.notes.audit(|trail| trail.asked_by(&sender, &access));
        if sender.is_ambient() {
            let own = self.page_origin(&route, &question.host);
            if let Some(origin) = other_site(call.request.headers(), &own, &route.origins) {
                return Err(Refusal::ForeignOrigin { origin });
            }
        }
        let case = Case {
            route: &route,
            access,
            sender: &sender,
            page: question.websocket.then(|| Page {
                origin: call.request.headers().get(header::ORIGIN),
                own: self.page_origin(&route, &question.host),
            }),
        };
        let granted = judge(&case).map_err(|denied| match denied {
            Denied::SignIn(level) => Refusal::LoginNeeded {
                route: route.name.clone(),
                redirect: redirects(),
                return_to: call.context.return_to.clone(),
                level,
            },
            Denied::StepUp { needed, session } => Refusal::StrongerSignInNeeded {
                route: route.name.clone(),
                redirect: session && redirects(),
                return_to: call.context.return_to.clone(),
                needed,
            },
            Denied::Refused(refusal) => refusal,
        })?;
        self.throttle.users().asked(&route.name, route.per_user, &sender.caller)?;
        call.notes.audit(|trail| trail.let_through(granted.rule));
        if let Credential::Session(session) = &sender.credential {
            self.sessions.used(session, &route.name);
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::ACCEPTED;
        if !granted.without_identity {
            let token = self.access_token(&sender, &route).await?;
            self.add_identity(&sender, &route, token, &mut response)?;
        }
        Ok(response)
    }

    /// Whether the request is for one of the gateway's own URLs, in any reading of its path.
    pub(crate) fn is_own(&self, path: &CanonicalPath) -> bool {
        let readings = path.readings().iter().map(String::as_str);
        std::iter::once(path.compared())
            .chain(readings)
            .any(|path| is_below(path, &self.prefix_path))
    }

    /// The origin of the route's pages as the browser sees it. A proxy may send the host without the port.
    fn page_origin(&self, route: &Route, host: &CanonicalHost) -> String {
        match host.port() {
            Some(_) => route.origin(host),
            None => self.origin(host),
        }
    }

    /// The access token for the application behind the proxy that asks, of a route without an upstream.
    async fn access_token(
        &self,
        sender: &Sender,
        route: &Route,
    ) -> Result<Option<HeaderValue>, Refusal> {
        let Caller::Known(known) = &sender.caller else { return Ok(None) };
        if route.upstream.is_some() || !route.identity.access_token.is_sent() {
            return Ok(None);
        }
        if let Some(wanted) = &route.exchange {
            let token = self.on_behalf.authorization(route, wanted, known, &sender.credential);
            return Box::pin(token).await.map(Some);
        }
        let token = match &sender.credential {
            Credential::Session(session) => session.access_token(self.clock.now()),
            // Bound to the caller's key: of no use to an upstream, which has no proof.
            Credential::Bearer { carrier: Carrier::Dpop, .. } => None,
            Credential::Bearer { token, .. } => Some(token.clone()),
            Credential::Key { .. } | Credential::Certificate { .. } | Credential::None => None,
        };
        let Some(token) = token else { return Ok(None) };
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))
            .map_err(|error| Refusal::Internal { reason: error.to_string() })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// The identity, by the names that snippets for nginx, Traefik and Caddy copy onto the request.
    fn add_identity(
        &self,
        sender: &Sender,
        route: &Route,
        token: Option<HeaderValue>,
        response: &mut Response<Body>,
    ) -> Result<(), Refusal> {
        let Caller::Known(known) = &sender.caller else { return Ok(()) };
        let headers = response.headers_mut();
        let known = &self.assertions.seen_by(known, route);
        if route.identity.headers {
            for (name, value) in self.assertions.identity(known).named() {
                for prefix in ["x-auth-request", "x-forwarded"] {
                    if let Ok(name) = HeaderName::try_from(format!("{prefix}-{name}")) {
                        headers.insert(name, value.clone());
                    }
                }
            }
        }
        if route.identity.assertion {
            let assertion = self
                .assertions
                .header(known, &route.name)
                .map_err(|error| Refusal::Internal { reason: error.to_string() })?;
            headers.insert("x-doorward-assertion", assertion);
        }
        if let Some(fields) = &route.set {
            for (name, value) in self.assertions.filled(known, fields).iter() {
                headers.insert(name.clone(), value.clone());
            }
        }
        if let Some(value) = token {
            headers.insert("x-auth-request-access-token", value);
        }
        Ok(())
    }
}

/// The method of the request that is asked about. Proxies always ask with GET, so the question is refused if the proxy does not
/// send the method and a rule depends on it.
fn method(question: &ForwardAuth, route: &Route) -> Result<CanonicalMethod, Refusal> {
    match &question.method {
        Some(method) => Ok(method.clone()),
        None if route.policy.depends_on_method() || route.policy.depends_on_message() => {
            Err(refused(
                "a rule of this route depends on the method, which the proxy does not state: send `X-Forwarded-Method`",
            ))
        }
        None => Ok(CanonicalMethod::GET),
    }
}

/// Whether the proxy passes a redirect on to the browser.
fn redirects(call: &Call) -> Result<bool, Refusal> {
    match parameter(call.query(), "sign_in")?.as_deref() {
        None => Ok(false),
        Some("redirect") => Ok(true),
        Some(_) => {
            Err(refused("unknown value of the parameter `sign_in`; the only one is `redirect`"))
        }
    }
}

fn no_question(none: &NoQuestion) -> Refusal {
    Refusal::Malformed {
        status: StatusCode::FORBIDDEN,
        reason: format!("no forward-auth question is answered here: {none}").into(),
    }
}

/// The refusal of a question about one of the gateway's own URLs.
pub(crate) fn own_url() -> Refusal {
    refused("a question about one of the gateway's own URLs is not answered")
}

fn refused(reason: &'static str) -> Refusal {
    Refusal::Malformed { status: StatusCode::FORBIDDEN, reason: reason.into() }
}

/// The answer to a question as proxies understand it: 401 asks for a sign-in, 302 leads to it, any other refusal is 403.
pub(crate) fn not_let_through(mut answer: Response<Body>) -> Response<Body> {
    let status = answer.status();
    if !matches!(status, StatusCode::FOUND | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        answer.headers_mut().insert(X_DOORWARD_STATUS, HeaderValue::from(status.as_u16()));
        *answer.status_mut() = StatusCode::FORBIDDEN;
    }
    answer
}

/// The message of a request that a proxy holds: it does not send the body.
fn unseen(method: &CanonicalMethod, route: &Route) -> Message<'static> {
    let safe = matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS");
    if safe || !route.policy.depends_on_message() { Message::None } else { Message::Unread }
}
