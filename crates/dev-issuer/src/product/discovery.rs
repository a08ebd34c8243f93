//! The discovery document.

use serde_json::{Value, json};

use crate::product::{Product, access};

/// Members of Keycloak's document that none of the others has. The authorization response of dev-issuer has `iss` in every product;
/// a provider that does not announce it may send it all the same (RFC 9207 §3).
const KEYCLOAK_ONLY: &[&str] = &[
    "pushed_authorization_request_endpoint",
    "require_pushed_authorization_requests",
    "authorization_signing_alg_values_supported",
    "authorization_response_iss_parameter_supported",
    "introspection_signing_alg_values_supported",
];
const INTROSPECTION: &[&str] = &[
    "introspection_endpoint",
    "introspection_endpoint_auth_methods_supported",
    "introspection_endpoint_auth_signing_alg_values_supported",
];
const REVOCATION: &[&str] = &[
    "revocation_endpoint",
    "revocation_endpoint_auth_methods_supported",
    "revocation_endpoint_auth_signing_alg_values_supported",
];
const BACKCHANNEL: &[&str] =
    &["backchannel_logout_supported", "backchannel_logout_session_supported"];
const END_SESSION: &[&str] = &["end_session_endpoint"];
const PKCE: &[&str] = &["code_challenge_methods_supported"];

const POST_FIRST: &[&str] = &["client_secret_post", "client_secret_basic"];
const BASIC_FIRST: &[&str] = &["client_secret_basic", "client_secret_post"];

pub(super) fn adapt(product: Product, issuer: &str, document: &mut Value) {
    let Value::Object(members) = document else { return };
    if product == Product::Keycloak {
        return;
    }
    let (absent, methods) = differences(product);
    for name in absent.iter().copied().flatten().chain(KEYCLOAK_ONLY) {
        members.remove(*name);
    }
    members.insert("token_endpoint_auth_methods_supported".to_owned(), json!(methods));
    match product {
        Product::Adfs => {
            let of_access_tokens = access::access_issuer(issuer);
            members.insert("access_token_issuer".to_owned(), json!(of_access_tokens));
        }
        Product::EntraId => {
            members.insert("frontchannel_logout_supported".to_owned(), json!(true));
        }
        _ => {}
    }
}

/// Members that the product's document lacks, and the methods of client authentication it names.
fn differences(product: Product) -> (&'static [&'static [&'static str]], &'static [&'static str]) {
    match product {
        Product::Keycloak | Product::Zitadel => (&[], BASIC_FIRST),
        Product::EntraId | Product::Adfs => {
            (&[INTROSPECTION, REVOCATION, BACKCHANNEL, PKCE], POST_FIRST)
        }
        Product::Google => (&[INTROSPECTION, BACKCHANNEL, END_SESSION], POST_FIRST),
        Product::Okta => (&[BACKCHANNEL], BASIC_FIRST),
        Product::Auth0 => (&[INTROSPECTION], BASIC_FIRST),
        Product::GitLab => (&[BACKCHANNEL, END_SESSION], BASIC_FIRST),
        Product::Authentik => (&[BACKCHANNEL], POST_FIRST),
        Product::Dex => (&[REVOCATION, BACKCHANNEL, END_SESSION], BASIC_FIRST),
        Product::Cognito => (&[INTROSPECTION, BACKCHANNEL, END_SESSION, PKCE], BASIC_FIRST),
    }
}
