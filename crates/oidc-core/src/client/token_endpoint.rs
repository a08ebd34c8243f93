//! Requests to the token endpoint and the endpoints with the same client authentication: revocation
//! (RFC 7009), introspection (RFC 7662), device authorization (RFC 8628) and pushed authorization
//! requests (RFC 9126).
//!
//! A request is repeated in two cases only, each with a fresh proof: once, when the provider
//! requires its nonce in the DPoP proof (RFC 9449 §8); and when [`AutoAuth`](crate::client::AutoAuth) has
//! another credential.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tokio::time::Instant;
use tracing::{Instrument as _, field::Empty};
use url::Url;

use super::{ClientEndpoint, Grant, TokenEndpointError, TokenSet};
use crate::client::{AutoAuth, ClientAuth, ClientAuthAttempt, ClientAuthError, Form, Occasion};
use crate::clock::{Clock, SystemClock};
use crate::dpop::{DpopKey, DpopNonces};
use crate::foreign_text::bounded;
use crate::http::retry_after;
use crate::observer::Event;
use crate::provider::{Provider, ProviderMetadata};
use crate::secret::Secret;

/// Kind of token to revoke (RFC 7009 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenHint {
    /// `access_token`
    AccessToken,
    /// `refresh_token`
    RefreshToken,
}

/// The token endpoint of a provider, used as one client.
///
/// ```no_run
/// # async fn run(provider: oidc_core::provider::Provider) -> Result<(), Box<dyn std::error::Error>> {
/// use oidc_core::client::{ClientAuth, ClientSecret, Grant, TokenEndpoint};
///
/// let auth = ClientAuth::SecretBasic(ClientSecret::file("/run/secrets/airflow"));
/// let endpoint = TokenEndpoint::new(provider, "airflow-run", auth);
/// let grant = Grant::ClientCredentials { scope: Some("score".into()), audience: None, resource: vec![] };
/// let tokens = endpoint.request(grant).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct TokenEndpoint {
    provider: Provider,
    client_id: String,
    auth: ClientAuth,
    clock: Arc<dyn Clock>,
    dpop: Option<Dpop>,
}

/// The key that tokens are bound to, and the provider's nonces for its proofs.
#[derive(Clone, Debug)]
pub(crate) struct Dpop {
    pub(crate) key: Arc<DpopKey>,
    /// The token endpoint's nonces, not shared with resources (RFC 9449 §8, §9).
    nonces: Arc<DpopNonces>,
    #[cfg(feature = "login")]
    pub(crate) nonces_of_resources: Arc<DpopNonces>,
}

/// A request that failed, and whether its client authentication was refused.
pub(crate) struct Failed {
    pub(crate) error: TokenEndpointError,
    /// The provider's answer, if there is one.
    #[cfg_attr(not(feature = "oauth2"), expect(dead_code, reason = "read by the crate `oauth2`"))]
    pub(crate) answer: Option<Box<Response<Bytes>>>,
    client_refused: bool,
}

impl TokenEndpoint {
    /// The token endpoint of `provider`, used as `client_id`.
    pub fn new(provider: Provider, client_id: impl Into<String>, auth: ClientAuth) -> Self {
        let clock = Arc::new(SystemClock);
        Self { provider, client_id: client_id.into(), auth, clock, dpop: None }
    }

    /// Takes the time from `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Requests tokens that are bound to `key` (RFC 9449 §5). An answer with an unbound token is
    /// [`TokenEndpointError::NotBound`].
    #[must_use]
    pub fn with_dpop(mut self, key: Arc<DpopKey>) -> Self {
        self.dpop = Some(Dpop {
            key,
            nonces: Arc::default(),
            #[cfg(feature = "login")]
            nonces_of_resources: Arc::default(),
        });
        self
    }

    /// The client's id.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The provider.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// The authentication method, by the name in metadata
    /// (`token_endpoint_auth_methods_supported`).
    pub fn auth_method(&self) -> &'static str {
        self.auth.method()
    }

    /// The key that tokens are bound to.
    pub fn dpop_key(&self) -> Option<&Arc<DpopKey>> {
        self.dpop.as_ref().map(|dpop| &dpop.key)
    }

    /// Whether the client has a certificate, which its tokens may be bound to (RFC 8705 §3).
    #[cfg(feature = "login")]
    pub(crate) fn has_certificate(&self) -> bool {
        self.auth.has_certificate()
    }

    #[cfg(feature = "login")]
    pub(crate) fn dpop(&self) -> Option<&Dpop> {
        self.dpop.as_ref()
    }

    /// Requests tokens once; repeated only in the cases that the module names.
    ///
    /// # Errors
    /// [`TokenEndpointError`] says whether the grant or the client is invalid, or the failure is
    /// temporary.
    pub async fn request(&self, grant: Grant) -> Result<TokenSet, TokenEndpointError> {
        let (grant_type, asked) = (grant.grant_type(), Box::pin(self.ask(grant)));
        self.observed(grant_type, asked, TokenEndpointError::code).await
    }

    /// Makes a token request, and reports it with the name of its failure. The request is boxed, so that
    /// its state is not in the futures of all callers.
    pub(crate) async fn observed<T, E>(
        &self,
        grant_type: &str,
        asked: BoxFuture<'_, Result<T, E>>,
        code: impl FnOnce(&E) -> &'static str,
    ) -> Result<T, E> {
        let begun = Instant::now();
        let issuer = self.provider.issuer();
        let span = tracing::debug_span!("token.request", %issuer, grant_type, outcome = Empty);
        let answer = asked.instrument(span.clone()).await;
        let outcome = answer.as_ref().map(|_| ()).map_err(code);
        span.record("outcome", outcome.err().unwrap_or("ok"));
        let took = begun.elapsed();
        self.provider.observe(&Event::TokensRequested { issuer, grant_type, outcome, took });
        answer
    }

    async fn ask(&self, grant: Grant) -> Result<TokenSet, TokenEndpointError> {
        let answer = self.post(ClientEndpoint::Token, grant.into_form(), StatusCode::OK).await?;
        TokenSet::parse(answer.body(), self.clock.now(), self.dpop.is_some())
    }

    /// Revokes a token that is no longer needed (RFC 7009).
    ///
    /// # Errors
    /// As [`TokenEndpoint::request`]; [`TokenEndpointError::NotSupported`] if the provider has no such
    /// endpoint.
    pub async fn revoke(&self, token: &Secret, hint: TokenHint) -> Result<(), TokenEndpointError> {
        let hint = match hint {
            TokenHint::AccessToken => "access_token",
            TokenHint::RefreshToken => "refresh_token",
        };
        let form = vec![("token".into(), token.clone()), ("token_type_hint".into(), hint.into())];
        self.post(ClientEndpoint::Revocation, form, StatusCode::OK).await.map(|_| ())
    }

    /// Posts a form with the client's proof; any other status than `success` is an error.
    pub(crate) async fn post(
        &self,
        to: ClientEndpoint,
        form: Form,
        success: StatusCode,
    ) -> Result<Response<Bytes>, TokenEndpointError> {
        let metadata = self.provider.metadata().await?;
        self.exchange(&metadata, to, form, success).await.map_err(|failed| failed.error)
    }

    /// Like [`Self::post`], with the answer of another status in the error.
    pub(crate) async fn exchange(
        &self,
        metadata: &ProviderMetadata,
        to: ClientEndpoint,
        form: Form,
        success: StatusCode,
    ) -> Result<Response<Bytes>, Failed> {
        match &self.auth {
            ClientAuth::Auto(auto) => self.post_as_any(auto, metadata, to, &form, success).await,
            auth => self.post_as(auth, metadata, to, &form, success).await,
        }
    }

    /// Tries each credential in turn, until the client is accepted or another error occurs.
    async fn post_as_any(
        &self,
        auto: &AutoAuth,
        metadata: &ProviderMetadata,
        to: ClientEndpoint,
        form: &Form,
        success: StatusCode,
    ) -> Result<Response<Bytes>, Failed> {
        let mut attempts = Vec::new();
        for candidate in auto.candidates() {
            let method = candidate.auth.method();
            if !candidate.is_offered(&metadata.token_endpoint_auth_methods_supported) {
                let reason = "the provider does not offer it".to_owned();
                attempts.push(ClientAuthAttempt { method, reason, is_temporary: false });
                continue;
            }
            match self.post_as(&candidate.auth, metadata, to, form, success).await {
                Ok(answer) => {
                    auto.remember(&candidate);
                    return Ok(answer);
                }
                Err(failed @ Failed { client_refused: false, .. }) => return Err(failed),
                Err(Failed { error, .. }) => attempts.push(ClientAuthAttempt {
                    method,
                    is_temporary: error.is_temporary(),
                    reason: error.to_string(),
                }),
            }
        }
        Err(Failed::from(match attempts.is_empty() {
            true => ClientAuthError::NoCredential,
            false => ClientAuthError::NoneWorks { attempts },
        }))
    }

    async fn post_as(
        &self,
        auth: &ClientAuth,
        metadata: &ProviderMetadata,
        to: ClientEndpoint,
        form: &Form,
        success: StatusCode,
    ) -> Result<Response<Bytes>, Failed> {
        let url = to.url(metadata, matches!(auth, ClientAuth::MutualTls))?;
        let dpop = self.dpop.as_ref().filter(|_| to == ClientEndpoint::Token);
        let mut nonce_wanted = false;
        loop {
            let answer = self.send(auth, metadata, (to, url), form.clone(), dpop).await?;
            let new_nonce = dpop.is_some_and(|dpop| dpop.nonces.note(url, answer.headers()));
            let status = answer.status();
            if status == success {
                return Ok(answer);
            }
            let wait = retry_after(answer.headers());
            let error = TokenEndpointError::parse(status.as_u16(), wait, answer.body());
            if error.wants_nonce() && new_nonce && !nonce_wanted {
                nonce_wanted = true;
                continue;
            }
            let client_refused = error.refuses_client(status);
            return Err(Failed { error, answer: Some(Box::new(answer)), client_refused });
        }
    }

    /// One request, with proofs made for it.
    async fn send(
        &self,
        auth: &ClientAuth,
        metadata: &ProviderMetadata,
        (to, url): (ClientEndpoint, &Url),
        mut form: Form,
        dpop: Option<&Dpop>,
    ) -> Result<Response<Bytes>, Failed> {
        let now = self.clock.now();
        let occasion = Occasion { client_id: &self.client_id, metadata, now };
        let authorization = auth.prove(occasion, &mut form).await?;
        let body: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form.iter().map(|(name, value)| (name, value.expose())))
            .finish();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(url.as_str())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, to.accepts())
            .body(Bytes::from(body))
            .map_err(|error| TokenEndpointError::InvalidResponse {
                reason: format!("its address cannot be asked: {}", bounded(&error.to_string())),
            })?;
        if let Some(value) = authorization {
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        if let Some(Dpop { key, nonces, .. }) = dpop {
            let nonce = nonces.latest(url);
            let proof = key
                .proof(&Method::POST, url, None, nonce.as_deref(), now)
                .map_err(ClientAuthError::from)?;
            if let Ok(value) = HeaderValue::from_str(proof.expose()) {
                request.headers_mut().insert("dpop", value);
            }
        }
        self.provider.http().send(request).await.map_err(|error| Failed {
            // A server that refuses the certificate ends the handshake; other credentials may still
            // work.
            client_refused: matches!(auth, ClientAuth::MutualTls),
            answer: None,
            error: error.into(),
        })
    }
}

impl From<TokenEndpointError> for Failed {
    fn from(error: TokenEndpointError) -> Self {
        Self { error, answer: None, client_refused: false }
    }
}

/// A credential that fails to load counts as rejected.
impl From<ClientAuthError> for Failed {
    fn from(error: ClientAuthError) -> Self {
        Self { error: TokenEndpointError::ClientAuth(error), answer: None, client_refused: true }
    }
}
