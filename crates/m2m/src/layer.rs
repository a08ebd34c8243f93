//! A tower layer that adds a token to requests (feature `tower`).
//!
//! The layer sends the token to the named origins only. This holds on a redirect too: a client that follows
//! redirects outside of this layer sends the next request through it with the new address. A request whose
//! target is not in absolute form (a path only) has no known origin, and gets no token. A request that has
//! an `Authorization` of its own keeps it.
//!
//! After an answer of 401 the layer sends the request once more with a newer token, if there is one and the
//! body can be sent again: the part already sent is not longer than the limit, and the unread rest came back.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use http_body::Body;
use oidc_core::Clock;
use oidc_core::dpop::DpopKey;
use tower_layer::Layer;
use tower_service::Service;
use url::Url;

use crate::origin::Origin;
use crate::outgoing::{AuthorizeError, Outgoing};
use crate::source::TokenSource;

mod replay;

pub use replay::ReplayBody;

/// Longest part of a body that is kept to be sent again, in bytes.
pub(crate) const REPLAY_LIMIT: usize = 64 * 1024;

/// Adds a token to the requests for some origins.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use m2m::{AccessToken, TokenError, TokenSource};
/// # #[derive(Debug)]
/// # struct Source;
/// # #[async_trait::async_trait]
/// # impl TokenSource for Source {
/// #     async fn token(&self) -> Result<AccessToken, TokenError> {
/// #         Ok(AccessToken::bearer("2YotnFZFEjr1zCsicMWpAA".into(), None)?)
/// #     }
/// # }
/// # let tokens = Source;
/// use http::{Request, Response};
/// use http_body_util::Empty;
/// use m2m::layer::{BearerLayer, ReplayBody};
/// use tower::{Layer as _, ServiceExt as _, service_fn};
///
/// type Body = ReplayBody<Empty<bytes::Bytes>>;
/// let client = service_fn(async |request: Request<Body>| {
///     assert_eq!(request.headers()["authorization"], "Bearer 2YotnFZFEjr1zCsicMWpAA");
///     Ok::<_, std::io::Error>(Response::new(()))
/// });
/// let client = BearerLayer::new(tokens, "https://churn.example".parse()?).layer(client);
/// client.oneshot(Request::get("https://churn.example/score").body(Empty::new())?).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct BearerLayer {
    outgoing: Outgoing,
    replay_limit: usize,
}

impl BearerLayer {
    /// Adds the tokens of `source` to requests for `origin`.
    pub fn new(source: impl TokenSource + 'static, origin: Origin) -> Self {
        let outgoing = Outgoing::new(Arc::new(source), origin);
        Self { outgoing, replay_limit: REPLAY_LIMIT }
    }

    /// Adds them to requests for this origin too.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.outgoing.origins.push(origin);
        self
    }

    /// Proves possession of `key` (RFC 9449 §7.1) where the tokens are bound to it. Keeps the nonce of
    /// each origin (§8.2), and sends a request again if the service asks for a nonce (§9).
    #[must_use]
    pub fn with_dpop(self, key: Arc<DpopKey>) -> Self {
        Self { outgoing: self.outgoing.with_dpop(key), ..self }
    }

    /// Keeps this many bytes of a body to send it again; 64 KiB by default. A longer body is sent once.
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

impl<S> Layer<S> for BearerLayer {
    type Service = Bearer<S>;

    fn layer(&self, inner: S) -> Bearer<S> {
        let outgoing = Arc::new(self.outgoing.clone());
        Bearer { inner, outgoing, replay_limit: self.replay_limit }
    }
}

/// The service of [`BearerLayer`]. The inner one takes a [`ReplayBody`].
#[derive(Clone, Debug)]
pub struct Bearer<S> {
    inner: S,
    outgoing: Arc<Outgoing>,
    replay_limit: usize,
}

/// Reason there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum BearerError<E> {
    /// The request was not sent.
    #[error(transparent)]
    Authorize(#[from] AuthorizeError),
    /// The inner service failed.
    #[error("{0}")]
    Service(E),
}

// === impl Bearer ===

impl<S, B, R> Service<Request<B>> for Bearer<S>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Body + Unpin + Send + 'static,
    B::Data: Send,
    R: Send,
{
    type Response = Response<R>;
    type Error = BearerError<S::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(BearerError::Service)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let standby = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, standby);
        let covered = self.outgoing.origins.iter().any(|it| it.covers_uri(request.uri()));
        if !covered || request.headers().contains_key(AUTHORIZATION) {
            let answer = ready.call(request.map(ReplayBody::once));
            return Box::pin(async move { answer.await.map_err(BearerError::Service) });
        }
        let (outgoing, limit) = (Arc::clone(&self.outgoing), self.replay_limit);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let url = || Url::parse(&parts.uri.to_string()).ok();
            let (mut body, record) = ReplayBody::recorded(body, limit);
            let mut exchange = outgoing.begin().await?;
            loop {
                let mut request = Request::from_parts(parts.clone(), body);
                exchange.authorize(&parts.method, url, request.headers_mut())?;
                let answer = ready.call(request).await.map_err(BearerError::Service)?;
                let is_refused = answer.status() == StatusCode::UNAUTHORIZED;
                let goes_on = exchange.goes_on(url, is_refused, answer.headers()).await;
                let Some(again) = record.replay().filter(|_| goes_on) else {
                    return Ok(answer);
                };
                body = again;
                poll_fn(|cx| ready.poll_ready(cx)).await.map_err(BearerError::Service)?;
            }
        })
    }
}
