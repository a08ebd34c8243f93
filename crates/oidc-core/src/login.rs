//! Begins a login ([OpenID Connect Core 1.0 §3.1.2.1]): a URL for the browser, and what must be
//! remembered until it comes back.
//!
//! Authorization code only, always with PKCE S256 (RFC 7636), `state` and `nonce`; pushed (RFC 9126)
//! where the provider offers it.
//!
//! [OpenID Connect Core 1.0 §3.1.2.1]: https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, RedirectUrl};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::claims::Scope;
use crate::client::LoginError;
use crate::client_auth::random_text;
use crate::metadata::ProviderMetadata;
use crate::secret::Secret;
use crate::token::{ClientEndpoint, Form, TokenEndpoint, TokenEndpointError};

/// Parameters that [`LoginRequest::with_parameter`] leaves alone, because the flow depends on them.
const OWN_PARAMETERS: [&str; 10] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "request_uri",
];

/// How somebody is to log in.
///
/// ```
/// use oidc_core::LoginRequest;
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
    parameters: Vec<(String, String)>,
    push: Push,
}

/// Whether a request is pushed (RFC 9126); a provider that requires it is obeyed in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Push {
    /// Where the provider offers it.
    Offered,
    Required,
    Never,
}

impl LoginRequest {
    /// A login that comes back to `redirect_uri`, with scope `openid`.
    pub fn new(redirect_uri: Url) -> Self {
        let scope = Scope::from("openid");
        Self { redirect_uri, scope, max_age: None, parameters: Vec::new(), push: Push::Offered }
    }

    /// Comes back to this address instead.
    #[cfg(feature = "native")]
    #[must_use]
    pub(crate) fn with_redirect_uri(mut self, redirect_uri: Url) -> Self {
        self.redirect_uri = redirect_uri;
        self
    }

    /// Asks for these scopes; `openid` is always among them.
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

    /// `max_age`: the person must have signed in within this time, and the ID token must prove it.
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// `acr_values`: how strongly the person is to prove who they are, best first.
    #[must_use]
    pub fn with_acr_values<S: Into<String>>(self, values: impl IntoIterator<Item = S>) -> Self {
        let values: Scope = values.into_iter().collect();
        self.with_parameter("acr_values", &values.to_string())
    }

    /// `login_hint`: who is expected.
    #[must_use]
    pub fn with_login_hint(self, hint: &str) -> Self {
        self.with_parameter("login_hint", hint)
    }

    /// Another parameter, such as `kc_idp_hint`. Parameters that the flow itself sets are ignored.
    #[must_use]
    pub fn with_parameter(mut self, name: &str, value: &str) -> Self {
        if !OWN_PARAMETERS.contains(&name) {
            self.parameters.retain(|(other, _)| other != name);
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

    /// Pushes the request or does not begin at all, where the default falls back to a plain request to a provider that takes
    /// no pushed ones.
    #[must_use]
    pub fn with_required_pushed_request(mut self) -> Self {
        self.push = Push::Required;
        self
    }

    /// Builds the request, and pushes it where that is offered.
    pub(crate) async fn begin(
        self,
        metadata: &ProviderMetadata,
        endpoint: &TokenEndpoint,
    ) -> Result<(Url, PendingLogin), LoginError> {
        let Some(authorization_endpoint) = &metadata.authorization_endpoint else {
            return Err(LoginError::NotSupported { endpoint: "authorization_endpoint" });
        };
        let pushed_to = metadata.pushed_authorization_request_endpoint.as_ref();
        let must_push =
            self.push == Push::Required || metadata.require_pushed_authorization_requests;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let pending = PendingLogin {
            state: Secret::from(CsrfToken::new_random_len(32).into_secret()),
            nonce: Secret::from(random_text()),
            code_verifier: Secret::from(verifier.into_secret()),
            redirect_uri: self.redirect_uri.clone(),
            max_age: self.max_age,
        };
        let (push, mut base) = match pushed_to {
            Some(to) if must_push || self.push != Push::Never => (Some(to), to.clone()),
            None if must_push => {
                let endpoint = "pushed_authorization_request_endpoint";
                return Err(LoginError::NotSupported { endpoint });
            }
            _ => (None, authorization_endpoint.clone()),
        };
        if push.is_some() {
            base.set_query(None);
        }
        let url = self.url(base, endpoint.client_id(), &pending, challenge);
        if push.is_none() {
            return Ok((url, pending));
        }

        let form = url
            .query_pairs()
            .map(|(name, value)| (Cow::Owned(name.into_owned()), Secret::from(value.into_owned())));
        let request_uri = push_request(endpoint, form.collect()).await?;
        let mut url = authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("client_id", endpoint.client_id())
            .append_pair("request_uri", &request_uri);
        Ok((url, pending))
    }

    fn url(
        self,
        base: Url,
        client_id: &str,
        pending: &PendingLogin,
        challenge: PkceCodeChallenge,
    ) -> Url {
        let client = BasicClient::new(ClientId::new(client_id.to_owned()))
            .set_auth_uri(AuthUrl::from_url(base))
            .set_redirect_uri(RedirectUrl::from_url(self.redirect_uri));
        let state = CsrfToken::new(pending.state.expose().to_owned());
        let mut request = client
            .authorize_url(|| state)
            .add_scopes(self.scope.iter().map(|scope| oauth2::Scope::new(scope.to_owned())))
            .add_extra_param("nonce", pending.nonce.expose().to_owned())
            .set_pkce_challenge(challenge);
        if let Some(max_age) = self.max_age {
            request = request.add_extra_param("max_age", max_age.as_secs().to_string());
        }
        for (name, value) in self.parameters {
            request = request.add_extra_param(name, value);
        }
        request.url().0
    }
}

/// What must be remembered, sealed, in the browser or beside it, until the login comes back.
///
/// It can be serialized, secrets included: seal what comes out. Its `Debug` shows none of them.
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
}

impl PendingLogin {
    /// `state`: to find this login again among several.
    pub fn state(&self) -> &str {
        self.state.expose()
    }

    /// Whether `state` is this login's, in constant time.
    pub fn matches_state(&self, state: &str) -> bool {
        self.state.matches(state)
    }

    /// Where the login comes back to.
    pub fn redirect_uri(&self) -> &Url {
        &self.redirect_uri
    }
}

/// RFC 9126 §2.2
#[derive(Deserialize)]
struct Pushed {
    request_uri: String,
}

async fn push_request(endpoint: &TokenEndpoint, form: Form) -> Result<String, LoginError> {
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
