//! UserInfo answers that the provider signs (OpenID Connect Core 1.0 §5.3.2).

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use oidc_core::client::ClientAuth;
use oidc_core::login::UserInfoError;
use oidc_core::testing::{SUBJECT, TestIssuer};
use oidc_core::token::{Algorithm, Claims};
use oidc_core::{Client, Secret};
use serde_json::{Value, json};

const JWT: &str = "application/jwt";
const ANNOUNCED: &str = "userinfo_signing_alg_values_supported";

fn client(issuer: &TestIssuer) -> Client {
    let auth = ClientAuth::SecretBasic("hunter2".into());
    Client::new(issuer.provider(), issuer.keys(), "gateway", auth).with_clock(issuer.clock())
}

fn claims(issuer: &TestIssuer) -> Value {
    json!({
        "iss": issuer.issuer().as_str(), "aud": "gateway", "sub": SUBJECT, "name": "Alice Example",
    })
}

async fn ask(client: &Client) -> Result<Claims, UserInfoError> {
    client.user_info(&Secret::from("opaque"), SUBJECT).await
}

/// What the client makes of these claims, signed with the provider's key.
async fn signed(issuer: &TestIssuer, claims: &Value) -> Result<Claims, UserInfoError> {
    issuer.answer_as("userinfo", 200, JWT, issuer.sign(claims));
    ask(&client(issuer)).await
}

fn code(answer: Result<Claims, UserInfoError>) -> String {
    match answer.unwrap_err() {
        UserInfoError::Refused(refusal) => refusal.code().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_signed_answer_has_its_claims() {
    let issuer = TestIssuer::new();
    let mut claims = claims(&issuer);
    assert_eq!(signed(&issuer, &claims).await.unwrap().name(), Some("Alice Example"));
    claims["aud"] = json!(["another", "gateway"]);
    claims["exp"] = json!(issuer.now() + 60);
    assert!(signed(&issuer, &claims).await.is_ok());
    let body = issuer.sign(&claims);
    issuer.answer_as("userinfo", 200, "Application/JWT; charset=utf-8", body);
    assert!(ask(&client(&issuer)).await.is_ok());
}

#[tokio::test]
async fn a_signed_answer_is_of_this_provider_for_this_client() {
    let issuer = TestIssuer::new();
    for (member, value, expected) in [
        ("iss", json!("https://evil.test"), "wrong_issuer"),
        ("iss", Value::Null, "missing_claim"),
        ("aud", json!("another"), "wrong_audience"),
        ("aud", Value::Null, "wrong_audience"),
        ("sub", Value::Null, "missing_claim"),
        ("exp", json!(issuer.now() - 60), "expired"),
        ("nbf", json!(issuer.now() + 60), "not_yet_valid"),
        ("typ", json!("ID"), "wrong_type"),
        ("typ", json!("Bearer"), "wrong_type"),
        ("events", json!({}), "forbidden_claim"),
    ] {
        let mut claims = claims(&issuer);
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(member)),
            value => claims[member] = value,
        }
        assert_eq!(code(signed(&issuer, &claims).await), expected, "{member}");
    }
    let mut another = claims(&issuer);
    another["sub"] = json!("another-subject");
    let answer = signed(&issuer, &another).await;
    assert!(matches!(answer, Err(UserInfoError::WrongSubject)), "{answer:?}");
}

#[tokio::test]
async fn an_answer_with_another_signature_is_refused() {
    let issuer = TestIssuer::new();
    let claims = claims(&issuer);
    let mallory = TestIssuer::new();
    mallory.rotate();
    let mut foreign = mallory.header();
    foreign["kid"] = issuer.header()["kid"].clone();
    let genuine = issuer.sign(&claims);
    let (head, _) = genuine.rsplit_once('.').unwrap();
    let typed = |typ: &str| {
        let mut header = issuer.header();
        header["typ"] = json!(typ);
        issuer.sign_with(&header, &claims)
    };
    for (name, body) in [
        ("another key under this name", mallory.sign_with(&foreign, &claims)),
        ("a key that is not published", mallory.sign(&claims)),
        ("no signature", format!("{head}.")),
        ("another kind of JWT", typed("at+jwt")),
        ("a logout token", typed("logout+jwt")),
        ("alg none", issuer.sign_with(&json!({ "alg": "none" }), &claims)),
        ("a shared secret", issuer.sign_with(&json!({ "alg": "HS256" }), &claims)),
        ("plain JSON", claims.to_string()),
        (
            "two readings",
            issuer.sign_raw(
                issuer.header().to_string().as_bytes(),
                format!(r#"{{"sub":"mallory",{}"#, claims.to_string().trim_start_matches('{'))
                    .as_bytes(),
            ),
        ),
        ("nothing", String::new()),
    ] {
        issuer.answer_as("userinfo", 200, JWT, body);
        let answer = ask(&client(&issuer)).await;
        assert!(matches!(answer, Err(UserInfoError::Refused(_))), "{name}: {answer:?}");
        assert!(!answer.unwrap_err().is_temporary(), "{name}");
    }
    // A signed answer under the name of a plain one is no JSON.
    issuer.answer("userinfo", 200, genuine);
    assert!(matches!(ask(&client(&issuer)).await, Err(UserInfoError::Invalid(_))));
}

#[tokio::test]
async fn an_encrypted_answer_names_the_setting_to_change() {
    let issuer = TestIssuer::new();
    issuer.answer_as("userinfo", 200, JWT, "eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d");
    let error = ask(&client(&issuer)).await.unwrap_err();
    assert!(matches!(error, UserInfoError::Encrypted), "{error:?}");
    assert!(error.to_string().contains("userinfo_encrypted_response_alg"), "{error}");
}

#[tokio::test]
async fn the_algorithm_is_an_announced_or_a_named_one() {
    let issuer = TestIssuer::with_algorithm(Algorithm::ES256);
    let claims = claims(&issuer);
    // What is announced for ID tokens says nothing about UserInfo.
    issuer.set_metadata("id_token_signing_alg_values_supported", json!(["RS256"]));
    assert!(signed(&issuer, &claims).await.is_ok());

    issuer.set_metadata(ANNOUNCED, json!(["RS256", "none"]));
    assert_eq!(code(signed(&issuer, &claims).await), "algorithm_not_allowed");
    issuer.set_metadata(ANNOUNCED, json!(["RS256", "ES256"]));
    assert!(signed(&issuer, &claims).await.is_ok());

    let naming = |algorithm| client(&issuer).with_algorithms([algorithm]);
    assert_eq!(code(ask(&naming(Algorithm::RS256)).await), "algorithm_not_allowed");
    issuer.set_metadata(ANNOUNCED, json!(["RS256"]));
    assert!(ask(&naming(Algorithm::ES256)).await.is_ok(), "the program knows better");
}

#[tokio::test]
async fn an_answer_signed_with_a_new_key_fetches_it() {
    let issuer = TestIssuer::new();
    let client = client(&issuer);
    let claims = claims(&issuer);
    issuer.answer_as("userinfo", 200, JWT, issuer.sign(&claims));
    ask(&client).await.unwrap();
    issuer.rotate();
    issuer.answer_as("userinfo", 200, JWT, issuer.sign(&claims));
    ask(&client).await.unwrap();
}
