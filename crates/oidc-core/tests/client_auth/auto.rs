//! `AutoAuth`: strongest first, on to the next when the client is refused; the one that worked is
//! kept.

use dev_issuer::{DevClient, Endpoint, Fault};
use oidc_core::client::{
    AutoAuth, ClientAuth, ClientAuthError, ClientSecret, PrivateKeyJwt, TokenEndpoint,
    TokenEndpointError,
};
use oidc_core::testing::TestIssuer;
use serde_json::json;

use crate::key_pairs::Pair;
use crate::{World, own_right};

const SECRET: &str = "a secret of more than thirty-two bytes";

fn methods(world: &World) -> Vec<&'static str> {
    world.sent().iter().map(|sent| sent.method()).collect()
}

fn key(pair: &Pair) -> PrivateKeyJwt {
    PrivateKeyJwt::from_jwk(&pair.private_jwk(&json!({}))).unwrap()
}

fn attempts(error: TokenEndpointError) -> Vec<(&'static str, String)> {
    let TokenEndpointError::ClientAuth(ClientAuthError::NoneWorks { attempts }) = error else {
        panic!("{error}")
    };
    attempts.into_iter().map(|attempt| (attempt.method, attempt.reason)).collect()
}

#[tokio::test]
async fn the_strongest_that_works_is_found_once_and_kept() {
    let pair = Pair::p256();
    let world = World::with_client(DevClient::confidential("job", SECRET)).await;
    let auto = AutoAuth::new().with_private_key(key(&pair)).with_secret(SECRET);
    let endpoint = world.endpoint("job", ClientAuth::Auto(auto));
    endpoint.request(own_right()).await.unwrap();
    assert_eq!(methods(&world), ["private_key_jwt", "client_secret_jwt", "client_secret_basic"]);
    endpoint.clone().request(own_right()).await.unwrap();
    assert_eq!(methods(&world), ["client_secret_basic"], "remembered, by clones too");

    world.issuer.set_client(DevClient::private_key_jwt("job", pair.jwks("k")));
    endpoint.request(own_right()).await.unwrap();
    assert_eq!(methods(&world), ["client_secret_basic", "private_key_jwt"]);
    endpoint.request(own_right()).await.unwrap();
    assert_eq!(methods(&world), ["private_key_jwt"]);
}

#[tokio::test]
async fn methods_the_provider_does_not_offer_are_not_tried() {
    let issuer = TestIssuer::new();
    let offer = "token_endpoint_auth_methods_supported";
    issuer.set_metadata(offer, json!(["client_secret_post", "tls_client_auth"]));
    let auto = AutoAuth::new().with_private_key(key(&Pair::p256())).with_secret(SECRET);
    let endpoint = TokenEndpoint::new(issuer.provider(), "job", ClientAuth::Auto(auto));
    endpoint.request(own_right()).await.unwrap();
    assert_eq!(issuer.requests("token"), 1);
    assert_eq!(issuer.last_request("token").unwrap().value("client_secret"), Some(SECRET));
}

#[tokio::test]
async fn when_none_works_each_is_named_with_its_reason() {
    let world = World::with_client(DevClient::confidential("job", "another")).await;
    let auto = AutoAuth::new()
        .with_assertion_file("/nowhere/token")
        .with_private_key(key(&Pair::p256()))
        .with_certificate()
        .with_secret("short");
    let endpoint = world.endpoint("job", ClientAuth::Auto(auto));
    let error = endpoint.request(own_right()).await.unwrap_err();
    assert!(error.is_temporary(), "the file may come: {error}");
    let text = error.to_string();
    let attempts = attempts(error);
    let names: Vec<_> = attempts.iter().map(|(method, _)| *method).collect();
    assert_eq!(
        names,
        [
            "assertion file",
            "private_key_jwt",
            "tls_client_auth",
            "client_secret_jwt",
            "client_secret_basic",
            "client_secret_post"
        ]
    );
    for ((method, reason), word) in attempts.iter().zip([
        "/nowhere/token",
        "credentials",
        "offer",
        "RFC 7518",
        "credentials",
        "credentials",
    ]) {
        assert!(reason.contains(word), "{method}: {reason}");
        assert!(text.contains(reason.as_str()), "{text}");
    }
    let nothing = world.endpoint("job", ClientAuth::Auto(AutoAuth::new()));
    let error = nothing.request(own_right()).await.unwrap_err();
    assert!(
        matches!(error, TokenEndpointError::ClientAuth(ClientAuthError::NoCredential)),
        "{error}"
    );
}

#[tokio::test]
async fn any_other_answer_is_final() {
    let world = World::with_client(DevClient::confidential("job", SECRET)).await;
    let auto = AutoAuth::new().with_secret(ClientSecret::from(SECRET));
    let endpoint = world.endpoint("job", ClientAuth::Auto(auto));
    endpoint.request(own_right()).await.unwrap();
    world.sent();
    let refused = oidc_core::client::Grant::ClientCredentials {
        scope: Some("planets".into()),
        audience: None,
        resource: vec![],
    };
    let error = endpoint.request(refused).await.unwrap_err();
    assert!(matches!(error, TokenEndpointError::OAuth { .. }), "{error}");
    let token = oidc_core::Secret::from("never-issued");
    let refresh = oidc_core::client::Grant::RefreshToken { refresh_token: token, scope: None };
    let error = endpoint.request(refresh).await.unwrap_err();
    assert!(matches!(error, TokenEndpointError::InvalidGrant { .. }), "{error}");
    world.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    let error = endpoint.request(own_right()).await.unwrap_err();
    assert!(matches!(error, TokenEndpointError::Unavailable { .. }), "{error}");
    assert_eq!(methods(&world), ["client_secret_basic"; 3]);
}

#[tokio::test]
async fn a_bare_401_is_a_refusal_too() {
    let issuer = TestIssuer::new();
    for body in ["", r#"{"error":"unauthorized_client"}"#, r#"{"error":"invalid_request"}"#] {
        issuer.answer("token", 401, body);
        issuer.reset_requests();
        let auto = AutoAuth::new().with_secret(SECRET);
        let endpoint = TokenEndpoint::new(issuer.provider(), "job", ClientAuth::Auto(auto));
        assert_eq!(attempts(endpoint.request(own_right()).await.unwrap_err()).len(), 3, "{body}");
        assert_eq!(issuer.requests("token"), 3, "{body}");
    }
    for (status, body) in [
        (400, r#"{"error":"unauthorized_client"}"#),
        (401, r#"{"error":"invalid_grant"}"#),
        (401, r#"{"error":"invalid_dpop_proof"}"#),
    ] {
        issuer.answer("token", status, body);
        issuer.reset_requests();
        let auto = AutoAuth::new().with_secret(SECRET);
        let endpoint = TokenEndpoint::new(issuer.provider(), "job", ClientAuth::Auto(auto));
        endpoint.request(own_right()).await.unwrap_err();
        assert_eq!(issuer.requests("token"), 1, "{body}");
    }
}
