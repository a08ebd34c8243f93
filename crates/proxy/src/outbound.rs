//! The local listener for programs that must not hold credentials: it gives them access tokens, and adds tokens to their requests.
//!
//! | request | answer |
//! |---|---|
//! | `GET /token?audience=NAME` | a token for the target with this audience, as JSON |
//! | `GET /token?target=NAME` | a token for the target of this name |
//! | any method, `/NAME/…` | the answer of the target, which gets the request with a token |
//! | WebSocket, `/NAME/…` | a WebSocket of the target, which gets the handshake with a token |
//!
//! It listens on a loopback address or a Unix socket, and serves nothing of the public listeners. Any program that reaches it may
//! use its targets; a browser may not.

mod body;
mod guard;
mod refused;
mod send;
mod socket;
mod target;
mod token;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Instant, SystemTime},
};

use access_policy::{Caller, Known};
use arc_swap::ArcSwapOption;
use http::{Method, Request, Response};
use http_canonical::{CanonicalPath, Keep, PathRefusal, RequestId, Trust};
use oidc_core::{Clock, Secret, dpop::DpopChecker, verify::Presented as AccessToken};

pub(crate) use self::target::{Target, Tokens};
use self::{refused::Refused, socket::Opener, token::Asked};
use crate::{
    identify::{
        Credential,
        authorization::{Carrier, Presented, Takes, presented},
        bearer::{self, Sent},
        issuers::Issuers,
    },
    listen::{Body, CanonicalRequest, ConnInfo, Drain, canonical},
    metric,
    throttle::Throttle,
};

/// The path of tokens.
const TOKEN: &str = "/token";

/// The targets of the present configuration; a reload makes others.
pub struct Outbound {
    /// The targets, by name.
    pub(crate) targets: BTreeMap<String, Arc<Target>>,
    /// The issuers of the users' tokens that are exchanged.
    pub(crate) issuers: Arc<Issuers>,
    /// Limits the calls to an issuer for tokens that only the issuer can read.
    pub(crate) throttle: Arc<Throttle>,
    /// Checks proofs of possession; a token that needs one is refused.
    pub(crate) proofs: Arc<DpopChecker>,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Ends WebSockets when the gateway stops.
    pub(crate) drain: Drain,
}

/// The targets in use; none while the configuration has no `outbound`.
pub type Current = Arc<ArcSwapOption<Outbound>>;

/// The user on whose behalf a target is called.
struct Subject {
    token: Secret,
    /// The end of the token, and of the leeway.
    good_until: Option<SystemTime>,
}

/// Facts about a request for its log line.
struct Record {
    method: Method,
    path: String,
    target: Option<String>,
    /// Whether a token is asked for.
    token: bool,
    user: Option<Arc<Known>>,
    begun: Instant,
}

impl Outbound {
    async fn serve(
        &self,
        request: Request<Body>,
        record: &mut Record,
    ) -> Result<Response<Body>, Refused> {
        guard::programs_only(request.headers())?;
        let says_local = guard::says_local(request.headers());
        let no_connection = || Refused::Internal("the request has no connection".to_owned());
        let connection = request.extensions().get::<Arc<ConnInfo>>().cloned();
        let connection = connection.ok_or_else(no_connection)?;
        let request = canonical(request, &Trust::none()).ok_or_else(no_connection)??;
        guard::own_host(request.host(), &connection.local)?;
        request.path().check(Keep::default())?;
        let name = target_name(request.path())?;
        if request.path().compared() == TOKEN {
            record.token = true;
            if !says_local {
                return Err(Refused::NotLocal);
            }
            if request.opens_websocket() {
                return Err(Refused::WebSocket);
            }
            if request.method().clone().into_http() != Method::GET {
                return Err(Refused::Method);
            }
            let target = self.asked(Asked::of(request.query())?)?;
            record.target = Some(target.name.clone());
            let subject = self.subject(target, &request, record).await?;
            let token = target.tokens.token(subject.as_ref().map(|user| &user.token)).await?;
            return Ok(token::answer(&token, self.clock.now()));
        }
        let target = self.targets.get(name).ok_or_else(|| Refused::NoTarget(self.names()))?;
        record.target = Some(target.name.clone());
        let subject = self.subject(target, &request, record).await?;
        let (subject, user_until) = match subject {
            Some(Subject { token, good_until }) => (Some(token), good_until),
            None => (None, None),
        };
        let token = target.tokens.token(subject.as_ref()).await?;
        if request.opens_websocket() {
            let opener = Opener {
                path: record.path.clone(),
                user: record.user.clone(),
                user_until,
                clock: Arc::clone(&self.clock),
                drain: self.drain.clone(),
            };
            return Box::pin(target.open(request, token, subject.as_ref(), opener)).await;
        }
        Box::pin(target.send(request, token, subject.as_ref())).await
    }

    fn asked(&self, asked: Asked) -> Result<&Arc<Target>, Refused> {
        let audience = match asked {
            Asked::Target(name) => {
                return self.targets.get(&name).ok_or_else(|| Refused::NoTarget(self.names()));
            }
            Asked::Audience(audience) => audience,
        };
        let has = |target: &&Arc<Target>| target.audience.as_ref() == Some(&audience);
        let mut found = self.targets.values().filter(has);
        match (found.next(), found.next()) {
            (Some(target), None) => Ok(target),
            (Some(_), Some(_)) => {
                let all = self.targets.values().filter(has);
                Err(Refused::SeveralTargets(joined(all.map(|target| target.name.as_str()))))
            }
            (None, _) => {
                let all = self.targets.values().filter_map(|target| target.audience.as_deref());
                Err(Refused::NoAudience(joined(all)))
            }
        }
    }

    /// The verified token of the user on whose behalf the target is called; `None` where it is called for the program itself.
    async fn subject(
        &self,
        target: &Target,
        request: &CanonicalRequest,
        record: &mut Record,
    ) -> Result<Option<Subject>, Refused> {
        if !target.tokens.need_subject() {
            return Ok(None);
        }
        let Presented::Bearer(token) = presented(request.headers(), Takes::BEARER) else {
            return Err(Refused::NoSubject);
        };
        let verifier = self.issuers.verifier(&[]).ok_or(Refused::NoSubject)?;
        let (issuers, throttle) = (&self.issuers, &self.throttle);
        let sent =
            Sent { carrier: Carrier::Bearer, client: request.client_ip(), certificate: None };
        let token_alone = AccessToken::bearer(token);
        let sender =
            bearer::identify(issuers, verifier, throttle, &self.proofs, token_alone, sent).await;
        let sender = sender.map_err(|refusal| Refused::Subject(Box::new(refusal)))?;
        match (sender.caller, sender.credential) {
            (Caller::Known(known), Credential::Bearer { token, good_until, .. })
                if known.issuer == target.issuer =>
            {
                record.user = Some(known);
                Ok(Some(Subject { token, good_until }))
            }
            _ => Err(Refused::OtherIssuer),
        }
    }

    fn names(&self) -> String {
        joined(self.targets.keys().map(String::as_str))
    }
}

fn joined<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// The name of the target in a path, which must be the same in every reading.
///
/// # Errors
///
/// [`PathRefusal::Ambiguous`] for a path that servers could read as one of another target.
pub fn target_name(path: &CanonicalPath) -> Result<&str, PathRefusal> {
    let of = |path| -> Option<&str> { str::strip_prefix(path, "/")?.split('/').next() };
    let name = of(path.compared());
    let same = path.readings().iter().all(|reading| of(reading.as_str()) == name);
    name.filter(|_| same).ok_or(PathRefusal::Ambiguous)
}

/// The service of the local listener.
#[derive(Clone)]
pub struct Local(pub Current);

impl Local {
    async fn answer(self, request: Request<Body>) -> Response<Body> {
        let id = request.extensions().get::<RequestId>().cloned();
        let id = id.unwrap_or_else(RequestId::random);
        let mut record = Record::of(&request);
        let current = self.0.load_full();
        let answer = match &current {
            Some(outbound) => outbound.serve(request, &mut record).await,
            None => Err(Refused::NotConfigured),
        };
        record.write(&answer);
        answer.unwrap_or_else(|refused| refused.answer(&id))
    }
}

impl Record {
    fn of(request: &Request<Body>) -> Self {
        Self {
            method: request.method().clone(),
            path: request.uri().path().chars().take(2000).collect(),
            target: None,
            token: false,
            user: None,
            begun: now(),
        }
    }

    /// Counts the request and writes its line.
    fn write(&self, answer: &Result<Response<Body>, Refused>) {
        let (decision, outcome, status, reason) = match answer {
            Ok(response) if self.token => ("allow", "token", response.status(), None),
            Ok(response) => ("allow", "forwarded", response.status(), None),
            Err(refused) => ("refuse", refused.code(), refused.status(), Some(refused)),
        };
        let target = self.target.as_deref().unwrap_or("-");
        metric::outbound(target, outcome);
        let user = self.user.as_deref();
        tracing::info!(
            target: "doorward::audit",
            listener = "outbound",
            decision,
            outcome,
            status = status.as_u16(),
            method = self.method.as_str(),
            path = self.path,
            outbound = target,
            issuer = user.map(|user| user.issuer.as_str()),
            subject = user.map(|user| user.subject.as_str()),
            user = user.and_then(|user| user.preferred_username.as_deref()),
            reason = reason.map(tracing::field::display),
            took_us = u64::try_from((now() - self.begun).as_micros()).unwrap_or(u64::MAX),
            "request"
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "durations are measured here and decide nothing")]
fn now() -> Instant {
    Instant::now()
}

// === impl Service ===

impl tower::Service<Request<Body>> for Local {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request).await) })
    }
}

// === impl Debug ===

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("targets", &self.targets).finish_non_exhaustive()
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Local")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_one_target_in_every_reading() {
        let name = |path: &str| {
            let path = CanonicalPath::parse(path, Keep::ALL).ok()?;
            path.check(Keep::default()).ok()?;
            target_name(&path).map(str::to_owned).ok()
        };
        for (path, expected) in
            [("/churn", "churn"), ("/churn/", "churn"), ("/ch%75rn/v1", "churn"), ("/", "")]
        {
            assert_eq!(name(path).as_deref(), Some(expected), "{path}");
        }
        for path in [
            "/churn/../sales",
            "/churn/%2e%2e/sales",
            "/churn%2Fsales",
            "/churn//sales",
            "/churn;x/score",
            "/churn%3B/score",
            "//evil.test/x",
            "/churn%3Fx/score",
        ] {
            assert_eq!(name(path), None, "{path}");
        }
    }
}
