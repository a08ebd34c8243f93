//! Requests to the token endpoint and its neighbours, which share client authentication: revocation
//! (RFC 7009) and pushed authorization requests (RFC 9126).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use url::Url;

use super::{TokenEndpointError, TokenSet};
use crate::claims::Scope;
use crate::client_auth::ClientAuth;
use crate::clock::{Clock, SystemClock};
use crate::http::retry_after;
use crate::observer;
use crate::provider::Provider;
use crate::refusal::bounded;
use crate::secret::Secret;

/// What tokens are asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Grant {
    /// A code from the authorization endpoint (RFC 6749 §4.1.3, RFC 7636 §4.5).
    AuthorizationCode {
        /// `code`
        code: Secret,
        /// `redirect_uri`, as it was in the authorization request.
        redirect_uri: Url,
        /// `code_verifier`
        code_verifier: Secret,
    },
    /// A refresh token (RFC 6749 §6).
    RefreshToken {
        /// `refresh_token`
        refresh_token: Secret,
        /// `scope`, to ask for less than before.
        scope: Option<Scope>,
    },
    /// The client's own right (RFC 6749 §4.4).
    ClientCredentials {
        /// `scope`
        scope: Option<Scope>,
        /// `audience`, where the provider knows it.
        audience: Option<String>,
        /// `resource` (RFC 8707)
        resource: Option<String>,
    },
    /// Another token (RFC 8693).
    TokenExchange {
        /// `subject_token`
        subject_token: Secret,
        /// `subject_token_type`; an access token unless set.
        subject_token_type: Option<String>,
        /// `audience`
        audience: Option<String>,
        /// `scope`
        scope: Option<Scope>,
    },
}

/// What kind of token is revoked (RFC 7009 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenHint {
    /// `access_token`
    AccessToken,
    /// `refresh_token`
    RefreshToken,
}

pub(crate) type Form = Vec<(Cow<'static, str>, Secret)>;

/// The token endpoint of a provider, used as one client.
///
/// ```no_run
/// # async fn run(provider: oidc_core::Provider) -> Result<(), Box<dyn std::error::Error>> {
/// use oidc_core::{ClientAuth, Grant, Secret, TokenEndpoint};
///
/// let auth = ClientAuth::SecretBasic(Secret::from("hunter2"));
/// let endpoint = TokenEndpoint::new(provider, "airflow-run", auth);
/// let grant = Grant::ClientCredentials { scope: Some("score".into()), audience: None, resource: None };
/// let tokens = endpoint.request(grant).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct TokenEndpoint {
    provider: Provider,
    client_id: String,
    auth: ClientAuth,
    clock: Arc<dyn Clock>,
}

impl Grant {
    /// `grant_type`
    fn grant_type(&self) -> &'static str {
        match self {
            Self::AuthorizationCode { .. } => "authorization_code",
            Self::RefreshToken { .. } => "refresh_token",
            Self::ClientCredentials { .. } => "client_credentials",
            Self::TokenExchange { .. } => "urn:ietf:params:oauth:grant-type:token-exchange",
        }
    }

    fn into_form(self) -> Form {
        let mut form: Form = Vec::new();
        let mut add = |name: &'static str, value: Option<Secret>| {
            form.extend(value.map(|value| (name.into(), value)));
        };
        let scope_text = |scope: Option<Scope>| scope.map(|scope| Secret::from(scope.to_string()));
        add("grant_type", Some(self.grant_type().into()));
        match self {
            Self::AuthorizationCode { code, redirect_uri, code_verifier } => {
                add("code", Some(code));
                add("redirect_uri", Some(redirect_uri.as_str().into()));
                add("code_verifier", Some(code_verifier));
            }
            Self::RefreshToken { refresh_token, scope } => {
                add("refresh_token", Some(refresh_token));
                add("scope", scope_text(scope));
            }
            Self::ClientCredentials { scope, audience, resource } => {
                add("scope", scope_text(scope));
                add("audience", audience.map(Secret::from));
                add("resource", resource.map(Secret::from));
            }
            Self::TokenExchange { subject_token, subject_token_type, audience, scope } => {
                let access_token = "urn:ietf:params:oauth:token-type:access_token";
                let kind = subject_token_type.unwrap_or_else(|| access_token.to_owned());
                add("subject_token", Some(subject_token));
                add("subject_token_type", Some(kind.into()));
                add("audience", audience.map(Secret::from));
                add("scope", scope_text(scope));
            }
        }
        form
    }
}

impl TokenEndpoint {
    /// The token endpoint of `provider`, used as `client_id`.
    pub fn new(provider: Provider, client_id: impl Into<String>, auth: ClientAuth) -> Self {
        Self { provider, client_id: client_id.into(), auth, clock: Arc::new(SystemClock) }
    }

    /// Takes the time from `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
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

    /// Asks once for tokens; nothing is repeated here.
    pub async fn request(&self, grant: Grant) -> Result<TokenSet, TokenEndpointError> {
        let grant_type = grant.grant_type();
        observer::token_request(&self.provider, grant_type, self.ask(grant)).await
    }

    async fn ask(&self, grant: Grant) -> Result<TokenSet, TokenEndpointError> {
        let metadata = self.provider.metadata().await?;
        let url = endpoint(metadata.token_endpoint.as_ref(), "token_endpoint")?;
        let answer = self.post(url, grant.into_form(), StatusCode::OK).await?;
        TokenSet::parse(answer.body(), self.clock.now())
    }

    /// Tells the provider that a token is no longer needed (RFC 7009).
    pub async fn revoke(&self, token: &Secret, hint: TokenHint) -> Result<(), TokenEndpointError> {
        let metadata = self.provider.metadata().await?;
        let url = endpoint(metadata.revocation_endpoint.as_ref(), "revocation_endpoint")?;
        let hint = match hint {
            TokenHint::AccessToken => "access_token",
            TokenHint::RefreshToken => "refresh_token",
        };
        let form = vec![("token".into(), token.clone()), ("token_type_hint".into(), hint.into())];
        self.post(url, form, StatusCode::OK).await.map(|_| ())
    }

    /// Posts a form with the client's proof; any other status than `success` is an error.
    pub(crate) async fn post(
        &self,
        url: &Url,
        mut form: Form,
        success: StatusCode,
    ) -> Result<Response<Bytes>, TokenEndpointError> {
        let authorization = self
            .auth
            .prove(&self.client_id, self.provider.issuer(), self.clock.now(), &mut form)
            .map_err(|error| TokenEndpointError::PrivateKey { reason: error.to_string() })?;
        let body: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form.iter().map(|(name, value)| (name, value.expose())))
            .finish();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(url.as_str())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(Bytes::from(body))
            .map_err(|error| TokenEndpointError::InvalidResponse {
                reason: format!("its address cannot be asked: {}", bounded(&error.to_string())),
            })?;
        if let Some(value) = authorization {
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let answer = self.provider.http().send(request).await.map_err(|error| {
            TokenEndpointError::Unavailable { reason: error.to_string(), retry_after: None }
        })?;
        let status = answer.status();
        if status == success {
            return Ok(answer);
        }
        let wait = retry_after(answer.headers());
        Err(TokenEndpointError::parse(status.as_u16(), wait, answer.body()))
    }
}

pub(crate) fn endpoint<'m>(
    url: Option<&'m Url>,
    endpoint: &'static str,
) -> Result<&'m Url, TokenEndpointError> {
    url.ok_or(TokenEndpointError::NotSupported { endpoint })
}
