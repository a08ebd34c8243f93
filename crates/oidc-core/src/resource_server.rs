//! A tower layer for services that take access tokens (feature `resource-server`): RFC 6750, with
//! RFC 9449 and RFC 8705 for tokens that are bound.
//!
//! | to … | use |
//! |---|---|
//! | verify the token of each request | [`VerifyLayer`] |
//! | require scopes or roles of every caller | [`VerifyLayer::require_scopes`], [`VerifyLayer::require_roles`], [`VerifyLayer::require_any`] |
//! | see the caller, require more of it in a handler | [`Identity`] → [`Forbidden`] |
//! | accept requests without a token too | [`VerifyLayer::optional`] |
//! | accept tokens bound to a key (RFC 9449) | [`VerifyLayer::with_dpop`] |
//! | accept tokens bound to a certificate (RFC 8705) | [`ClientCertificate`] in the request's extensions |
//! | take callers from the gateway before the service, and no other | [`GatewayLayer`] → [`GatewayCaller`] |
//! | write an adapter for another framework | [`VerifyLayer::identify`] → [`Rejected`] |
//!
//! [`VerifyLayer`] reads the token from `Authorization` only, verifies it, and adds an [`Identity`]
//! to the request's extensions. A request without a valid token gets a challenge that says what to
//! send, and the inner service is not called. With the feature `axum` the [`Identity`] is an
//! extractor.
//!
//! Put it behind a CORS layer, because a preflight request has no token, and before `nest`, because
//! a nested service sees only a part of the path, and a proof names the whole.

use std::fmt;
use std::sync::Arc;

use ::http::header;
use ::http::request::Parts;
use bytes::Bytes;
use tower_layer::Layer;
use url::Url;

use crate::dpop::{DpopPolicy, ReplayMemory};
use crate::verify::{Presented, Verifier};

#[cfg(feature = "axum")]
mod axum;
mod challenge;
mod gateway;
mod identity;
mod rejected;
mod service;

use challenge::{Challenges, Scheme};
pub use gateway::{BehindGateway, GatewayCaller, GatewayLayer};
pub use identity::{Forbidden, Identity, Requirement};
pub use rejected::Rejected;
pub use service::{Verify, VerifyBody};

/// The certificate that the client proved to hold in the TLS handshake, in DER. The code that
/// accepts the connection adds it to the extensions of its requests, for tokens bound to it
/// (RFC 8705 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate(pub Bytes);

/// Extension of a request without credentials, if that is allowed ([`VerifyLayer::optional`]).
#[derive(Clone)]
pub struct Anonymous(Arc<Challenges>);

impl Anonymous {
    /// The answer of a handler that requires an identity.
    pub fn rejected(&self) -> Rejected {
        self.0.no_credentials()
    }
}

impl fmt::Debug for Anonymous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Anonymous")
    }
}

/// Passes on requests that present a valid token.
///
/// ```
/// # #[cfg(feature = "test-util")]
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use bytes::Bytes;
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Full;
/// use oidc_core::resource_server::{Identity, VerifyLayer};
/// use oidc_core::{Validation, Verifier, testing::TestIssuer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// let issuer = TestIssuer::new();
/// let verifier = Verifier::new(Validation::new(issuer.issuer(), "churn"), issuer.keys())
///     .with_clock(issuer.clock());
///
/// let service = ServiceBuilder::new()
///     .layer(VerifyLayer::new(verifier).with_realm("churn").require_scopes(["profile"]))
///     .service(service_fn(async |request: Request<Full<Bytes>>| {
///         let identity = request.extensions().get::<Identity>().ok_or("no identity")?;
///         Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Response::new(Full::new(Bytes::from(
///             format!("hello {}", identity.subject()),
///         ))))
///     }));
///
/// let anonymous = Request::new(Full::default());
/// let answer = service.clone().oneshot(anonymous).await.map_err(|error| error.to_string())?;
/// assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
/// assert_eq!(answer.headers()["www-authenticate"], r#"Bearer realm="churn", scope="profile""#);
/// # Ok(()) }
/// # #[cfg(feature = "test-util")]
/// # fn main() {
/// #     let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// #     runtime.block_on(run()).unwrap();
/// # }
/// # #[cfg(not(feature = "test-util"))]
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct VerifyLayer {
    verifier: Verifier,
    challenges: Arc<Challenges>,
    /// A token must meet at least one requirement of each group.
    required: Vec<Vec<Requirement>>,
    public_url: Option<Url>,
    optional: bool,
}

impl VerifyLayer {
    /// Verifies tokens with `verifier`.
    pub fn new(verifier: Verifier) -> Self {
        Self {
            verifier,
            challenges: Arc::default(),
            required: Vec::new(),
            public_url: None,
            optional: false,
        }
    }

    /// Sets the protected space in challenges (RFC 9110 §11.5).
    #[must_use]
    pub fn with_realm(mut self, realm: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.challenges).realm = Some(realm.into());
        self
    }

    /// Adds the URL of this protected resource's metadata to challenges (RFC 9728 §5.1).
    #[must_use]
    pub fn with_resource_metadata(mut self, url: Url) -> Self {
        Arc::make_mut(&mut self.challenges).resource_metadata = Some(url);
        self
    }

    /// Accepts tokens bound to a DPoP key, with their proofs (RFC 9449). `public_url` is the
    /// address of this service for clients: scheme, host, port and the path before the one that
    /// arrives here. The host in the request is ignored, because the sender chooses it.
    #[must_use]
    pub fn with_dpop(self, policy: DpopPolicy, public_url: Url) -> Self {
        let verifier = self.verifier.clone().with_dpop(policy);
        self.with_dpop_of(verifier, public_url)
    }

    /// Like [`Self::with_dpop`], with another memory of used proofs than this process's own
    /// ([`Verifier::with_dpop_memory`]).
    #[must_use]
    pub fn with_dpop_memory(
        self,
        policy: DpopPolicy,
        memory: Arc<dyn ReplayMemory>,
        public_url: Url,
    ) -> Self {
        let verifier = self.verifier.clone().with_dpop_memory(policy, memory);
        self.with_dpop_of(verifier, public_url)
    }

    fn with_dpop_of(mut self, verifier: Verifier, public_url: Url) -> Self {
        self.verifier = verifier;
        Arc::make_mut(&mut self.challenges).dpop = self.verifier.dpop_algorithms();
        self.public_url = Some(public_url);
        self
    }

    /// Requires all of these scopes.
    #[must_use]
    pub fn require_scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        let scopes = scopes.into_iter().map(Into::into);
        Arc::make_mut(&mut self.challenges).scopes.extend(scopes);
        self
    }

    /// Requires all of these roles of the realm.
    #[must_use]
    pub fn require_roles<S: Into<String>>(mut self, roles: impl IntoIterator<Item = S>) -> Self {
        let roles = roles.into_iter().map(|role| vec![Requirement::RealmRole(role.into())]);
        self.required.extend(roles);
        self
    }

    /// Requires at least one of these. An empty list refuses every token.
    #[must_use]
    pub fn require_any(mut self, requirements: impl IntoIterator<Item = Requirement>) -> Self {
        self.required.push(requirements.into_iter().collect());
        self
    }

    /// Passes on requests without `Authorization`, without an [`Identity`]. Invalid credentials are
    /// still refused, and so are those of an unsupported scheme: their sender claims an identity.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The verified sender of this request; `None` if it has no credentials and that is allowed
    /// ([`Self::optional`]). For servers that tower does not fit; the layer does the same.
    ///
    /// # Errors
    /// [`Rejected`]: the answer to give.
    pub async fn identify(&self, request: &Parts) -> Result<Option<Identity>, Rejected> {
        let uri = self.public_url.as_ref().map(|public| target(public, request.uri.path()));
        let presented = Presented::from_headers(&request.headers, &request.method, uri.as_ref())
            .map_err(|error| self.challenges.invalid_request(&error))?;
        let Some(mut presented) = presented else {
            let anonymous = !request.headers.contains_key(header::AUTHORIZATION);
            return match self.optional && anonymous {
                true => Ok(None),
                false => Err(self.challenges.no_credentials()),
            };
        };
        if let Some(ClientCertificate(der)) = request.extensions.get() {
            presented = presented.with_certificate(der);
        }
        let scheme = if presented.is_dpop() { Scheme::Dpop } else { Scheme::Bearer };
        let token = self.verifier.presented(&presented).await.map_err(|refusal| {
            tracing::debug!(code = refusal.code(), "token refused");
            self.challenges.refused(scheme, &refusal, self.verifier.dpop_nonce())
        })?;
        let secret = presented.token().into();
        let identity = Identity::new(token, secret, scheme, Arc::clone(&self.challenges));
        identity.require_scopes_of_layer()?;
        for group in &self.required {
            identity.require_one_of(group)?;
        }
        Ok(Some(identity))
    }

    /// The nonce to send with an answer (RFC 9449 §8.2).
    fn nonce(&self, identity: Option<&Identity>) -> Option<String> {
        identity.filter(|identity| identity.is_dpop())?;
        self.verifier.dpop_nonce()
    }
}

impl<S> Layer<S> for VerifyLayer {
    type Service = Verify<S>;

    fn layer(&self, inner: S) -> Verify<S> {
        Verify::new(inner, self.clone())
    }
}

impl fmt::Debug for VerifyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyLayer")
            .field("verifier", &self.verifier)
            .field("required", &self.required)
            .field("optional", &self.optional)
            .finish_non_exhaustive()
    }
}

/// The address of the request as its client sees it.
fn target(public: &Url, path: &str) -> Url {
    let mut url = public.clone();
    url.set_path(&format!("{}{path}", public.path().trim_end_matches('/')));
    url.set_query(None);
    url.set_fragment(None);
    url
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn the_public_address_precedes_the_path() {
        for (public, path, found) in [
            ("https://api.example", "/a", "https://api.example/a"),
            ("https://api.example/", "/", "https://api.example/"),
            ("https://api.example:8443/v1/", "/a%2Fb", "https://api.example:8443/v1/a%2Fb"),
            ("https://api.example/v1?x#y", "/a", "https://api.example/v1/a"),
        ] {
            assert_eq!(target(&public.parse().unwrap(), path).as_str(), found);
        }
    }
}
