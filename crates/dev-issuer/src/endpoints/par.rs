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

use crate::client_auth;
use crate::endpoints::authorization::{AuthorizationRequest, Refusal};
use crate::oauth_error::OAuthError;
use crate::provider::Provider;
use crate::pushed;
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
    let params = request_object::unfold(&provider, params.for_client(&client.id)?)
        .map_err(OAuthError::InvalidRequestObject)?;
    AuthorizationRequest::read_pushed(&provider, params.clone()).map_err(
        |refusal| match refusal {
            Refusal::Page(why) => OAuthError::InvalidRequest(why),
            Refusal::Back { error: "invalid_scope", description, .. } => {
                OAuthError::InvalidScope(description)
            }
            Refusal::Back { description, .. } => OAuthError::InvalidRequest(description),
        },
    )?;
    let request_uri = provider.pushed.push(&client.id, params, provider.clock.now());
    let body = json!({
        "request_uri": request_uri,
        "expires_in": pushed::LIFETIME.as_secs(),
    });
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}
