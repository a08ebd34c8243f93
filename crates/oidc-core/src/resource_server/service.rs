//! The service that [`VerifyLayer`] puts before another.

use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::{HeaderName, HeaderValue, Request, Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{Either, Full};
use tower_service::Service;

use super::{Anonymous, VerifyLayer};

/// RFC 9449 §8.1
pub(super) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// The body of an answer: the refusal's, or the inner service's.
pub type VerifyBody<B> = Either<Full<Bytes>, B>;

/// Calls the inner service for requests that present a valid token. Made by [`VerifyLayer`].
#[derive(Clone, Debug)]
pub struct Verify<S> {
    inner: S,
    rules: Arc<VerifyLayer>,
}

impl<S> Verify<S> {
    pub(super) fn new(inner: S, rules: VerifyLayer) -> Self {
        Self { inner, rules: Arc::new(rules) }
    }
}

// === impl Service ===

impl<S, B, R> Service<Request<B>> for Verify<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<VerifyBody<R>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // Call the instance that was polled ready, not its clone.
        let unready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, unready);
        let rules = Arc::clone(&self.rules);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let identity = match rules.identify(&parts).await {
                Ok(identity) => identity,
                Err(rejected) => {
                    return Ok(rejected.response().map(|body| Either::Left(Full::new(body))));
                }
            };
            let nonce = rules.nonce(identity.as_ref());
            match identity {
                Some(identity) => drop(parts.extensions.insert(identity)),
                None => {
                    parts.extensions.insert(Anonymous(Arc::clone(&rules.challenges)));
                }
            }
            let mut response = inner.call(Request::from_parts(parts, body)).await?;
            if let Some(nonce) = nonce.and_then(|nonce| HeaderValue::try_from(nonce).ok()) {
                response.headers_mut().insert(DPOP_NONCE, nonce);
            }
            Ok(response.map(Either::Right))
        })
    }
}
