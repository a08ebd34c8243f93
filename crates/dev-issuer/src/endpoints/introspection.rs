//! Introspection ([RFC 7662]): reports if a token is active, with its claims; as a signed JWT if the
//! client accepts one ([RFC 9701]). Only clients with a credential may ask.
//!
//! [RFC 7662]: https://www.rfc-editor.org/rfc/rfc7662
//! [RFC 9701]: https://www.rfc-editor.org/rfc/rfc9701

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};

use crate::client_auth;
use crate::faults::Endpoint;
use crate::jws::{self, Claims};
use crate::oauth_error::OAuthError;
use crate::provider::Provider;
use crate::sessions::Link;

/// RFC 9701 §4, §5
const SIGNED: &str = "application/token-introspection+jwt";
const SIGNED_TYPE: &str = "token-introspection+jwt";

pub(crate) async fn show(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let params = client_auth::form(&headers, &body)?;
    let client = client_auth::authenticate(&provider, &headers, &params)?;
    if client.is_public() {
        return Err(OAuthError::InvalidClient("Client not allowed."));
    }
    let token = params.value("token").ok_or_else(|| OAuthError::missing("token"))?;
    let mut body =
        match provider.live_access_token(token).or_else(|| provider.live_refresh_token(token)) {
            Some(claims) => active(claims),
            None => json!({ "active": false }),
        };
    provider.dialect.lock().change_introspection(&mut body);
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if accepted.is_some_and(|accepted| accepted.contains(SIGNED)) {
        let claims = Claims::from_iter([
            ("iss".to_owned(), json!(provider.stated_issuer(Endpoint::Introspection))),
            ("aud".to_owned(), json!(client.id)),
            ("iat".to_owned(), json!(provider.clock.seconds())),
            ("token_introspection".to_owned(), body),
        ]);
        let answer = provider.sign(&claims, SIGNED_TYPE)?;
        return Ok(([(CACHE_CONTROL, "no-store"), (CONTENT_TYPE, SIGNED)], answer).into_response());
    }
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

fn active(mut claims: Claims) -> Value {
    let username = claims.get("preferred_username").cloned();
    let client = claims.get("azp").cloned();
    claims.insert("active".to_owned(), json!(true));
    claims.insert("token_type".to_owned(), claims.get("typ").cloned().unwrap_or_default());
    if let Some(username) = username {
        claims.insert("username".to_owned(), username);
    }
    if let Some(client) = client {
        claims.insert("client_id".to_owned(), client);
    }
    Value::Object(claims)
}

impl Provider {
    /// The claims of a refresh token that is usable now.
    pub(crate) fn live_refresh_token(&self, token: &str) -> Option<Claims> {
        let claims = jws::open_refresh(token, &self.keys).ok()?;
        let link = Link {
            chain: jws::text(&claims, "reuse_id")?.to_owned(),
            jti: jws::text(&claims, "jti")?.to_owned(),
        };
        let (sid, client) = (jws::text(&claims, "sid")?, jws::text(&claims, "azp")?);
        let current = self.sessions.is_current(sid, client, &link, self.rotate_refresh_tokens);
        (current && self.is_live(&claims)).then_some(claims)
    }
}
