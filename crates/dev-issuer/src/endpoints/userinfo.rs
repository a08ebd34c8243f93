//! UserInfo ([OpenID Connect Core 1.0 §5.3](https://openid.net/specs/openid-connect-core-1_0.html#UserInfo)).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use serde_json::json;

use crate::endpoints::token::Grant;
use crate::jws;
use crate::oauth_error::OAuthError;
use crate::provider::Provider;
use crate::scope::Scope;
use crate::tokens::Entitlement;

const REFUSED: OAuthError = OAuthError::InvalidToken("Token verification failed");

pub(crate) async fn show(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
) -> Result<Response, OAuthError> {
    let token = bearer(&headers).ok_or(OAuthError::NoToken)?;
    let claims = provider.live_access_token(token).ok_or(REFUSED)?;
    let scope = Scope::parse(jws::text(&claims, "scope").unwrap_or_default());
    if !scope.contains("openid") {
        return Err(OAuthError::MissingOpenidScope);
    }
    let sid = jws::text(&claims, "sid").ok_or(REFUSED)?;
    let session = provider.sessions.live(sid, provider.clock.now()).ok_or(REFUSED)?;
    let user = provider.registry.user(&session.username).ok_or(REFUSED)?;
    let client = jws::text(&claims, "azp").and_then(|id| provider.registry.client(id));
    let subject = json!(user.subject);
    let entitled = Entitlement {
        user,
        client: client.ok_or(REFUSED)?,
        scope,
        session: Some(session.mark()),
        nonce: None,
        grant: Grant::Other,
        audience: None,
    };
    let mut body = entitled.profile_claims();
    body.insert("sub".to_owned(), subject);
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
