//! Error answers of the token endpoint and related endpoints
//! ([RFC 6749 §5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2)), and the table of their status
//! codes.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::json;

#[derive(Debug, thiserror::Error)]
pub(crate) enum OAuthError {
    #[error("{0}")]
    InvalidRequest(String),
    #[error("{0}")]
    InvalidRequestObject(&'static str),
    #[error("{0}")]
    InvalidClient(&'static str),
    #[error("{0}")]
    UnauthorizedClient(&'static str),
    #[error("{0}")]
    InvalidGrant(&'static str),
    #[error("Invalid scopes: {0}")]
    InvalidScope(String),
    #[error("Unsupported grant_type")]
    UnsupportedGrantType,
    #[error("Unsupported token type")]
    UnsupportedTokenType,
    #[error("{0}")]
    AccessDenied(&'static str),
    #[error("Invalid audience: {0}")]
    InvalidTarget(String),
    #[error("The authorization request is still pending")]
    AuthorizationPending,
    #[error("Slow down")]
    SlowDown,
    #[error("Device code is expired")]
    ExpiredToken,
    #[error("The end user denied the authorization request")]
    DeviceDenied,
    #[error("{0}")]
    InvalidToken(&'static str),
    #[error("{0}")]
    InvalidDpopProof(&'static str),
    #[error("DPoP proof must hold the nonce of DPoP-Nonce")]
    UseDpopNonce,
    #[error("Missing token")]
    NoToken,
    #[error("Missing openid scope")]
    MissingOpenidScope,
    #[error("The token could not be signed")]
    Unsigned(#[from] jsonwebtoken::errors::Error),
}

impl OAuthError {
    pub(crate) fn missing(parameter: &str) -> Self {
        Self::InvalidRequest(format!("Missing parameter: {parameter}"))
    }

    /// The code in `error`.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidRequestObject(_) => "invalid_request_object",
            Self::InvalidClient(_) => "invalid_client",
            Self::UnauthorizedClient(_) => "unauthorized_client",
            Self::InvalidGrant(_) => "invalid_grant",
            Self::InvalidScope(_) => "invalid_scope",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::AccessDenied(_) | Self::DeviceDenied => "access_denied",
            Self::InvalidTarget(_) => "invalid_target",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::InvalidDpopProof(_) => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::InvalidToken(_) | Self::NoToken => "invalid_token",
            Self::MissingOpenidScope => "insufficient_scope",
            Self::Unsigned(_) => "server_error",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::InvalidClient(_) | Self::InvalidToken(_) | Self::NoToken => {
                StatusCode::UNAUTHORIZED
            }
            Self::AccessDenied(_) | Self::MissingOpenidScope => StatusCode::FORBIDDEN,
            Self::Unsigned(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    fn challenge(&self) -> Option<HeaderValue> {
        let challenge = match self {
            Self::InvalidClient(_) => "Basic realm=\"dev-issuer\"".to_owned(),
            Self::NoToken => "Bearer realm=\"dev-issuer\"".to_owned(),
            Self::InvalidToken(why) => {
                format!(
                    "Bearer realm=\"dev-issuer\", error=\"invalid_token\", error_description=\"{why}\""
                )
            }
            Self::MissingOpenidScope => {
                "Bearer realm=\"dev-issuer\", error=\"insufficient_scope\", scope=\"openid\""
                    .to_owned()
            }
            _ => return None,
        };
        HeaderValue::from_str(&challenge).ok()
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.code(), "error_description": self.to_string() });
        let mut response = (self.status(), Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
