//! Pushed authorization requests ([RFC 9126 §2](https://www.rfc-editor.org/rfc/rfc9126#section-2)).
//!
//! A pushed request is checked at once, so that the client gets its errors before the browser is
//! involved.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::authorization_request::{AuthorizationRequest, Refusal};
use crate::client_auth;
use crate::oauth_error::OAuthError;
use crate::provider::Provider;
use crate::pushed_requests;
use crate::request_object;

pub(crate) async fn push(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let params = client_auth::form(&headers, &body)?;
    let client = client_auth::authenticate(&provider, &headers, &params)?;
    if params.value("request_uri").is_some() {
        return Err(OAuthError::InvalidRequest("request_uri cannot be pushed".to_owned()));
    }
    let params = request_object::resolve(&provider, params.for_client(&client.id)?)
        .map_err(OAuthError::InvalidRequestObject)?;
    AuthorizationRequest::read(&provider.registry, &params).map_err(|refusal| match refusal {
        Refusal::Page(why) => OAuthError::InvalidRequest(why),
        Refusal::Response { error: "invalid_scope", description, .. } => {
            OAuthError::InvalidScope(description)
        }
        Refusal::Response { description, .. } => OAuthError::InvalidRequest(description),
    })?;
    let request_uri = provider.pushed_requests.push(&client.id, params, provider.clock.now());
    let body = json!({
        "request_uri": request_uri,
        "expires_in": pushed_requests::LIFETIME.as_secs(),
    });
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}
