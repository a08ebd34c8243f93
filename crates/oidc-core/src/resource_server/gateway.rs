//! A service behind the gateway: the caller is the one that the gateway's assertion names.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{HeaderMap, Request, Response, StatusCode};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{Either, Full};
use tower_layer::Layer;
use tower_service::Service;

use super::{Rejected, VerifyBody};
use crate::refusal::TokenRefusal;
use crate::token::IdToken;
use crate::verify::{AssertionVerifier, Verified};

/// Header of the gateway's assertion.
const ASSERTION: &str = "x-doorward-assertion";

/// Passes on requests for which the gateway vouches (`X-Doorward-Assertion`), with a
/// [`GatewayCaller`] in their extensions. Nothing else is accepted: no other header, no cookie, no
/// access token.
///
/// A refusal has no challenge (RFC 9110 §11.6.1), because no caller can make an assertion.
///
/// ```
/// use oidc_core::resource_server::GatewayLayer;
/// use oidc_core::verify::AssertionVerifier;
///
/// let verifier = AssertionVerifier::for_gateway("https://platform.example", "churn")?;
/// let layer = GatewayLayer::new(verifier);
/// # drop(layer);
/// # Ok::<(), oidc_core::verify::VerifierSetupError>(())
/// ```
#[derive(Clone, Debug)]
pub struct GatewayLayer {
    verifier: AssertionVerifier,
}

/// The caller that the gateway's assertion names: its verified claims.
#[derive(Clone)]
pub struct GatewayCaller(Arc<Verified<IdToken>>);

impl GatewayLayer {
    /// Verifies assertions with `verifier`; its audience is the route's name in the gateway.
    pub fn new(verifier: AssertionVerifier) -> Self {
        Self { verifier }
    }

    /// The caller of a request with these headers. For servers that tower does not fit; the layer
    /// does the same.
    ///
    /// # Errors
    /// [`Rejected`]: 401 without a valid assertion, 503 while the gateway's keys cannot be fetched.
    pub async fn identify(&self, headers: &HeaderMap) -> Result<GatewayCaller, Rejected> {
        let mut values = headers.get_all(ASSERTION).iter();
        let assertion = match (values.next(), values.next()) {
            (Some(one), None) => one.to_str().map_err(|_| absent("the assertion is not text"))?,
            (None, _) => return Err(absent("the request did not come through the gateway")),
            (Some(_), Some(_)) => return Err(absent("there is more than one assertion")),
        };
        self.verifier.assertion(assertion).await.map(GatewayCaller).map_err(|refusal| {
            tracing::debug!(code = refusal.code(), "assertion refused");
            refused(&refusal)
        })
    }
}

fn absent(detail: &'static str) -> Rejected {
    Rejected::new(StatusCode::UNAUTHORIZED, "no_assertion", detail)
}

fn refused(refusal: &TokenRefusal) -> Rejected {
    if matches!(refusal, TokenRefusal::IssuerMisconfigured(_)) {
        let detail =
            "assertions cannot be verified: this service and its gateway do not fit each other";
        return Rejected::new(StatusCode::INTERNAL_SERVER_ERROR, refusal.code(), detail);
    }
    if refusal.is_unavailable() {
        let detail = "assertions cannot be verified now, as the gateway's keys are not available; try again later";
        let pause = refusal.retry_after().unwrap_or(Duration::from_secs(1));
        return Rejected::new(StatusCode::SERVICE_UNAVAILABLE, refusal.code(), detail)
            .with_retry_after(pause);
    }
    Rejected::new(StatusCode::UNAUTHORIZED, refusal.code(), refusal.to_string())
}

impl Deref for GatewayCaller {
    type Target = Verified<IdToken>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl fmt::Debug for GatewayCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GatewayCaller").field(&self.subject()).finish()
    }
}

impl<S> Layer<S> for GatewayLayer {
    type Service = BehindGateway<S>;

    fn layer(&self, inner: S) -> BehindGateway<S> {
        BehindGateway { inner, rules: Arc::new(self.clone()) }
    }
}

/// Calls the inner service for requests with a valid assertion. Made by [`GatewayLayer`].
#[derive(Clone, Debug)]
pub struct BehindGateway<S> {
    inner: S,
    rules: Arc<GatewayLayer>,
}

// === impl Service ===

impl<S, B, R> Service<Request<B>> for BehindGateway<S>
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
            match rules.identify(&parts.headers).await {
                Ok(caller) => drop(parts.extensions.insert(caller)),
                Err(rejected) => {
                    let answer: Response<Bytes> = rejected.response();
                    return Ok(answer.map(|body| Either::Left(Full::new(body))));
                }
            }
            inner
                .call(Request::from_parts(parts, body))
                .await
                .map(|answer| answer.map(Either::Right))
        })
    }
}
