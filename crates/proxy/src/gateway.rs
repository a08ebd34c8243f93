//! The line of a request, and the application around it.
//!
//! ```text
//! listen → route → identify → authorize → forward → respond
//! ```
//!
//! Each stage takes the proof that the last one made, so the compiler checks the order. This compiles:
//!
//! ```
//! # use doorward::{authorize::authorize, forward::Upstreams, identify::Identify, refusal::Refusal, route::Routes};
//! # use doorward::listen::{Body, CanonicalRequest};
//! # use web_sessions::SetCookies;
//! # async fn line(routes: &Routes, identify: &Identify, upstreams: &Upstreams, request: CanonicalRequest,
//! #     cookies: &mut SetCookies) -> Result<http::Response<Body>, Refusal> {
//! let routed = routes.route(request)?;
//! let identified = identify.identify(routed, cookies).await?;
//! let permitted = authorize(identified)?;
//! upstreams.forward(permitted).await
//! # }
//! ```
//!
//! and the same without `authorize` does not:
//!
//! ```compile_fail,E0308
//! # use doorward::{authorize::authorize, forward::Upstreams, identify::Identify, refusal::Refusal, route::Routes};
//! # use doorward::listen::{Body, CanonicalRequest};
//! # use web_sessions::SetCookies;
//! # async fn line(routes: &Routes, identify: &Identify, upstreams: &Upstreams, request: CanonicalRequest,
//! #     cookies: &mut SetCookies) -> Result<http::Response<Body>, Refusal> {
//! let routed = routes.route(request)?;
//! let identified = identify.identify(routed, cookies).await?;
//! let permitted = identified;
//! upstreams.forward(permitted).await
//! # }
//! ```

mod head;
mod held;
mod serving;
mod to_https;

pub use serving::Serving;

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_canonical::{CanonicalMethod, RequestId, TraceParent, Trust, Wants};

use self::head::Head;
use crate::{
    audit::Trail,
    authorize::authorize,
    carried::Carried,
    endpoints::{Endpoints, OwnUrls, Visit, auth::not_let_through},
    forward::Upstreams,
    identify::Identify,
    listen::{CanonicalRequest, ConnInfo, Glimpse, canonical},
    refusal::Refusal,
    respond::{AnswerContext, Site, respond, see_other, status_of},
    route::{Preflight, Routes},
    telemetry::{Span, Telemetry},
};

/// Addresses above this length may not fit the link that begins a login.
const LONG: usize = 2 * 1024;

/// The line: all stages between a request that was read and one that is sent on.
#[derive(Debug)]
pub struct Gateway {
    routes: Arc<Routes>,
    identify: Arc<Identify>,
    upstreams: Upstreams,
}

impl Gateway {
    /// A line of these stages.
    pub fn new(routes: Arc<Routes>, identify: Arc<Identify>, upstreams: Upstreams) -> Self {
        Self { routes, identify, upstreams }
    }

    /// Takes a request through the stages, and forwards it. Facts that the answer needs, also when it is a refusal, are added to `carried`.
    ///
    /// # Errors
    ///
    /// The refusal of the first stage that refuses.
    pub async fn serve(
        &self,
        request: impl Into<Box<CanonicalRequest>>,
        trail: &mut Trail,
        carried: &mut Carried,
    ) -> Result<Response<Body>, Refusal> {
        self.decide(request, Then::Forward, trail, carried).await
    }

    /// Takes a request through the stages; `then` is the last of them.
    async fn decide(
        &self,
        request: impl Into<Box<CanonicalRequest>>,
        then: Then,
        trail: &mut Trail,
        carried: &mut Carried,
    ) -> Result<Response<Body>, Refusal> {
        let request: Box<CanonicalRequest> = request.into();
        if then == Then::Forward
            && let Some(document) = self.routes.metadata(&request)
        {
            trail.own_url();
            return Ok(document);
        }
        let routed = self.routes.route(request)?;
        trail.routed(&routed);
        let asked = &routed.request;
        carried.challenge_on(
            &routed.route,
            asked.host(),
            asked.method(),
            asked.path(),
            asked.headers(),
        );
        if let Some(cors) = &routed.route.cors {
            match carried.cross_origin(cors, asked.method(), asked.headers()) {
                None => {}
                Some(Preflight::Admitted) => {
                    trail.own_url();
                    return Ok(no_content());
                }
                Some(Preflight::Refused(origin)) => return Err(Refusal::ForeignOrigin { origin }),
            }
        }
        let identified = self.identify.identify(routed, &mut carried.cookies).await?;
        trail.identified(&identified);
        carried.sender(&identified.sender);
        carried.next_nonce(self.identify.next_nonce(&identified.sender));
        let permitted = authorize(identified)?;
        trail.permitted(&permitted);
        if then == Then::Describe {
            trail.own_url();
            return Box::pin(self.upstreams.describe(permitted)).await;
        }
        let (response, exchange) = self.upstreams.exchange(permitted).await?;
        trail.exchanged(exchange);
        Ok(response)
    }
}

/// The last stage of a request that is permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The gateway sends it to its upstream.
    Forward,
    /// A proxy holds it, and is told how to send it on.
    Describe,
}

/// The answer to a preflight that is admitted.
#[cold]
fn no_content() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

/// Everything that answers requests, made from one configuration; a reload makes another.
#[derive(Debug)]
pub struct App {
    pub(crate) site: Arc<Site>,
    pub(crate) trust: Trust,
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) own_urls: OwnUrls,
    pub(crate) gateway: Gateway,
    /// `Strict-Transport-Security` of answers that belong to no route.
    pub(crate) strict_transport: Option<HeaderValue>,
    /// Present when traces are recorded.
    pub(crate) telemetry: Option<Telemetry>,
}

impl App {
    /// Answers a request, as work of the trace that it belongs to.
    async fn traced(
        &self,
        telemetry: &Telemetry,
        request: Request<Body>,
        then: Then,
    ) -> Response<Body> {
        let peer = request.extensions().get::<Arc<ConnInfo>>().map(|connection| connection.peer);
        let trusted = peer.is_some_and(|peer| self.trust.trusts(peer));
        let given = TraceParent::given(request.headers());
        let (trace, span) = telemetry.request(given.as_ref(), trusted, request.version());
        trace.scope(self.serve(request, then, span)).await
    }

    async fn serve(
        &self,
        request: Request<Body>,
        then: Then,
        mut span: Option<Span>,
    ) -> Response<Body> {
        let mut head = Head::of(&request);
        if then == Then::Describe && head.wants == Wants::Grpc {
            // The proxy makes a gRPC status of the HTTP status.
            head.wants = Wants::Problem;
        }
        let request = match canonical(request, &self.trust) {
            Some(Ok(request)) => Box::new(request),
            Some(Err(refusal)) => return self.refuse_unread(head, &refusal.into(), span),
            None => {
                let reason = "the request has no connection".to_owned();
                return self.refuse_unread(head, &Refusal::Internal { reason }, span);
            }
        };
        // The listener gave it one, or it has one since then.
        let id = head.request_id.take().unwrap_or_else(|| request.request_id().clone());
        if then == Then::Describe && self.endpoints.is_own(request.path()) {
            return self.refuse_own(&head, &id, &request);
        }
        let name = self.endpoints.name_of(request.path().compared());
        let is_question = self.endpoints.is_question(request.path().compared());
        let own = name.map(|name| {
            let context = self.own_context(head.context(&self.site, &id), name, &request);
            (name.to_owned(), context)
        });
        if let Some(span) = &mut span {
            span.set("url.scheme", request.scheme().as_str());
        }
        let mut trail = Trail::new(&request).with_span(span);
        let is_home = own.is_none() && request.path().as_str() == "/";
        let is_long = match &own {
            Some((_, context)) => is_question && context.return_to.len() > LONG,
            None => head.is_longer_than(LONG),
        };
        // Rare: the link to begin a login does not hold this address.
        let in_line = own.is_none();
        let long = is_long.then(|| Visit::of(&request, is_question));
        let (answer, mut trail, mut carried, context) = match own {
            Some((name, context)) => {
                trail.own_url();
                // Boxed, as every rare branch is: a request's future is copied as a whole, at the size of its largest branch.
                let served = self.own_urls.serve(&name, request, context.clone(), trail);
                let (answer, trail, carried) = Box::pin(served).await;
                (answer, trail, carried, Some(context))
            }
            None => {
                let mut carried = Carried::default();
                let answer = self.gateway.decide(request, then, &mut trail, &mut carried).await;
                (answer, trail, carried, None)
            }
        };
        let strict_transport = match &answer {
            // A response has it from its route.
            Ok(_) if in_line => None,
            _ => self.strict_transport(&trail),
        };
        let context = || context.unwrap_or_else(|| head.context(&self.site, &id));
        let mut answer = match answer {
            Ok(answer) => {
                trail.answered(answer.status());
                answer
            }
            Err(Refusal::NoRoute) if is_home => {
                trail.own_url();
                trail.answered(StatusCode::FOUND);
                let portal = format!("{}/portal", self.site.endpoints());
                see_other(&portal, StatusCode::FOUND, &context())
            }
            Err(refusal) => {
                let answer = self.refused(&refusal, context(), trail, &mut carried, long);
                let answer = Box::pin(answer).await;
                if is_question { not_let_through(answer) } else { answer }
            }
        };
        carried.put_on(&mut answer);
        set_strict_transport(&mut answer, strict_transport);
        answer
    }

    /// `Strict-Transport-Security` of an answer of the gateway's own.
    fn strict_transport(&self, trail: &Trail) -> Option<HeaderValue> {
        match trail.route() {
            Some(route) => route.response.transport().cloned(),
            None => self.strict_transport.clone(),
        }
    }

    /// Answers a request that a stage refused.
    async fn refused(
        &self,
        refusal: &Refusal,
        context: AnswerContext,
        trail: Trail,
        carried: &mut Carried,
        long: Option<Visit>,
    ) -> Response<Body> {
        let context = context
            .with_offer(carried.take_offer())
            .with_service(trail.route().map(|route| route.title.as_str()))
            .with_who(carried.known().map(|known| self.site.name_of(known)))
            .with_sign_out_token(self.sign_out_token(refusal, carried))
            .with_signed_out(trail.signed_out());
        trail.refused_with(refusal, status_of(refusal, &context));
        match long {
            Some(visit) => self.sign_in_at_once(refusal, &visit, &context, carried).await,
            None => respond(refusal, &context),
        }
    }

    /// Answers a request that has no canonical form.
    fn refuse_unread(&self, head: Head, refusal: &Refusal, span: Option<Span>) -> Response<Body> {
        let Head { method, uri, wants, peer, request_id, .. } = head;
        let id = request_id.as_ref().map_or("-", RequestId::as_str);
        let (context, trail) = match peer {
            Some(peer) => {
                let glimpse = Glimpse::of_parts(method, &uri, wants, peer);
                (AnswerContext::glimpsed(&self.site, id, &glimpse), Trail::glimpsed(&glimpse))
            }
            None => (AnswerContext::unread(&self.site, id), Trail::unread()),
        };
        trail.with_span(span).refused(refusal);
        let mut answer = respond(refusal, &context);
        set_strict_transport(&mut answer, self.strict_transport.clone());
        let is_question = self.endpoints.is_question(uri.path());
        if is_question { not_let_through(answer) } else { answer }
    }

    /// Answers a refused request whose address is long. A navigation to sign in goes to the issuer at once.
    async fn sign_in_at_once(
        &self,
        refusal: &Refusal,
        visit: &Visit,
        context: &AnswerContext,
        carried: &mut Carried,
    ) -> Response<Body> {
        let redirected = context.safe && context.wants != Wants::Grpc;
        let (Refusal::LoginNeeded { redirect: true, return_to, level, .. }, true) =
            (refusal, redirected)
        else {
            return respond(refusal, context);
        };
        let level = level.as_deref().cloned().unwrap_or_default();
        match self.endpoints.begin_at_once(visit, return_to, level).await {
            Some(Ok((url, cookies))) => {
                carried.cookies.extend(cookies);
                see_other(url.as_str(), StatusCode::FOUND, context)
            }
            Some(Err(refusal)) => respond(&refusal, context),
            None => respond(refusal, context),
        }
    }

    /// Token with which a refused person can switch account in one step from the refusal page.
    fn sign_out_token(&self, refusal: &Refusal, carried: &Carried) -> Option<String> {
        let session = carried.session().filter(|_| matches!(refusal, Refusal::Forbidden { .. }))?;
        self.endpoints.form_token(session).ok()
    }

    /// The context of a request for one of the gateway's own URLs.
    fn own_context(
        &self,
        mut context: AnswerContext,
        name: &str,
        request: &CanonicalRequest,
    ) -> AnswerContext {
        // None of the gateway's own URLs speaks gRPC: a proxy that asks one goes by the HTTP status.
        if context.wants == Wants::Grpc {
            context.wants = Wants::Problem;
        }
        match request.question() {
            // The browser has the address that the proxy asks about, and gets its answer there.
            Ok(question) if matches!(name, "auth" | "start") => {
                let method = question.method.as_ref().unwrap_or(&CanonicalMethod::GET);
                let origin = self.endpoints.origin(&question.host);
                context.about(method, question.path_and_query(), origin)
            }
            _ => context,
        }
    }
}

fn set_strict_transport(answer: &mut Response<Body>, value: Option<HeaderValue>) {
    if let Some(value) = value {
        answer.headers_mut().entry(header::STRICT_TRANSPORT_SECURITY).or_insert(value);
    }
}

#[cfg(test)]
mod tests;
