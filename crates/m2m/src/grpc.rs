//! A tower layer that adds a token to the gRPC calls of a tonic channel (feature `tonic`).
//!
//! The layer takes the origin that the channel connects to, because tonic's requests have a path only. Give
//! it the URL of the channel's `Endpoint`. A request in absolute form (`with_origin` of a generated client)
//! gets a token only if it names that origin. A call that has an `authorization` of its own keeps it.
//!
//! A call is refused with `grpc-status` 16 (`UNAUTHENTICATED`), in its head or in its trailers, or with HTTP
//! 401. The source then replaces the token. A call is sent once more with a newer token if it was refused in
//! its head, which is before any answer, and if its whole request is one message that was kept: so a unary
//! call, and a call for a stream of answers that has not begun. Other calls end as the service ended them,
//! and the next call has the newer token.
//!
//! The module has no tonic `Interceptor`: an interceptor must not wait for a token, does not see how the call
//! ends, and does not know the origin. Where a token at hand is enough, one is a line around
//! [`TokenSource::current`].

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use oidc_core::Clock;
use oidc_core::dpop::DpopKey;
use tonic::body::Body;
use tonic::{Code, Status};
use tower_layer::Layer;
use tower_service::Service;
use url::Url;

use crate::layer::{REPLAY_LIMIT, ReplayBody};
use crate::origin::Origin;
use crate::outgoing::{AuthorizeError, Outgoing, wants_nonce};
use crate::source::{TokenError, TokenSource};

mod message;
mod watched;

pub use watched::WatchedBody;

use message::is_one_message;
use watched::Report;

/// Adds a token to the calls of a channel.
///
/// ```no_run
/// # fn connect(tokens: m2m::CachedTokens) -> Result<(), Box<dyn std::error::Error>> {
/// use m2m::grpc::GrpcBearerLayer;
/// use tonic::transport::Channel;
/// use tower::Layer as _;
///
/// let channel = Channel::from_static("https://models.example").connect_lazy();
/// let channel = GrpcBearerLayer::new(tokens, "https://models.example".parse()?).layer(channel);
/// let client = tonic::client::Grpc::new(channel); // or ScoresClient::new(channel)
/// # Ok(()) }
/// ```
///
/// Tokens go to `https` origins, and to plain `http` on loopback; see [`Origin::dangerous_plain_http`].
#[derive(Clone, Debug)]
pub struct GrpcBearerLayer {
    outgoing: Outgoing,
    replay_limit: usize,
}

impl GrpcBearerLayer {
    /// Adds the tokens of `source` to the calls of a channel that connects to `origin`.
    pub fn new(source: impl TokenSource + 'static, origin: Origin) -> Self {
        let outgoing = Outgoing::new(Arc::new(source), origin);
        Self { outgoing, replay_limit: REPLAY_LIMIT }
    }

    /// Proves possession of `key` (RFC 9449 §7.1) where the tokens are bound to it. Keeps the nonce of the
    /// service (§8.2), and sends a call again if the service asks for a nonce (§9).
    #[must_use]
    pub fn with_dpop(self, key: Arc<DpopKey>) -> Self {
        Self { outgoing: self.outgoing.with_dpop(key), ..self }
    }

    /// Keeps this many bytes of a request to send it again; 64 KiB by default. A longer one is sent once.
    #[must_use]
    pub fn with_replay_limit(self, bytes: usize) -> Self {
        Self { replay_limit: bytes, ..self }
    }

    /// Takes the time of proofs from `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.outgoing.clock = clock;
        self
    }
}

impl<S> Layer<S> for GrpcBearerLayer {
    type Service = GrpcBearer<S>;

    fn layer(&self, inner: S) -> GrpcBearer<S> {
        let outgoing = Arc::new(self.outgoing.clone());
        GrpcBearer { inner, outgoing, replay_limit: self.replay_limit }
    }
}

/// The service of [`GrpcBearerLayer`]: a channel for the clients that tonic generates.
///
/// A call without a token fails with [`Code::Unavailable`] if a token may be available later, and with
/// [`Code::Unauthenticated`] otherwise; the source of that [`Status`] is an [`AuthorizeError`]. Errors of the
/// inner service are unchanged.
#[derive(Clone, Debug)]
pub struct GrpcBearer<S> {
    inner: S,
    outgoing: Arc<Outgoing>,
    replay_limit: usize,
}

type Error = Box<dyn std::error::Error + Send + Sync>;
type Answer<R> = Result<Response<WatchedBody<R>>, Error>;

// === impl GrpcBearer ===

impl<S, R> Service<Request<Body>> for GrpcBearer<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Error>,
    R: http_body::Body + Unpin + Send + 'static,
{
    type Response = Response<WatchedBody<R>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Answer<R>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let standby = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, standby);
        let (outgoing, limit) = (Arc::clone(&self.outgoing), self.replay_limit);
        Box::pin(called(ready, outgoing, limit, request))
    }
}

async fn called<S, R>(
    mut ready: S,
    outgoing: Arc<Outgoing>,
    replay_limit: usize,
    request: Request<Body>,
) -> Answer<R>
where
    S: Service<Request<Body>, Response = Response<R>>,
    S::Error: Into<Error>,
{
    let Some(base) = outgoing.origin_of(request.uri()) else {
        return sent_as_it_is(&mut ready, request).await;
    };
    if request.headers().contains_key(AUTHORIZATION) {
        return sent_as_it_is(&mut ready, request).await;
    }
    let (parts, body) = request.into_parts();
    let url = || Url::parse(&format!("{base}{}", parts.uri.path())).ok();
    let (mut body, record) = ReplayBody::recorded(body, replay_limit);
    let mut exchange = outgoing.begin().await.map_err(without_token)?;
    loop {
        let mut request = Request::from_parts(parts.clone(), Body::new(body));
        exchange.authorize(&parts.method, url, request.headers_mut()).map_err(without_token)?;
        let answer = ready.call(request).await.map_err(Into::into)?;
        let (status, headers) = (answer.status(), answer.headers());
        let is_refused = status == StatusCode::UNAUTHORIZED || is_unauthenticated(headers);
        let again = match is_refused && is_one_message(&record.kept()) {
            true => record.replay_whole(),
            false => None,
        };
        let Some(again) = again else {
            let has_nonce = exchange.note_nonce(url, headers);
            let report = Report::new(Arc::clone(&outgoing), exchange.token().clone());
            if !is_refused {
                return Ok(answer.map(|body| WatchedBody::watched(body, report)));
            }
            if !(has_nonce && wants_nonce(headers)) {
                report.send();
            }
            return Ok(refusal(answer));
        };
        if !exchange.goes_on(url, true, headers).await {
            return Ok(refusal(answer));
        }
        body = again;
        poll_fn(|cx| ready.poll_ready(cx)).await.map_err(Into::into)?;
    }
}

/// An answer of HTTP 401 gets the status that gRPC has for it; tonic would read its body as messages.
fn refusal<R>(mut answer: Response<R>) -> Response<WatchedBody<R>> {
    let is_http = answer.status() == StatusCode::UNAUTHORIZED;
    if is_http && !answer.headers().contains_key(Status::GRPC_STATUS) {
        let message = HeaderValue::from_static("the service refused the token with HTTP 401");
        answer.headers_mut().insert(Status::GRPC_STATUS, HeaderValue::from_static("16"));
        answer.headers_mut().insert(Status::GRPC_MESSAGE, message);
    }
    answer.map(WatchedBody::unwatched)
}

/// Sends a request without a token of the source.
async fn sent_as_it_is<S, R>(ready: &mut S, request: Request<Body>) -> Answer<R>
where
    S: Service<Request<Body>, Response = Response<R>>,
    S::Error: Into<Error>,
{
    let answer = ready.call(request).await.map_err(Into::into)?;
    Ok(answer.map(WatchedBody::unwatched))
}

impl Outgoing {
    /// The origin that a request goes to, if tokens may go there: that of the channel for a path alone.
    fn origin_of(&self, uri: &http::Uri) -> Option<&Origin> {
        let is_path = uri.scheme().is_none() && uri.authority().is_none();
        self.origins.iter().find(|origin| is_path || origin.covers_uri(uri))
    }
}

/// `grpc-status` of a head without an answer, or of trailers.
fn is_unauthenticated(fields: &HeaderMap) -> bool {
    fields
        .get(Status::GRPC_STATUS)
        .is_some_and(|code| Code::from_bytes(code.as_bytes()) == Code::Unauthenticated)
}

fn without_token(error: AuthorizeError) -> Error {
    let may_come = matches!(&error, AuthorizeError::Token(TokenError::Unavailable { .. }));
    let code = if may_come { Code::Unavailable } else { Code::Unauthenticated };
    let mut status = Status::new(code, error.to_string());
    status.set_source(Arc::new(error));
    status.into()
}
