use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::party::{claims, introspect, post, provider};
use crate::signer::Signer;

const OTHER: &str = "https://id.partner.example";

#[tokio::test]
async fn an_assertion_of_a_trusted_issuer_becomes_a_token() {
    let partner = Signer::ed25519();
    let issuer = provider().trust(OTHER, partner.jwks()).start("127.0.0.1:0").await.unwrap();
    let exp = jsonwebtoken::get_current_timestamp() + 60;
    let good = json!({"iss": OTHER, "sub": "alice", "aud": issuer.url(), "exp": exp});
    let ask = async |assertion: &str| -> (StatusCode, Value) {
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion),
            ("scope", "models:read"),
        ];
        post(&issuer, "token", &fields).await
    };
    let (status, body) = ask(&partner.sign(&good)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body.get("refresh_token"), None);
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(claims(token)["preferred_username"], "alice");
    assert_eq!(claims(token)["azp"], "gateway");
    assert_eq!(introspect(&issuer, token).await["active"], true);
    for (member, value) in [
        ("iss", json!("https://elsewhere")),
        ("sub", json!("mallory")),
        ("aud", json!("https://elsewhere")),
        ("exp", json!(1)),
    ] {
        let mut bad = good.clone();
        bad[member] = value;
        let (status, body) = ask(&partner.sign(&bad)).await;
        assert_eq!(
            (status, &body["error"]),
            (StatusCode::BAD_REQUEST, &"invalid_grant".into()),
            "{member}"
        );
    }
    let (_, body) = ask(&Signer::ed25519().sign(&good)).await;
    assert_eq!(body["error"], "invalid_grant");
    let (_, body) = ask("").await;
    assert_eq!(body["error"], "invalid_request");
}
