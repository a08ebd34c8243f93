//! The token endpoint ([RFC 6749 §3.2](https://www.rfc-editor.org/rfc/rfc6749#section-3.2)):
//! authenticates the client, selects the grant, and formats the answer. Each grant is a module.

mod authorization_code;
mod client_credentials;
mod device_code;
mod exchange;
mod jwt_bearer;
mod refresh_token;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, PRAGMA};
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use crate::client::DevClient;
use crate::client_auth;
use crate::dpop::{self, Shown};
use crate::oauth_error::OAuthError;
use crate::params::Params;
use crate::provider::Provider;
use crate::server::path;
use crate::shared::Shared;

/// Grant type of a token request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Grant {
    /// `authorization_code`
    AuthorizationCode,
    /// `refresh_token`
    RefreshToken,
    /// `client_credentials`
    ClientCredentials,
    /// `urn:ietf:params:oauth:grant-type:token-exchange`
    TokenExchange,
    /// `urn:ietf:params:oauth:grant-type:device_code`
    DeviceCode,
    /// `urn:ietf:params:oauth:grant-type:jwt-bearer`
    JwtBearer,
    /// An unsupported grant type.
    Other,
}

impl Grant {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
            Self::Other => "",
        }
    }

    fn named(name: &str) -> Self {
        let known = [
            Self::AuthorizationCode,
            Self::RefreshToken,
            Self::ClientCredentials,
            Self::TokenExchange,
            Self::DeviceCode,
            Self::JwtBearer,
        ];
        known.into_iter().find(|grant| grant.as_str() == name).unwrap_or(Self::Other)
    }
}

/// Number of token requests of each grant, including refused ones.
#[derive(Debug, Default)]
pub(crate) struct GrantCounts(Shared<HashMap<Grant, u64>>);

impl GrantCounts {
    pub(crate) fn of(&self, grant: Grant) -> u64 {
        self.0.lock().get(&grant).copied().unwrap_or(0)
    }

    fn count(&self, grant: Grant) {
        *self.0.lock().entry(grant).or_default() += 1;
    }
}

/// A successful answer ([RFC 6749 §5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1)).
#[derive(Clone)]
pub struct TokenResponse {
    /// The access token: a JWT, or a reference for clients with opaque access tokens.
    pub access_token: String,
    /// The ID token, if `openid` was requested on behalf of a person.
    pub id_token: Option<String>,
    /// The refresh token; machines get none.
    pub refresh_token: Option<String>,
    /// `Bearer`, or `DPoP` for tokens that are bound to a key.
    pub token_type: &'static str,
    /// Seconds until the access token expires.
    pub expires_in: u64,
    /// Seconds until the refresh token expires; 0 without one.
    pub refresh_expires_in: u64,
    /// The granted scope.
    pub scope: String,
    /// The single sign-on session, also in `sid`.
    pub session_state: Option<String>,
}

impl TokenResponse {
    fn to_json(&self) -> Value {
        let mut body = json!({
            "access_token": self.access_token,
            "expires_in": self.expires_in,
            "refresh_expires_in": self.refresh_expires_in,
            "token_type": self.token_type,
            "not-before-policy": 0,
            "scope": self.scope,
        });
        let optional = [
            ("id_token", &self.id_token),
            ("refresh_token", &self.refresh_token),
            ("session_state", &self.session_state),
        ];
        if let Value::Object(body) = &mut body {
            for (name, value) in optional {
                if let Some(value) = value {
                    body.insert(name.to_owned(), json!(value));
                }
            }
        }
        body
    }
}

/// Leaves out the tokens, which are secrets.
impl fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenResponse")
            .field("expires_in", &self.expires_in)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

pub(crate) async fn issue(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let params = client_auth::form(&headers, &body)?;
    let named = params.value("grant_type").ok_or_else(|| OAuthError::missing("grant_type"))?;
    let grant = Grant::named(named);
    provider.grants.count(grant);
    let mut answer = match grant.answer(&provider, &headers, &params) {
        Ok(body) => {
            let headers = [(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")];
            (headers, Json(body)).into_response()
        }
        Err(error) => error.into_response(),
    };
    if headers.contains_key("dpop") {
        provider.proofs.hand_out(provider.clock.seconds(), answer.headers_mut());
    }
    Ok(answer)
}

/// The authenticated client, and the thumbprint of its proof's key.
pub(super) struct Requester {
    pub(super) client: DevClient,
    pub(super) key: Option<String>,
}

impl Grant {
    fn answer(
        self,
        provider: &Provider,
        headers: &HeaderMap,
        params: &Params,
    ) -> Result<Value, OAuthError> {
        let client = client_auth::authenticate(provider, headers, params)?;
        let url = provider.at(path::TOKEN);
        let shown = Shown { headers, method: &Method::POST, url: &url, access_token: None };
        let key = dpop::key_shown(provider, &shown)?;
        if client.require_dpop && key.is_none() {
            return Err(OAuthError::InvalidDpopProof("DPoP proof is missing"));
        }
        let requester = Requester { client, key };
        let tokens = match self {
            Self::AuthorizationCode => authorization_code::redeem(provider, requester, params),
            Self::RefreshToken => refresh_token::redeem(provider, requester, params),
            Self::ClientCredentials => client_credentials::redeem(provider, requester, params),
            Self::TokenExchange => exchange::redeem(provider, requester, params),
            Self::DeviceCode => device_code::redeem(provider, requester, params),
            Self::JwtBearer => jwt_bearer::redeem(provider, requester, params),
            Self::Other => Err(OAuthError::UnsupportedGrantType),
        };
        let tokens = tokens?;
        let mut body = tokens.to_json();
        if let (Self::TokenExchange, Value::Object(body)) = (self, &mut body) {
            let refreshes = tokens.refresh_token.is_some();
            let kind = if refreshes { exchange::REFRESH_TOKEN } else { exchange::ACCESS_TOKEN };
            body.insert("issued_token_type".to_owned(), json!(kind));
        }
        Ok(body)
    }
}
