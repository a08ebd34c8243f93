//! Revocation ([RFC 7009](https://www.rfc-editor.org/rfc/rfc7009)): revoking a refresh token ends the
//! client's part of the session, revoking an access token affects that token only.
//!
//! An unknown token is answered with 200, as RFC 7009 §2.2 says: it is invalid already.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::client_auth;
use crate::jws;
use crate::oauth_error::OAuthError;
use crate::provider::Provider;

pub(crate) async fn revoke(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let params = client_auth::form(&headers, &body)?;
    let client = client_auth::authenticate(&provider, &headers, &params)?;
    let token = params.value("token").ok_or_else(|| OAuthError::missing("token"))?;
    let is_refresh = jws::open_refresh(token, &provider.keys);
    let (claims, is_refresh) = match is_refresh {
        Ok(claims) => (claims, true),
        Err(_) => match jws::open(&provider.presented.resolve(token), &provider.keys) {
            Ok(claims) if matches!(jws::text(&claims, "typ"), Some("Bearer" | "DPoP")) => {
                (claims, false)
            }
            Ok(_) => return Err(OAuthError::UnsupportedTokenType),
            Err(_) => return Ok(StatusCode::OK.into_response()),
        },
    };
    if jws::text(&claims, "azp") != Some(client.id.as_str()) {
        return Err(OAuthError::InvalidGrant("Unmatching clients"));
    }
    match (is_refresh, jws::text(&claims, "sid"), jws::text(&claims, "jti")) {
        (true, Some(sid), _) => provider.sessions.detach(sid, &client.id),
        (_, _, Some(jti)) => provider.sessions.revoke_token(jti),
        _ => {}
    }
    Ok(StatusCode::OK.into_response())
}
