use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dev_issuer::{DevClient, DevIssuer, Endpoint, Fault, SignInError};
use jsonwebtoken::EncodingKey;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::party::{
    CALLBACK, CHALLENGE, TestClock, authorization_url, claims, gateway, header, post, provider,
    query, redeem,
};

/// RFC 8037 §A.1
const SEED: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
const PUBLIC: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn signing_client() -> DevClient {
    gateway().request_object_key(PUBLIC).require_signed_request()
}

async fn started() -> (DevIssuer, TestClock) {
    let clock = TestClock::new();
    let issuer = provider().client(signing_client()).clock(clock.port());
    (issuer.start("127.0.0.1:0").await.unwrap(), clock)
}

fn signed(header: &Value, claims: &Value) -> String {
    // PKCS#8 of an Ed25519 key is a constant prefix and its seed (RFC 8410 §7).
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend(URL_SAFE_NO_PAD.decode(SEED).unwrap());
    let header: jsonwebtoken::Header = serde_json::from_value(header.clone()).unwrap();
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_ed_der(&der)).unwrap()
}

fn good_header() -> Value {
    json!({"alg": "EdDSA", "typ": "oauth-authz-req+jwt"})
}

fn good_claims(issuer: &DevIssuer) -> Value {
    let now = 1_800_000_000;
    json!({
        "iss": "gateway", "aud": issuer.url(), "iat": now, "exp": now + 60,
        "client_id": "gateway", "response_type": "code", "redirect_uri": CALLBACK,
        "scope": "openid", "state": "signed-state", "max_age": 3600,
        "code_challenge": CHALLENGE, "code_challenge_method": "S256",
    })
}

fn by_value(issuer: &DevIssuer, object: &str) -> String {
    format!(
        "{}/protocol/openid-connect/auth?client_id=gateway&state=beside&request={object}",
        issuer.url()
    )
}

#[tokio::test]
async fn responses_are_signed_on_request() {
    let clock = TestClock::new();
    let issuer = provider().clock(clock.port()).start("127.0.0.1:0").await.unwrap();
    for mode in ["query.jwt", "jwt"] {
        let url = authorization_url(&issuer, &[("response_mode", mode)]);
        let back = Browser::new().sign_in(&url, "alice", "alice").await;
        assert_eq!(query(&back, "code"), None);
        let response = query(&back, "response").unwrap();
        assert_eq!(header(&response)["alg"], "RS256");
        let response_claims = claims(&response);
        assert_eq!(response_claims["iss"], issuer.url());
        assert_eq!(response_claims["aud"], "gateway");
        assert_eq!(response_claims["exp"], 1_800_000_060);
        assert_eq!(response_claims["state"], "st-1");
        assert_eq!(
            redeem(&issuer, response_claims["code"].as_str().unwrap()).await.0,
            StatusCode::OK
        );
    }
    let url = authorization_url(&issuer, &[("response_mode", "jwt"), ("scope", "planets")]);
    let Err(SignInError::SentBack(back)) = issuer.sign_in(&url, "alice") else { unreachable!() };
    let response_claims = claims(&query(&back, "response").unwrap());
    assert_eq!(
        (&response_claims["error"], &response_claims["state"]),
        (&json!("invalid_scope"), &json!("st-1"))
    );
    assert_eq!(response_claims["aud"], "gateway");

    issuer.faults().set(Fault::WrongIssuer, Endpoint::Authorization);
    let url = authorization_url(&issuer, &[("response_mode", "jwt")]);
    let back = issuer.sign_in(&url, "alice").unwrap();
    assert_ne!(claims(&query(&back, "response").unwrap())["iss"], issuer.url());

    let url = authorization_url(&issuer, &[("response_mode", "form_post")]);
    assert!(matches!(issuer.sign_in(&url, "alice"), Err(SignInError::SentBack(_))));
}

#[tokio::test]
async fn a_signed_request_is_used_once_and_ignores_other_parameters() {
    let (issuer, _) = started().await;
    let mut request = good_claims(&issuer);
    request["jti"] = json!("1");
    let url = by_value(&issuer, &signed(&good_header(), &request));
    let back = Browser::new().sign_in(&url, "alice", "alice").await;
    assert_eq!(query(&back, "state").as_deref(), Some("signed-state"));
    assert_eq!(redeem(&issuer, &query(&back, "code").unwrap()).await.0, StatusCode::OK);
    assert_eq!(Browser::new().open(&url).await.status, StatusCode::BAD_REQUEST, "used");
}

#[tokio::test]
async fn a_signed_request_can_be_pushed() {
    let (issuer, _) = started().await;
    let object = signed(&good_header(), &good_claims(&issuer));
    let (status, body) = post(&issuer, "ext/par/request", &[("request", &object)]).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let url = format!(
        "{}/protocol/openid-connect/auth?client_id=gateway&request_uri={}",
        issuer.url(),
        body["request_uri"].as_str().unwrap()
    );
    let back = issuer.sign_in(&url, "alice").unwrap();
    assert_eq!(query(&back, "state").as_deref(), Some("signed-state"));

    let mut other = good_claims(&issuer);
    other["client_id"] = json!("other");
    let object = signed(&good_header(), &other);
    let (status, body) = post(&issuer, "ext/par/request", &[("request", &object)]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(body["error"], "invalid_request_object");
}

#[tokio::test]
async fn an_invalid_request_object_is_refused() {
    let (issuer, clock) = started().await;
    let refused = |object: &str| {
        let outcome = issuer.sign_in(&by_value(&issuer, object), "alice");
        matches!(outcome, Err(SignInError::Refused(why)) if why.starts_with("invalid_request_object"))
    };
    let good = good_claims(&issuer);
    assert!(!refused(&signed(&good_header(), &good)));
    let now = 1_800_000_000;
    for (claim, value) in [
        ("iss", json!("other")),
        ("iss", Value::Null),
        ("client_id", json!("other")),
        ("client_id", Value::Null),
        ("aud", json!("https://evil.test")),
        ("aud", Value::Null),
        ("exp", json!(now)),
        ("exp", Value::Null),
        ("exp", json!(now + 3601)),
        ("nbf", json!(now + 1)),
        ("sub", json!("gateway")),
        ("request", json!("x")),
        ("request_uri", json!("urn:x")),
    ] {
        let mut claims = good.clone();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(claim)),
            value => claims[claim] = value,
        }
        assert!(refused(&signed(&good_header(), &claims)), "{claim}");
    }
    let object = signed(&good_header(), &good);
    assert!(refused(&object.replace(&object[object.len() - 8..], "AAAAAAAA")));
    assert!(refused(&signed(&json!({"alg": "EdDSA", "typ": "JWT"}), &good)), "typ");
    let unsigned = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"oauth-authz-req+jwt"}"#),
        URL_SAFE_NO_PAD.encode(good.to_string())
    );
    assert!(refused(&unsigned) && refused("x"));
    clock.advance(60);
    assert!(refused(&object), "expired");
    assert!(
        matches!(
            issuer.sign_in(&authorization_url(&issuer, &[]), "alice"),
            Err(SignInError::Refused(_))
        ),
        "not signed at all"
    );
    issuer.set_client(gateway());
    let url = authorization_url(&issuer, &[("request", &signed(&good_header(), &good))]);
    let Err(SignInError::SentBack(back)) = issuer.sign_in(&url, "alice") else { unreachable!() };
    assert_eq!(query(&back, "error").as_deref(), Some("request_not_supported"), "no key");
}
