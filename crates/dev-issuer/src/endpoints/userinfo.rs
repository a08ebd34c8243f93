//! UserInfo ([OpenID Connect Core 1.0 §5.3](https://openid.net/specs/openid-connect-core-1_0.html#UserInfo)).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;

use crate::dpop::ProvenRequest;
use crate::faults::Endpoint;
use crate::grant::Grant;
use crate::jws::{self, Claims};
use crate::oauth_error::OAuthError;
use crate::path;
use crate::provider::Provider;
use crate::scope::Scope;
use crate::tokens::Entitlement;

const REFUSED: OAuthError = OAuthError::InvalidToken("Token verification failed");

pub(crate) async fn show(
    State(provider): State<Arc<Provider>>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let mut answer = match user_claims(&provider, &method, &headers)
        .and_then(|claims| written(&provider, &claims))
    {
        Ok(answer) => answer,
        Err(error @ (OAuthError::InvalidDpopProof(_) | OAuthError::UseDpopNonce)) => {
            let challenge = format!("DPoP error=\"{}\"", error.code());
            (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)]).into_response()
        }
        Err(error) => error.into_response(),
    };
    if headers.contains_key("dpop") {
        provider.proofs.add_nonce(provider.clock.seconds(), answer.headers_mut());
    }
    answer
}

/// As JSON, or signed.
fn written(provider: &Provider, claims: &Claims) -> Result<Response, OAuthError> {
    if provider.dialect.lock().signs_userinfo() {
        let jwt = provider.sign(claims, "JWT")?;
        let headers = [(CACHE_CONTROL, "no-store"), (CONTENT_TYPE, "application/jwt")];
        return Ok((headers, jwt).into_response());
    }
    Ok(([(CACHE_CONTROL, "no-store")], Json(claims)).into_response())
}

fn user_claims(
    provider: &Provider,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Claims, OAuthError> {
    let (scheme, token) = credentials(headers).ok_or(OAuthError::NoToken)?;
    let claims = provider.live_access_token(token).ok_or(REFUSED)?;
    let bound_to = claims.get("cnf").and_then(|cnf| cnf.get("jkt")).and_then(|jkt| jkt.as_str());
    match bound_to {
        None if scheme.eq_ignore_ascii_case("bearer") => {}
        Some(key) if scheme.eq_ignore_ascii_case("dpop") => {
            let url = provider.at(path::USERINFO);
            let request = ProvenRequest { headers, method, url: &url, access_token: Some(token) };
            if provider.proofs.check(&request, provider.clock.seconds())?.as_deref() != Some(key) {
                return Err(OAuthError::InvalidDpopProof("DPoP proof is not of the token's key"));
            }
        }
        // RFC 9449 §7.2: a bound token must not be accepted as a bearer token.
        _ => return Err(REFUSED),
    }
    let scope = Scope::parse(jws::text(&claims, "scope").unwrap_or_default());
    if !scope.contains("openid") {
        return Err(OAuthError::MissingOpenidScope);
    }
    let sid = jws::text(&claims, "sid").ok_or(REFUSED)?;
    let session = provider.sessions.live(sid, provider.clock.now()).ok_or(REFUSED)?;
    let user = provider.registry.user(&session.username).ok_or(REFUSED)?;
    let client = jws::text(&claims, "azp").and_then(|id| provider.registry.client(id));
    let subject = json!(user.subject);
    let client = client.ok_or(REFUSED)?;
    let entitled = Entitlement::of_person(user, client, scope, session.mark(), Grant::Other);
    let mut body = entitled.profile_claims();
    body.insert("sub".to_owned(), subject);
    let mut body = provider.product.user_info(&entitled, body);
    let dialect = provider.dialect.lock();
    if dialect.signs_userinfo() {
        body.insert("iss".to_owned(), json!(provider.stated_issuer(Endpoint::UserInfo)));
        body.insert("aud".to_owned(), json!(entitled.client.id));
    }
    dialect.change_userinfo(&mut body);
    Ok(body)
}

/// Scheme and token of the `Authorization` header.
fn credentials(headers: &HeaderMap) -> Option<(&str, &str)> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let known = ["bearer", "dpop"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    known.then(|| (scheme, token.trim()))
}
