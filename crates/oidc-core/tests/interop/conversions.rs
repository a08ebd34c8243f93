//! Conversions check what they read, and lose nothing that matters.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use oauth2::basic::BasicTokenResponse;
use oauth2::{AccessToken, EmptyExtraTokenFields, TokenResponse as _};
use oidc_core::client::{TokenEndpointError, TokenSet, TokenType};
use oidc_core::interop::openidconnect::WholeProviderMetadata;
use oidc_core::keys::{JwkSet, StaticKeys};
use oidc_core::provider::{DiscoveryError, InvalidIssuer, ProviderMetadata};
use oidc_core::testing::{TestIssuer, TestKey};
use oidc_core::token::Algorithm;
use oidc_core::verify::IdTokenExpectations;
use oidc_core::{Issuer, Secret, Validation, Verifier};
use openidconnect::core::{CoreIdToken, CoreJsonWebKeySet};
use openidconnect::{EmptyAdditionalProviderMetadata, IssuerUrl};
use serde_json::{Value, json};

const ISSUER: &str = "https://id.example/realms/lab";

fn document() -> Value {
    json!({
        "issuer": ISSUER,
        "jwks_uri": format!("{ISSUER}/jwks"),
        "authorization_endpoint": format!("{ISSUER}/authorize?tenant=lab"),
        "token_endpoint": format!("{ISSUER}/token"),
        "revocation_endpoint": format!("{ISSUER}/revoke"),
        "end_session_endpoint": format!("{ISSUER}/logout"),
        "response_types_supported": ["code", "code id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "require_pushed_authorization_requests": true,
        "pushed_authorization_request_endpoint": format!("{ISSUER}/par"),
    })
}

fn theirs(document: Value) -> WholeProviderMetadata {
    serde_json::from_value(document).unwrap()
}

fn issuer() -> Issuer {
    ISSUER.parse().unwrap()
}

#[test]
fn metadata_of_openidconnect_loses_no_member() {
    let ours = ProviderMetadata::from_openidconnect(&issuer(), &theirs(document())).unwrap();
    let parsed = ProviderMetadata::parse(&issuer(), document().to_string().as_bytes()).unwrap();
    assert_eq!(format!("{ours:?}"), format!("{parsed:?}"));
    assert!(ours.authorization_response_iss_parameter_supported);
    assert!(ours.require_pushed_authorization_requests);
    assert!(ours.end_session_endpoint.is_some());

    let keys = JwkSet::parse(br#"{"keys":[]}"#).unwrap();
    let back: WholeProviderMetadata = ours.to_openidconnect(&keys).unwrap();
    let again = ProviderMetadata::from_openidconnect(&issuer(), &back).unwrap();
    assert_eq!(format!("{again:?}"), format!("{ours:?}"));
}

#[test]
fn metadata_of_openidconnect_is_checked() {
    let other: Issuer = "https://id.example/realms/other".parse().unwrap();
    let refused = ProviderMetadata::from_openidconnect(&other, &theirs(document())).unwrap_err();
    assert!(matches!(refused, DiscoveryError::IssuerMismatch { .. }), "{refused}");

    let mut insecure = document();
    insecure["revocation_endpoint"] = json!("http://id.example/revoke");
    let refused = ProviderMetadata::from_openidconnect(&issuer(), &theirs(insecure)).unwrap_err();
    assert!(matches!(refused, DiscoveryError::InsecureEndpoint { .. }), "{refused}");
}

#[test]
fn metadata_that_openidconnect_cannot_hold_is_an_error() {
    let mut short = document();
    short.as_object_mut().unwrap().remove("authorization_endpoint");
    let ours = ProviderMetadata::parse(&issuer(), short.to_string().as_bytes()).unwrap();
    let keys = JwkSet::parse(br#"{"keys":[]}"#).unwrap();
    let error = ours.to_openidconnect::<EmptyAdditionalProviderMetadata>(&keys).unwrap_err();
    assert!(error.to_string().contains("authorization_endpoint"), "{error}");
}

#[test]
fn keys_go_to_openidconnect_and_back() {
    let algorithms = [
        Algorithm::RS256,
        Algorithm::PS256,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::ES512,
        Algorithm::EdDSA,
    ];
    let keys: Vec<Value> =
        algorithms.iter().map(|algorithm| TestKey::nth(0, *algorithm).jwk()).collect();
    let ours = JwkSet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap();
    assert_eq!(ours.len(), algorithms.len());
    let theirs = ours.to_openidconnect();
    // What these keys are for is kept, and so is each number of them.
    let text = |value: &Value| {
        ["kty", "crv", "kid", "alg", "n", "e", "x", "y"].map(|name| value[name].clone())
    };
    let sent = serde_json::to_value(&theirs).unwrap();
    let sent: Vec<_> = sent["keys"].as_array().unwrap().iter().map(text).collect();
    assert_eq!(sent, keys.iter().map(text).collect::<Vec<_>>());
    let back = JwkSet::from_openidconnect(&theirs).unwrap();
    assert!(back.kids().eq(ours.kids()));
}

#[test]
fn keys_of_openidconnect_are_checked() {
    let keys: CoreJsonWebKeySet = serde_json::from_value(json!({"keys": [
        {"kty": "oct", "kid": "symmetric", "k": "c2VjcmV0"},
        {"kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "kid": "encryption", "use": "enc", "n": "AQAB", "e": "AQAB"},
    ]}))
    .unwrap();
    assert_eq!(keys.keys().len(), 3);
    let ours = JwkSet::from_openidconnect(&keys).unwrap();
    assert!(ours.is_empty());
    assert_eq!(ours.skipped().len(), 3);
}

/// `openidconnect` reads a token without verifying it.
#[tokio::test]
async fn a_token_that_openidconnect_only_read_is_refused() {
    let (issuer, forger) = (TestIssuer::new(), TestIssuer::new());
    forger.rotate();
    let keys = CoreJsonWebKeySet::default();
    let none = Arc::new(StaticKeys::new(JwkSet::from_openidconnect(&keys).unwrap()));
    let rules = || Validation::new(issuer.issuer(), "hub");
    let ours = Verifier::new(rules(), issuer.keys()).with_clock(issuer.clock());
    let without_keys = Verifier::new(rules(), none).with_clock(issuer.clock());
    let expected = IdTokenExpectations::default();

    let good: CoreIdToken = issuer.id_token("hub", None).parse().unwrap();
    assert!(ours.openidconnect_id_token(&good, &expected).await.is_ok());
    assert!(without_keys.openidconnect_id_token(&good, &expected).await.is_err());
    let mut header = issuer.header();
    header["kid"] = json!(issuer.signing_key().id());
    let forged = forger.sign_with(&header, &issuer.id_claims("hub", None));
    let forged: CoreIdToken = forged.parse().unwrap();
    let refusal = ours.openidconnect_id_token(&forged, &expected).await.unwrap_err();
    assert_eq!(refusal.code(), "bad_signature");
}

#[test]
fn issuers_of_openidconnect_are_checked() {
    let url = |text: &str| IssuerUrl::new(text.to_owned()).unwrap();
    assert_eq!(Issuer::try_from(&url(ISSUER)).unwrap(), issuer());
    let refused = Issuer::try_from(&url("http://id.example")).unwrap_err();
    assert!(matches!(refused, InvalidIssuer::NotHttps { .. }), "{refused}");
}

#[test]
fn token_sets_go_to_oauth2_and_back() {
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let mut tokens = TokenSet::new(Secret::from("2YotnFZFEjr1zCsicMWpAA"));
    tokens.refresh_token = Some(Secret::from("tGzv3JOkF0XG5Qx2TlKWIA"));
    tokens.expires_at = Some(now + Duration::from_secs(60));
    tokens.scope = Some("score read".into());
    for token_type in [TokenType::Bearer, TokenType::DPoP] {
        tokens.token_type = token_type;
        let theirs: BasicTokenResponse = tokens.to_oauth2(now).unwrap();
        assert_eq!(theirs.expires_in(), Some(Duration::from_secs(60)));
        let back = TokenSet::from_oauth2(&theirs, now).unwrap();
        assert!(back.access_token.matches(tokens.access_token.expose()));
        assert!(back.refresh_token.unwrap().matches("tGzv3JOkF0XG5Qx2TlKWIA"));
        assert_eq!((back.expires_at, back.token_type), (tokens.expires_at, token_type));
        assert_eq!(back.scope, tokens.scope);
    }
    let later = now + Duration::from_secs(600);
    let expired: BasicTokenResponse = tokens.to_oauth2(later).unwrap();
    assert_eq!(expired.expires_in(), Some(Duration::ZERO));
}

#[test]
fn token_responses_of_oauth2_are_checked() {
    let response = |token: &str, token_type: &str| {
        let token_type = serde_json::from_value(token_type.into()).unwrap();
        let token = AccessToken::new(token.to_owned());
        BasicTokenResponse::new(token, token_type, EmptyExtraTokenFields {})
    };
    for refused in [response("", "bearer"), response("x", "mac"), response("x", "N_A")] {
        let error = TokenSet::from_oauth2(&refused, UNIX_EPOCH).unwrap_err();
        assert!(matches!(error, TokenEndpointError::InvalidMember { .. }), "{error}");
    }
}
