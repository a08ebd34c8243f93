//! Begins a login ([OpenID Connect Core 1.0 §3.1.2.1]): a URL for the browser, and the state to
//! keep until it comes back.
//!
//! Authorization code only, always with PKCE S256 (RFC 7636), `state` and `nonce`; pushed (RFC 9126)
//! where the provider offers it, signed (RFC 9101) where the client has a key for it.
//!
//! [OpenID Connect Core 1.0 §3.1.2.1]: https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use oauth2::{CsrfToken, PkceCodeChallenge};
use serde::{Deserialize, Serialize};
use url::Url;

use super::error::LoginError;
use crate::client::{ClientEndpoint, Form, PrivateKeyJwt, TokenEndpoint, TokenEndpointError};
use crate::provider::ProviderMetadata;
use crate::random;
use crate::secret::Secret;
use crate::token::Scope;

mod request_object;

/// Parameters that [`LoginRequest::with_parameter`] ignores: those that the flow sets, and the client's
/// credentials, which a request through the browser would show.
const OWN_PARAMETERS: [&str; 15] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "dpop_jkt",
    "request",
    "request_uri",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
];

/// The one parameter that may be repeated (RFC 8707 §2).
const RESOURCE: &str = "resource";

/// The parameters of an authorization request: names and values.
type Parameters = Vec<(String, String)>;

/// Settings of one login.
///
/// ```
/// use oidc_core::login::LoginRequest;
/// let request = LoginRequest::new("https://platform.example/oauth2/callback".parse()?)
///     .with_scopes(["openid", "profile", "email"])
///     .with_prompt("login");
/// # Ok::<(), url::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct LoginRequest {
    redirect_uri: Url,
    scope: Scope,
    max_age: Option<Duration>,
    parameters: Parameters,
    push: Push,
    request_key: Option<PrivateKeyJwt>,
    signed_response: bool,
}

/// Whether a request is pushed (RFC 9126). It always is if the provider requires that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Push {
    /// If the provider offers it.
    Offered,
    Required,
    Never,
}

impl LoginRequest {
    /// A login that comes back to `redirect_uri`, with scope `openid`.
    pub fn new(redirect_uri: Url) -> Self {
        Self {
            redirect_uri,
            scope: Scope::from("openid"),
            max_age: None,
            parameters: Vec::new(),
            push: Push::Offered,
            request_key: None,
            signed_response: false,
        }
    }

    /// Sets another redirect URI.
    #[cfg(feature = "native")]
    #[must_use]
    pub(crate) fn with_redirect_uri(mut self, redirect_uri: Url) -> Self {
        self.redirect_uri = redirect_uri;
        self
    }

    /// Sets the scopes to request; `openid` is always among them.
    #[must_use]
    pub fn with_scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scope = std::iter::once("openid".to_owned())
            .chain(scopes.into_iter().map(Into::into))
            .collect();
        self
    }

    /// `prompt`: `none`, `login`, `consent`, `select_account`.
    #[must_use]
    pub fn with_prompt(self, prompt: &str) -> Self {
        self.with_parameter("prompt", prompt)
    }

    /// `max_age`: the person must have authenticated within this time, and the ID token must prove
    /// it.
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// `acr_values`: acceptable authentication levels, best first.
    #[must_use]
    pub fn with_acr_values<S: Into<String>>(self, values: impl IntoIterator<Item = S>) -> Self {
        let values: Scope = values.into_iter().collect();
        self.with_parameter("acr_values", &values.to_string())
    }

    /// `login_hint`: the expected user.
    #[must_use]
    pub fn with_login_hint(self, hint: &str) -> Self {
        self.with_parameter("login_hint", hint)
    }

    /// Asks for tokens for this resource, an absolute URI; several may be asked for (RFC 8707 §2).
    #[must_use]
    pub fn with_resource(self, uri: &str) -> Self {
        self.with_parameter(RESOURCE, uri)
    }

    /// Whether [`LoginRequest::with_parameter`] ignores this parameter.
    ///
    /// ```
    /// use oidc_core::login::LoginRequest;
    /// assert!(LoginRequest::sets("state"));
    /// assert!(!LoginRequest::sets("kc_idp_hint"));
    /// ```
    pub fn sets(name: &str) -> bool {
        OWN_PARAMETERS.contains(&name)
    }

    /// Sets another parameter, such as `kc_idp_hint`. Parameters that the flow itself
    /// [sets](Self::sets) are ignored. `resource` may be repeated; of any other the last value counts.
    #[must_use]
    pub fn with_parameter(mut self, name: &str, value: &str) -> Self {
        if !Self::sets(name) {
            self.parameters.retain(|(other, _)| other != name || name == RESOURCE);
            self.parameters.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Does not push the request, although the provider offers it.
    #[must_use]
    pub fn without_pushed_request(mut self) -> Self {
        self.push = Push::Never;
        self
    }

    /// Requires a pushed request: the login fails if the provider does not accept it. The default
    /// falls back to a plain request.
    #[must_use]
    pub fn with_required_pushed_request(mut self) -> Self {
        self.push = Push::Required;
        self
    }

    /// Signs the request with this key of the client (RFC 9101), whether it is pushed or not, so
    /// that it cannot be changed on its way through the browser.
    #[must_use]
    pub fn with_signed_request(mut self, key: PrivateKeyJwt) -> Self {
        self.request_key = Some(key);
        self
    }

    /// Asks for a signed answer (JARM, `response_mode=query.jwt`). An unsigned answer is then
    /// refused: `iss`, `aud` and `exp` are checked, and code and state are read from the signed
    /// answer only.
    #[must_use]
    pub fn with_response_mode_jwt(mut self) -> Self {
        self.signed_response = true;
        self
    }

    /// Builds the request, and pushes it if the provider offers that.
    pub(crate) async fn begin(
        self,
        metadata: &ProviderMetadata,
        endpoint: &TokenEndpoint,
    ) -> Result<(Url, PendingLogin), LoginError> {
        let Some(authorization_endpoint) = &metadata.authorization_endpoint else {
            return Err(LoginError::NotSupported { endpoint: "authorization_endpoint" });
        };
        let push = self.is_pushed(metadata)?;
        let response_mode = match self.signed_response {
            true => Some(signed_response_mode(metadata)?),
            false => None,
        };
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let pending = PendingLogin {
            state: Secret::from(CsrfToken::new_random_len(32).into_secret()),
            nonce: Secret::from(random::text()),
            code_verifier: Secret::from(verifier.into_secret()),
            redirect_uri: self.redirect_uri.clone(),
            max_age: self.max_age,
            signed_response: self.signed_response,
        };
        let client_id = endpoint.client_id();
        let key = self.request_key.clone();
        let mut parameters = self.into_parameters(client_id, &pending, &challenge);
        // RFC 9449 §10: the code is valid with this key only.
        let dpop_jkt = endpoint.dpop_key().map(|key| key.thumbprint().to_owned());
        parameters.extend(dpop_jkt.map(|thumbprint| ("dpop_jkt".to_owned(), thumbprint)));
        parameters.extend(response_mode.map(|mode| ("response_mode".to_owned(), mode.to_owned())));
        if let Some(key) = key {
            let (issuer, now) = (&metadata.issuer, endpoint.now());
            let object = request_object::signed(&parameters, &key, client_id, issuer, now)
                .await
                .map_err(LoginError::RequestObject)?;
            parameters = request_object::beside(&object, parameters);
            if push {
                // RFC 9126 §3: a pushed request with a request object has no other parameters of
                // the request.
                parameters.retain(|(name, _)| name == "client_id" || name == "request");
            }
        }
        if push {
            let request_uri = push_request(endpoint, parameters).await?;
            parameters = vec![
                ("client_id".to_owned(), client_id.to_owned()),
                ("request_uri".to_owned(), request_uri),
            ];
        }
        let mut url = authorization_endpoint.clone();
        url.query_pairs_mut().extend_pairs(parameters);
        Ok((url, pending))
    }

    fn is_pushed(&self, metadata: &ProviderMetadata) -> Result<bool, LoginError> {
        let must = self.push == Push::Required || metadata.require_pushed_authorization_requests;
        match &metadata.pushed_authorization_request_endpoint {
            Some(_) => Ok(must || self.push != Push::Never),
            None if must => {
                let endpoint = "pushed_authorization_request_endpoint";
                Err(LoginError::NotSupported { endpoint })
            }
            None => Ok(false),
        }
    }

    /// The parameters of RFC 6749 §4.1.1, RFC 7636 §4.3 and OpenID Connect Core 1.0 §3.1.2.1.
    fn into_parameters(
        self,
        client_id: &str,
        pending: &PendingLogin,
        challenge: &PkceCodeChallenge,
    ) -> Parameters {
        let own = [
            ("response_type", "code"),
            ("client_id", client_id),
            ("state", pending.state.expose()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", challenge.method().as_str()),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("scope", &self.scope.to_string()),
            ("nonce", pending.nonce.expose()),
        ];
        let max_age = self.max_age.map(|age| ("max_age".to_owned(), age.as_secs().to_string()));
        own.into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .chain(max_age)
            .chain(self.parameters)
            .collect()
    }
}

/// The provider's name for a signed answer in a query. A provider that lists its modes without
/// either would send an unsigned answer, which would be refused, so the login does not begin.
fn signed_response_mode(metadata: &ProviderMetadata) -> Result<&'static str, LoginError> {
    let listed = &metadata.response_modes_supported;
    let is_listed = |mode: &str| listed.iter().any(|other| other == mode);
    if listed.is_empty() || is_listed("query.jwt") {
        Ok("query.jwt")
    } else if is_listed("jwt") {
        // Equivalent for the response type `code` (JARM §2.3.4).
        Ok("jwt")
    } else {
        Err(LoginError::NotSupported { endpoint: "query.jwt among response_modes_supported" })
    }
}

/// State to keep, encrypted, in the browser or on the server until the login comes back.
///
/// It can be serialized with its secrets, so encrypt the result. `Debug` omits the secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PendingLogin {
    #[serde(serialize_with = "Secret::serialize_exposed")]
    pub(crate) state: Secret,
    #[serde(serialize_with = "Secret::serialize_exposed")]
    pub(crate) nonce: Secret,
    #[serde(serialize_with = "Secret::serialize_exposed")]
    pub(crate) code_verifier: Secret,
    pub(crate) redirect_uri: Url,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_age: Option<Duration>,
    /// Whether the answer must be signed (JARM).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) signed_response: bool,
}

impl PendingLogin {
    /// `state`: finds this login among several.
    pub fn state(&self) -> &str {
        self.state.expose()
    }

    /// Whether `state` is this login's, in constant time.
    pub fn matches_state(&self, state: &str) -> bool {
        self.state.matches(state)
    }

    /// The redirect URI of this login.
    pub fn redirect_uri(&self) -> &Url {
        &self.redirect_uri
    }
}

/// RFC 9126 §2.2
#[derive(Deserialize)]
struct Pushed {
    request_uri: String,
}

async fn push_request(
    endpoint: &TokenEndpoint,
    parameters: Parameters,
) -> Result<String, LoginError> {
    let form: Form = parameters
        .into_iter()
        .map(|(name, value)| (Cow::Owned(name), Secret::from(value)))
        .collect();
    let answer = endpoint
        .post(ClientEndpoint::PushedAuthorization, form, StatusCode::CREATED)
        .await
        .map_err(LoginError::PushedAuthorization)?;
    let pushed: Pushed = serde_json::from_slice(answer.body()).map_err(|_| {
        let reason = "it holds no request_uri".to_owned();
        LoginError::PushedAuthorization(TokenEndpointError::InvalidResponse { reason })
    })?;
    Ok(pushed.request_uri)
}
