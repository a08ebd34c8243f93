//! A relying party at one provider: its client id, its authentication, and the login flow from the
//! first redirect to logout (OpenID Connect Core 1.0 §3.1).
//!
//! It keeps no state between the steps; the caller keeps [`PendingLogin`] and [`TokenSet`].

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::client::{ClientAuth, Grant, TokenEndpoint, TokenEndpointError, TokenHint, TokenSet};
use crate::clock::Clock;
use crate::dpop::DpopKey;
use crate::keys::KeySource;
use crate::login::callback::{self, CallbackRefusal, Code};
use crate::login::user_info::user_info;
use crate::login::{LoginError, LoginRequest, LogoutRequest, PendingLogin, UserInfoError};
use crate::provider::Provider;
use crate::secret::Secret;
use crate::token::{Algorithm, Claims, IdToken};
use crate::verify::{IdTokenExpectations, Validation, Verified, Verifier};

mod device_login;

pub use device_login::DeviceLogin;

/// A relying party at one provider.
///
/// ```no_run
/// # async fn run(provider: oidc_core::provider::Provider, query: &str) -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use oidc_core::Client;
/// use oidc_core::client::ClientAuth;
/// use oidc_core::keys::RemoteKeys;
/// use oidc_core::login::LoginRequest;
///
/// let keys = Arc::new(RemoteKeys::new(provider.clone()));
/// let auth = ClientAuth::SecretBasic("hunter2".into());
/// let client = Client::new(provider, keys, "gateway", auth);
///
/// let redirect_uri = "https://platform.example/oauth2/callback".parse()?;
/// let (url, pending) = client.begin_login(LoginRequest::new(redirect_uri)).await?;
/// // Send the browser to `url`, keep `pending`; when the browser comes back with `query`:
/// let code = client.parse_callback(query, &pending).await?;
/// let login = client.finish_login(code, &pending).await?;
/// println!("hello {}", login.id_token.subject());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    endpoint: TokenEndpoint,
    verifier: Verifier,
    clock: Option<Arc<dyn Clock>>,
}

/// A login that succeeded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Login {
    /// The tokens.
    pub tokens: TokenSet,
    /// The verified ID token of the person who logged in.
    pub id_token: Verified<IdToken>,
}

/// A refresh that succeeded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refreshed {
    /// The tokens. Without a `refresh_token` among them, the one that was sent stays valid.
    pub tokens: TokenSet,
    /// The ID token, if one came; it is about the same subject.
    pub id_token: Option<Verified<IdToken>>,
}

impl Client {
    /// `client_id` at `provider`; `keys` are that provider's.
    pub fn new(
        provider: Provider,
        keys: Arc<dyn KeySource>,
        client_id: impl Into<String>,
        auth: ClientAuth,
    ) -> Self {
        let client_id = client_id.into();
        let validation = Validation::new(provider.issuer().clone(), client_id.clone());
        let verifier = Verifier::new(validation, keys).with_cache(0);
        Self { endpoint: TokenEndpoint::new(provider, client_id, auth), verifier, clock: None }
    }

    /// Takes the time from `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.endpoint = self.endpoint.with_clock(Arc::clone(&clock));
        self.verifier = self.verifier.with_clock(Arc::clone(&clock));
        self.clock = Some(clock);
        self
    }

    /// Gets tokens that are bound to `key` (RFC 9449): the authorization request names it
    /// (`dpop_jkt`, §10), and token and UserInfo requests carry a proof. To send the access token
    /// to another server, make its proof with [`DpopKey::proof`].
    #[must_use]
    pub fn with_dpop(mut self, key: Arc<DpopKey>) -> Self {
        self.endpoint = self.endpoint.with_dpop(key);
        self
    }

    /// Sets the allowed clock difference for ID and logout tokens; 30 s unless set.
    #[must_use]
    pub fn with_leeway(self, leeway: Duration) -> Self {
        self.with_validation(|validation| validation.with_leeway(leeway))
    }

    /// Accepts ID and logout tokens signed with these algorithms only; unless set, with those that the
    /// provider announces for ID tokens.
    #[must_use]
    pub fn with_algorithms(self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.with_validation(|validation| validation.with_algorithms(algorithms))
    }

    /// Also accepts ID tokens for this client that another client asked for ([`Validation::with_trusted_party`]).
    #[must_use]
    pub fn with_trusted_party(self, client: impl Into<String>) -> Self {
        self.with_validation(|validation| validation.with_trusted_party(client))
    }

    fn with_validation(mut self, change: impl FnOnce(Validation) -> Validation) -> Self {
        let validation = change(self.verifier.validation().clone());
        self.verifier = Verifier::new(validation, Arc::clone(self.verifier.keys())).with_cache(0);
        match self.clock.clone() {
            Some(clock) => self.with_clock(clock),
            None => self,
        }
    }

    /// The client id at the provider.
    pub fn client_id(&self) -> &str {
        self.endpoint.client_id()
    }

    /// The provider.
    pub fn provider(&self) -> &Provider {
        self.endpoint.provider()
    }

    /// Verifies ID and logout tokens made for this client.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The token endpoint, used as this client.
    pub fn token_endpoint(&self) -> &TokenEndpoint {
        &self.endpoint
    }

    /// Begins a login: returns the URL for the browser, and the state to keep until it comes back.
    ///
    /// # Errors
    ///
    /// [`LoginError::Provider`] while the metadata is not known; [`LoginError::NotSupported`] when the
    /// provider has no endpoint for it; [`LoginError::RequestObject`] when the request cannot be signed
    /// (RFC 9101), and [`LoginError::PushedAuthorization`] when it is not taken (RFC 9126 §2.3).
    pub async fn begin_login(
        &self,
        request: LoginRequest,
    ) -> Result<(Url, PendingLogin), LoginError> {
        let metadata = self.provider().metadata().await?;
        request.begin(&metadata, &self.endpoint).await
    }

    /// Checks the query that the browser came back with: [`callback::parse`] with the provider's
    /// metadata. If the login asked for a signed answer, its signature and claims are checked too
    /// (JARM §2.4).
    ///
    /// # Errors
    /// [`CallbackRefusal`] with the first check that failed.
    pub async fn parse_callback(
        &self,
        query: &str,
        pending: &PendingLogin,
    ) -> Result<Code, CallbackRefusal> {
        if pending.signed_response {
            return callback::parse_signed(query, pending, &self.verifier).await;
        }
        let metadata = self.provider().metadata().await?;
        callback::parse(query, pending, &metadata)
    }

    /// Exchanges the code and verifies the ID token.
    ///
    /// # Errors
    ///
    /// [`LoginError::Token`] when the code is not exchanged; a code is valid for one attempt
    /// (RFC 6749 §4.1.2), so begin the login again. [`LoginError::NoIdToken`] or
    /// [`LoginError::IdToken`] when the ID token is missing or refused.
    pub async fn finish_login(
        &self,
        code: Code,
        pending: &PendingLogin,
    ) -> Result<Login, LoginError> {
        let code = code.into_secret();
        let grant = Grant::AuthorizationCode {
            code: code.clone(),
            redirect_uri: pending.redirect_uri.clone(),
            code_verifier: pending.code_verifier.clone(),
        };
        let tokens = self.endpoint.request(grant).await.map_err(LoginError::Token)?;
        let id_token = tokens.id_token.as_ref().ok_or(LoginError::NoIdToken)?;
        let expected = IdTokenExpectations {
            nonce: Some(pending.nonce.clone()),
            access_token: Some(tokens.access_token.clone()),
            code: Some(code),
            subject: None,
            max_age: pending.max_age,
        };
        let id_token = self
            .verifier
            .id_token(id_token.expose(), &expected)
            .await
            .map_err(LoginError::IdToken)?;
        Ok(Login { tokens, id_token })
    }

    /// Gets the next token set. A new ID token must be about `expected_subject` (OpenID Connect
    /// Core 1.0 §12.2).
    ///
    /// # Errors
    ///
    /// [`TokenEndpointError::InvalidGrant`] when the login is over (RFC 6749 §5.2);
    /// [`TokenEndpointError::IdToken`] when the new ID token is invalid or is about another
    /// subject; the others as [`TokenEndpoint::request`].
    pub async fn refresh(
        &self,
        refresh_token: &Secret,
        expected_subject: &str,
    ) -> Result<Refreshed, TokenEndpointError> {
        let grant = Grant::RefreshToken { refresh_token: refresh_token.clone(), scope: None };
        let tokens = self.endpoint.request(grant).await?;
        let Some(id_token) = &tokens.id_token else {
            return Ok(Refreshed { tokens, id_token: None });
        };
        let expected = IdTokenExpectations::default()
            .with_access_token(tokens.access_token.clone())
            .with_subject(expected_subject);
        let id_token = self
            .verifier
            .id_token(id_token.expose(), &expected)
            .await
            .map_err(TokenEndpointError::IdToken)?;
        Ok(Refreshed { tokens, id_token: Some(id_token) })
    }

    /// Asks for claims about the person; they must be about `expected_subject`. An answer that the
    /// provider signed is verified like an ID token: its signature, `iss` and `aud`.
    ///
    /// # Errors
    ///
    /// [`UserInfoError::Unauthorized`] when the endpoint does not accept the access token;
    /// [`UserInfoError::WrongSubject`] when the claims are about another subject, which must be
    /// treated as an attack (OpenID Connect Core 1.0 §5.3.2); [`UserInfoError::Refused`] when a signed
    /// answer is not the provider's for this client; [`UserInfoError::Provider`] and
    /// [`UserInfoError::Fetch`] may be temporary.
    pub async fn user_info(
        &self,
        access_token: &Secret,
        expected_subject: &str,
    ) -> Result<Claims, UserInfoError> {
        user_info(&self.endpoint, &self.verifier, access_token, expected_subject).await
    }

    /// Revokes a token that is no longer needed (RFC 7009).
    ///
    /// # Errors
    ///
    /// As [`TokenEndpoint::revoke`]: a token that the provider does not know is no error (RFC 7009 §2.2).
    pub async fn revoke(&self, token: &Secret, hint: TokenHint) -> Result<(), TokenEndpointError> {
        self.endpoint.revoke(token, hint).await
    }

    /// URL that ends the session at the provider; `None` when the provider has no such endpoint, or
    /// its metadata is not known yet.
    pub fn logout_url(&self, request: &LogoutRequest) -> Option<Url> {
        request.url(self.provider().current()?.as_ref(), self.client_id())
    }
}
