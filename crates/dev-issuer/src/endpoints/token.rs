//! The token endpoint ([RFC 6749 §3.2](https://www.rfc-editor.org/rfc/rfc6749#section-3.2)):
//! authenticates the client, selects the grant, and formats the answer. Each grant is a module.

mod authorization_code;
mod client_credentials;
mod device_code;
mod exchange;
mod jwt_bearer;
mod refresh_token;

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
use crate::dpop::ProvenRequest;
use crate::grant::Grant;
use crate::oauth_error::OAuthError;
use crate::params::Params;
use crate::path;
use crate::provider::Provider;

pub(crate) async fn issue(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let params = client_auth::form(&headers, &body)?;
    let named = params.value("grant_type").ok_or_else(|| OAuthError::missing("grant_type"))?;
    let grant = Grant::named(named);
    provider.grants.count(grant);
    let mut answer = match redeem(grant, &provider, &headers, &params) {
        Ok(body) => {
            let headers = [(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")];
            (headers, Json(body)).into_response()
        }
        Err(error) => error.into_response(),
    };
    if headers.contains_key("dpop") {
        provider.proofs.add_nonce(provider.clock.seconds(), answer.headers_mut());
    }
    Ok(answer)
}

/// The authenticated client, and the thumbprint of its proof's key.
pub(super) struct Requester {
    pub(super) client: DevClient,
    pub(super) key: Option<String>,
}

fn redeem(
    grant: Grant,
    provider: &Provider,
    headers: &HeaderMap,
    params: &Params,
) -> Result<Value, OAuthError> {
    let client = client_auth::authenticate(provider, headers, params)?;
    let url = provider.at(path::TOKEN);
    let request = ProvenRequest { headers, method: &Method::POST, url: &url, access_token: None };
    let key = provider.proofs.check(&request, provider.clock.seconds())?;
    if client.require_dpop && key.is_none() {
        return Err(OAuthError::InvalidDpopProof("DPoP proof is missing"));
    }
    let requester = Requester { client, key };
    let tokens = match grant {
        Grant::AuthorizationCode => authorization_code::redeem(provider, requester, params),
        Grant::RefreshToken => refresh_token::redeem(provider, requester, params),
        Grant::ClientCredentials => client_credentials::redeem(provider, requester, params),
        Grant::TokenExchange => exchange::redeem(provider, requester, params),
        Grant::DeviceCode => device_code::redeem(provider, requester, params),
        Grant::JwtBearer => jwt_bearer::redeem(provider, requester, params),
        Grant::Other => Err(OAuthError::UnsupportedGrantType),
    };
    let tokens = tokens?;
    let mut body = tokens.to_json();
    if let (Grant::TokenExchange, Value::Object(body)) = (grant, &mut body) {
        let refreshes = tokens.refresh_token.is_some();
        let kind = if refreshes { exchange::REFRESH_TOKEN } else { exchange::ACCESS_TOKEN };
        body.insert("issued_token_type".to_owned(), json!(kind));
    }
    provider.product.token_response(&mut body);
    provider.dialect.lock().change_token_answer(&mut body, grant == Grant::RefreshToken);
    Ok(body)
}
