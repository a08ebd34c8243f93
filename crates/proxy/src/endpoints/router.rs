//! The router of the gateway's own URLs.
//!
//! It matches names, such as `callback`, that were cut from the path as rules compare it: the path of a client is not read a
//! second time. A refusal passes through the router as it is; the gateway answers it, as it answers every refusal.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Extension, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::IntoResponse,
    routing::{any, get, post},
};
use http::{Request, Response, StatusCode};
use tower::ServiceExt as _;

use super::{
    Endpoints,
    call::{Call, Noted, Notes},
};
use crate::{
    audit::Trail,
    carried::Carried,
    listen::CanonicalRequest,
    refusal::Refusal,
    respond::{AnswerContext, own, pages, problem},
};

type Outcome = Result<Response<Body>, Refusal>;

/// The gateway's own URLs.
#[derive(Debug, Clone)]
pub struct OwnUrls {
    router: Router,
}

/// A handler: a method of [`Endpoints`].
macro_rules! at {
    ($handler:ident) => {
        async |State(endpoints): State<Arc<Endpoints>>, call: Call| -> Outcome {
            endpoints.$handler(call).await
        }
    };
}

impl OwnUrls {
    /// The router over these services. Every URL is served on each of the gateway's hosts, and on no other.
    pub fn new(endpoints: Arc<Endpoints>) -> Self {
        let router = Router::new()
            .route("/auth", any(at!(auth)))
            .route("/start", get(at!(start)))
            .route("/callback", get(at!(callback)))
            .route("/sign_in", get(at!(sign_in)))
            .route("/sign_out", get(at!(sign_out_page)).post(at!(sign_out)))
            .route("/signed_out", get(at!(signed_out)))
            .route("/userinfo", get(at!(userinfo)))
            .route("/session", get(at!(session)))
            .route("/session/refresh", post(at!(session_refresh)))
            .route("/backchannel_logout", post(at!(backchannel_logout)))
            .route("/frontchannel_logout", get(at!(frontchannel_logout)))
            .route("/keys", get(at!(keys_page)).post(at!(keys_create)))
            .route("/keys/end", post(at!(keys_end)))
            .route("/portal", get(at!(portal)))
            .route("/registry_token", get(at!(registry_token)))
            .route("/jwks", get(at!(jwks)))
            .method_not_allowed_fallback(other_method)
            .route_layer(from_fn(own_fields))
            .fallback(asset)
            .layer(from_fn_with_state(Arc::clone(&endpoints), known_host))
            .with_state(endpoints);
        Self { router }
    }

    /// Answers a request for the URL of this name.
    ///
    /// # Errors
    ///
    /// [`Refusal::Misdirected`] for a host that the gateway does not serve, [`Refusal::NoRoute`] for an unknown name, and the
    /// refusals of the handler.
    pub(crate) async fn serve(
        &self,
        name: &str,
        request: Box<CanonicalRequest>,
        context: AnswerContext,
        trail: Trail,
    ) -> (Outcome, Trail, Carried) {
        let method = request.method().clone().into_http();
        let notes = Notes::new(request, context, trail);
        let outcome =
            match Request::builder().method(method).uri(format!("/{name}")).body(Body::empty()) {
                Ok(mut routed) => {
                    routed.extensions_mut().insert(notes.clone());
                    // The router's error type has no value.
                    let answered = self.router.clone().oneshot(routed).await;
                    answered.map_or_else(|never| match never {}, outcome)
                }
                Err(_) => Err(Refusal::NoRoute),
            };
        match notes.take() {
            Some(Noted { trail, carried }) => (outcome, trail, carried),
            None => (outcome, Trail::unread(), Carried::default()),
        }
    }
}

/// Takes a refusal out of an answer of the router.
fn outcome(mut answer: Response<Body>) -> Outcome {
    let Some(refusal) = answer.extensions_mut().remove::<Arc<Refusal>>() else { return Ok(answer) };
    let shared = || Refusal::Internal { reason: "a refusal is held twice".to_owned() };
    Err(Arc::into_inner(refusal).unwrap_or_else(shared))
}

async fn known_host(
    State(endpoints): State<Arc<Endpoints>>,
    Extension(notes): Extension<Notes>,
    request: axum::extract::Request,
    next: Next,
) -> Outcome {
    if notes.is_for_host_of(&endpoints.routes, request.uri().path() == "/auth") {
        Ok(next.run(request).await)
    } else {
        Err(endpoints.routes.misdirected())
    }
}

/// Adds the header fields that every answer of the gateway itself carries.
async fn own_fields(
    Extension(notes): Extension<Notes>,
    request: axum::extract::Request,
    next: Next,
) -> Response<Body> {
    own(next.run(request).await, &notes.context())
}

async fn other_method(call: Call) -> Response<Body> {
    let detail = "this URL takes another method";
    problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail, &call.context)
}

/// The files that pages refer to.
async fn asset(State(endpoints): State<Arc<Endpoints>>, call: Call) -> Outcome {
    let name = endpoints.name_of(call.request.path().compared()).unwrap_or_default();
    pages::asset(name, call.request.query(), call.request.headers()).ok_or(Refusal::NoRoute)
}

// === impl IntoResponse ===

impl IntoResponse for Refusal {
    /// An empty answer that holds the refusal; [`OwnUrls`] takes it out again.
    fn into_response(self) -> Response<Body> {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = self.status();
        answer.extensions_mut().insert(Arc::new(self));
        answer
    }
}
