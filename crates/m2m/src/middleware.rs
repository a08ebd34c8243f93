//! A middleware of reqwest that adds a token to requests (feature `reqwest`), for
//! [`reqwest_middleware::ClientWithMiddleware`].
//!
//! The middleware sends the token to the named origins only. Reqwest follows redirects inside of this
//! middleware: it removes `Authorization` when the host or port changes, and it is not added again. A
//! request that has an `Authorization` of its own keeps it.
//!
//! After an answer of 401 the middleware sends the request once more with a newer token, if there is
//! one and the body is not a stream.
//!
//! With [`with_dpop`](BearerMiddleware::with_dpop), switch reqwest's redirects off
//! (`redirect::Policy::none()`): a proof is valid for one address only.

use std::sync::Arc;

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::{Extensions, StatusCode};
use oidc_core::Clock;
use oidc_core::dpop::DpopKey;
use reqwest::{Request, Response};
use reqwest_middleware::{Error, Middleware, Next, Result};
use url::Url;

use crate::origin::Origin;
use crate::outgoing::Outgoing;
use crate::source::TokenSource;

/// Adds a token to the requests for some origins.
///
/// ```no_run
/// # async fn call(tokens: m2m::CachedTokens) -> Result<(), Box<dyn std::error::Error>> {
/// use m2m::middleware::BearerMiddleware;
/// use reqwest_middleware::ClientBuilder;
///
/// let churn = BearerMiddleware::new(tokens, "https://churn.example".parse()?);
/// let client = ClientBuilder::new(reqwest::Client::new()).with(churn).build();
/// let answer = client.get("https://churn.example/score").send().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct BearerMiddleware {
    outgoing: Outgoing,
}

impl BearerMiddleware {
    /// Adds the tokens of `source` to requests for `origin`.
    pub fn new(source: impl TokenSource + 'static, origin: Origin) -> Self {
        Self { outgoing: Outgoing::new(Arc::new(source), origin) }
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
        Self { outgoing: self.outgoing.with_dpop(key) }
    }

    /// Takes the time of proofs from `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.outgoing.clock = clock;
        self
    }

    fn covers(&self, url: &Url) -> bool {
        self.outgoing.origins.iter().any(|origin| origin.covers(url))
    }
}

// === impl Middleware ===

#[async_trait]
impl Middleware for BearerMiddleware {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        if !self.covers(request.url()) || request.headers().contains_key(AUTHORIZATION) {
            return next.run(request, extensions).await;
        }
        let mut exchange = self.outgoing.begin().await.map_err(Error::middleware)?;
        loop {
            let again = request.try_clone();
            let (method, url) = (request.method().clone(), request.url().clone());
            exchange
                .authorize(&method, || Some(url), request.headers_mut())
                .map_err(Error::middleware)?;
            let answer = next.clone().run(request, extensions).await?;
            // After a redirect to another origin the answer says nothing about the token, which was not
            // sent there.
            if !self.covers(answer.url()) {
                return Ok(answer);
            }
            let url = || Some(answer.url().clone());
            let is_refused = answer.status() == StatusCode::UNAUTHORIZED;
            let goes_on = exchange.goes_on(url, is_refused, answer.headers()).await;
            match again.filter(|_| goes_on) {
                Some(again) => request = again,
                None => return Ok(answer),
            }
        }
    }
}
