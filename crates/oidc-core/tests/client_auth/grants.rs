//! Token requests of each grant, and their results.

use dev_issuer::{DevClient, DevIssuer};
use oidc_core::Secret;
use oidc_core::client::{ClientAuth, Grant, TokenEndpoint, TokenEndpointError, TokenType};
use oidc_core::testing::TestIssuer;
use serde_json::json;

use crate::key_pairs::Pair;
use crate::{World, own_right, part};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const PARTNER: &str = "https://id.partner.example";
const API: &str = "https://models.example/v1";

async fn world(partner: &Pair) -> World {
    World::start(
        DevIssuer::demo_builder()
            .trust(PARTNER, partner.jwks("p1"))
            .client(
                DevClient::confidential("gateway", "g").audience("gateway").scope("models:read"),
            )
            .client(DevClient::confidential("models", "m").audience(API)),
    )
    .await
}

fn claims(token: &Secret) -> serde_json::Value {
    part(token.expose(), 1)
}

#[tokio::test]
async fn several_resources_may_be_asked_for() {
    let world = world(&Pair::p256()).await;
    let endpoint = world.endpoint("gateway", ClientAuth::SecretBasic("g".into()));
    let resource = vec![API.to_owned(), "https://elsewhere.example".to_owned()];
    let grant = |resource| Grant::ClientCredentials {
        scope: Some("models:read".into()),
        audience: None,
        resource,
    };
    let error = endpoint.request(grant(resource.clone())).await.unwrap_err();
    assert!(matches!(&error, TokenEndpointError::OAuth { error, .. } if error == "invalid_target"));
    assert_eq!(world.sent()[0].values("resource"), resource);
    let tokens = endpoint.request(grant(vec![API.to_owned()])).await.unwrap();
    assert_eq!(claims(&tokens.access_token)["aud"], API);
    assert_eq!((tokens.token_type, tokens.issued_token_type), (TokenType::Bearer, None));
}

#[tokio::test]
async fn a_token_is_exchanged_with_an_actor_for_several_audiences() {
    let world = world(&Pair::p256()).await;
    let endpoint = world.endpoint("gateway", ClientAuth::SecretBasic("g".into()));
    let alice = world.issuer.log_in("alice", "gateway", "openid").unwrap();
    let own = endpoint.request(own_right()).await.unwrap();
    world.sent();
    let tokens = endpoint
        .request(Grant::TokenExchange {
            subject_token: alice.access_token.into(),
            subject_token_type: None,
            actor_token: Some(own.access_token.clone()),
            actor_token_type: None,
            requested_token_type: Some(ACCESS_TOKEN.to_owned()),
            audience: vec!["models".to_owned(), "gateway".to_owned()],
            resource: vec![API.to_owned()],
            scope: Some("models:read".into()),
        })
        .await
        .unwrap();
    assert_eq!(tokens.issued_token_type.as_deref(), Some(ACCESS_TOKEN));
    let token = claims(&tokens.access_token);
    assert_eq!(token["preferred_username"], "alice");
    assert_eq!(token["aud"], json!(["models", "gateway", API]));
    assert_eq!(token["act"]["sub"], claims(&own.access_token)["sub"]);
    let sent = world.sent().remove(0);
    assert_eq!(sent.value("subject_token_type"), Some(ACCESS_TOKEN));
    assert_eq!(sent.value("actor_token_type"), Some(ACCESS_TOKEN));
    assert_eq!(sent.value("requested_token_type"), Some(ACCESS_TOKEN));
    let simple = endpoint.request(Grant::exchange(tokens.access_token, "models")).await.unwrap();
    assert_eq!(claims(&simple.access_token)["act"], token["act"], "who acted stays named");
    let sent = world.sent().remove(0);
    assert_eq!((sent.value("actor_token"), sent.value("actor_token_type")), (None, None));
}

#[tokio::test]
async fn a_partners_word_becomes_a_token() {
    let partner = Pair::p384();
    let world = world(&partner).await;
    let endpoint = world.endpoint("gateway", ClientAuth::SecretBasic("g".into()));
    let signer = jsonwebtoken::EncodingKey::from_ec_pem(partner.pems[0].expose().as_bytes());
    let signer = signer.unwrap();
    let assertion = |audience: &str| {
        let exp = jsonwebtoken::get_current_timestamp() + 60;
        let claims = json!({"iss": PARTNER, "sub": "alice", "aud": audience, "exp": exp});
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES384);
        Secret::from(jsonwebtoken::encode(&header, &claims, &signer).unwrap())
    };
    let scope = || Some("models:read".into());
    let good = Grant::JwtBearer { assertion: assertion(world.issuer.url()), scope: scope() };
    let tokens = endpoint.request(good).await.unwrap();
    assert_eq!(claims(&tokens.access_token)["preferred_username"], "alice");
    let bad = Grant::JwtBearer { assertion: assertion("https://elsewhere"), scope: scope() };
    let error = endpoint.request(bad).await.unwrap_err();
    assert!(matches!(error, TokenEndpointError::InvalidGrant { .. }), "{error}");
}

#[tokio::test]
async fn another_kind_of_token_is_refused_by_its_type() {
    let issuer = TestIssuer::new();
    let endpoint = TokenEndpoint::new(issuer.provider(), "gateway", ClientAuth::None);
    let id_token = "urn:ietf:params:oauth:token-type:id_token";
    for (token_type, issued, expected) in [
        ("N_A", Some(id_token), Some(TokenType::NotApplicable)),
        ("n_a", Some(id_token), Some(TokenType::NotApplicable)),
        ("N_A", Some(ACCESS_TOKEN), None),
        ("N_A", None, None),
        ("bearer", Some(ACCESS_TOKEN), Some(TokenType::Bearer)),
        ("DPoP", Some(ACCESS_TOKEN), None),
        ("mac", Some(ACCESS_TOKEN), None),
    ] {
        let body =
            json!({"access_token": "t", "token_type": token_type, "issued_token_type": issued});
        issuer.answer("token", 200, body.to_string());
        let answer = endpoint.request(Grant::exchange("s".into(), "models")).await;
        assert_eq!(
            answer.ok().map(|tokens| tokens.token_type),
            expected,
            "{token_type} {issued:?}"
        );
    }
}
