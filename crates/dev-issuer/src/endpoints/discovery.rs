//! The discovery document ([OpenID Connect Discovery 1.0 §3], [RFC 8414 §2]).
//!
//! [OpenID Connect Discovery 1.0 §3]: https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata
//! [RFC 8414 §2]: https://www.rfc-editor.org/rfc/rfc8414#section-2

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::authorization_response::ResponseMode;
use crate::faults::Endpoint;
use crate::grant::Grant;
use crate::path;
use crate::provider::Provider;

const CLIENT_AUTHENTICATION: [&str; 5] =
    ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"];
const SIGNATURES: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
const ASSERTION_ALGORITHMS: [&str; 12] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "HS256",
    "HS384", "HS512",
];

pub(crate) async fn show(State(provider): State<Arc<Provider>>) -> Response {
    let mut document = json!({
        "issuer": provider.stated_issuer(Endpoint::Discovery),
        "authorization_endpoint": provider.public_at(path::AUTHORIZATION),
        "token_endpoint": provider.at(path::TOKEN),
        "introspection_endpoint": provider.at(path::INTROSPECTION),
        "revocation_endpoint": provider.at(path::REVOCATION),
        "userinfo_endpoint": provider.at(path::USERINFO),
        "end_session_endpoint": provider.public_at(path::END_SESSION),
        "jwks_uri": provider.at(path::JWKS),
        "pushed_authorization_request_endpoint": provider.at(path::PAR),
        "device_authorization_endpoint": provider.at(path::DEVICE_AUTHORIZATION),
        "require_pushed_authorization_requests": false,
        "response_types_supported": ["code"],
        "response_modes_supported": ResponseMode::ALL,
        "authorization_signing_alg_values_supported": [provider.keys.algorithm().to_string()],
        "grant_types_supported": Grant::SUPPORTED.map(Grant::as_str),
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": ["none", "login"],
        "subject_types_supported": ["public"],
        "scopes_supported": ["openid", "profile", "email", "offline_access", "roles", "groups"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "acr", "azp", "nonce", "at_hash", "sid",
            "name", "given_name", "family_name", "preferred_username", "email", "email_verified",
            "groups", "realm_access", "resource_access"
        ],
        "acr_values_supported": provider.sign_in_levels,
        "id_token_signing_alg_values_supported": provider.announced_algorithms(),
        "dpop_signing_alg_values_supported": SIGNATURES,
        "token_endpoint_auth_methods_supported": CLIENT_AUTHENTICATION,
        "token_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        "introspection_endpoint_auth_methods_supported": CLIENT_AUTHENTICATION,
        "introspection_signing_alg_values_supported": [provider.keys.algorithm().to_string()],
        "introspection_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        "revocation_endpoint_auth_methods_supported": CLIENT_AUTHENTICATION,
        "revocation_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        "authorization_response_iss_parameter_supported": true,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "frontchannel_logout_supported": false,
        "claims_parameter_supported": false,
        "request_parameter_supported": true,
        "request_object_signing_alg_values_supported": SIGNATURES,
        "request_uri_parameter_supported": false,
    });
    provider.product.discovery(&provider.issuer, &mut document);
    provider.dialect.lock().change_discovery(&mut document);
    Json(document).into_response()
}
