//! Registered claims: type, time, audience, issuer, subject; and verified email addresses.

use std::time::Duration;

use oidc_core::testing::TestIssuer;
use serde_json::{Value, json};

use super::World;

#[tokio::test]
async fn a_registered_claim_of_the_wrong_type_is_refused() {
    let world = World::new();
    let later = world.issuer.now() + 300;
    for (claim, value) in [
        ("exp", json!(later.to_string())),
        ("exp", json!([later])),
        ("exp", json!(true)),
        ("exp", json!({})),
        ("exp", json!(1e300)),
        ("exp", json!(-1)),
        ("nbf", json!("soon")),
        ("nbf", json!({})),
        ("iat", json!("now")),
        ("iat", json!(false)),
        ("sub", json!(1)),
        ("sub", json!(["a"])),
        ("azp", json!(["gateway"])),
        ("scope", json!(1)),
        ("scope", json!(["openid", 1])),
        ("scope", json!(["openid profile"])),
        ("typ", json!(["Bearer"])),
        ("client_id", json!(1)),
    ] {
        assert_eq!(
            world.code(&world.claims(json!({claim: value}))).await,
            "invalid_claim",
            "{claim} {value}"
        );
    }
    // No rule of access tokens reads these.
    for (claim, value) in
        [("auth_time", json!("x")), ("jti", json!(1)), ("sid", json!(1)), ("acr", json!(["1"]))]
    {
        assert_eq!(world.code(&world.claims(json!({claim: value}))).await, "accepted", "{claim}");
    }
    assert_eq!(world.code(&world.claims(json!({"scope": ["openid", "a"]}))).await, "accepted");
    let null = world.payload().replace(&format!("\"exp\":{later}"), "\"exp\":null");
    assert!(null.contains("\"exp\":null"));
    let token =
        world.issuer.sign_raw(world.issuer.header().to_string().as_bytes(), null.as_bytes());
    assert_eq!(world.code(&token).await, "invalid_claim");
    assert_eq!(world.code(&world.claims(json!({"exp": later as f64 + 0.5}))).await, "accepted");
    assert_eq!(world.code(&world.claims(json!({"nbf": 0, "auth_time": 0}))).await, "accepted");
}

#[tokio::test]
async fn time_counts_with_the_leeway_and_no_more() {
    let world = World::with(TestIssuer::new(), |v| v.with_leeway(Duration::from_secs(10)));
    let now = world.issuer.now();
    for (changes, expected) in [
        (json!({"exp": now - 9}), "accepted"),
        (json!({"exp": now - 10}), "expired"),
        (json!({"exp": 0}), "expired"),
        (json!({"exp": null}), "missing_claim"),
        (json!({"nbf": now + 10}), "accepted"),
        (json!({"nbf": now + 11}), "not_yet_valid"),
        (json!({"iat": now + 10}), "accepted"),
        (json!({"iat": now + 11}), "issued_in_future"),
        (json!({"iat": null}), "accepted"),
    ] {
        assert_eq!(world.code(&world.claims(changes.clone())).await, expected, "{changes}");
    }
}

#[tokio::test]
async fn the_audience_must_be_ours() {
    let world = World::new();
    for (aud, expected) in [
        (json!("hub"), "accepted"),
        (json!(["hub"]), "accepted"),
        (json!(["account", "hub"]), "accepted"),
        (json!("account"), "wrong_audience"),
        (json!("Hub"), "wrong_audience"),
        (json!("hub "), "wrong_audience"),
        (json!("hub,account"), "wrong_audience"),
        (json!("hubs"), "wrong_audience"),
        (json!(""), "wrong_audience"),
        (json!([]), "wrong_audience"),
        (json!(["*"]), "wrong_audience"),
        (json!([["hub"]]), "invalid_claim"),
        (json!({"hub": 1}), "invalid_claim"),
        (json!(["hub", 1]), "invalid_claim"),
        (json!(0), "invalid_claim"),
        (Value::Null, "wrong_audience"),
    ] {
        assert_eq!(world.code(&world.claims(json!({"aud": aud}))).await, expected, "{aud}");
    }
    // The client that requested a token is not its audience.
    let azp = world.claims(json!({"aud": "account", "azp": "hub", "client_id": "hub"}));
    assert_eq!(world.code(&azp).await, "wrong_audience");
}

#[tokio::test]
async fn the_issuer_must_be_ours_byte_for_byte() {
    let world = World::new();
    let ours = world.issuer.issuer().to_string();
    for (iss, expected) in [
        (json!(ours), "accepted"),
        (json!(format!("{ours}/")), "wrong_issuer"),
        (json!(ours.to_uppercase()), "wrong_issuer"),
        (json!(format!("{ours}2")), "wrong_issuer"),
        (json!("https://evil.test"), "wrong_issuer"),
        (json!(""), "wrong_issuer"),
        (json!([ours]), "invalid_claim"),
        (json!({}), "invalid_claim"),
        (Value::Null, "missing_claim"),
    ] {
        assert_eq!(world.code(&world.claims(json!({"iss": iss}))).await, expected, "{iss}");
    }
}

#[tokio::test]
async fn an_email_counts_only_when_verified_and_plain() {
    let world = World::new();
    let email = async |changes: Value| {
        let token = world.verifier.access_token(&world.claims(changes)).await.unwrap();
        token.verified_email().map(str::to_owned)
    };
    assert_eq!(email(json!({})).await.as_deref(), Some("alice@example.org"));
    for changes in [
        json!({"email": "alice@evil.test@example.org"}),
        json!({"email_verified": false}),
        json!({"email_verified": "false"}),
        json!({"email_verified": 1}),
        json!({"email_verified": null}),
        json!({"email": ["alice@example.org"]}),
    ] {
        assert_eq!(email(changes.clone()).await, None, "{changes}");
    }
}

#[tokio::test]
async fn a_token_without_a_subject_is_refused() {
    let world = World::new();
    assert_eq!(world.code(&world.claims(json!({"sub": ""}))).await, "invalid_claim");
    assert_eq!(world.code(&world.claims(json!({"sub": " "}))).await, "invalid_claim");
    assert_eq!(world.code(&world.claims(json!({"sub": null}))).await, "missing_claim");
    let empty = world.issuer.sign(&json!({}));
    assert!(world.check(&empty).await.is_err());
    assert_eq!(world.code(&world.claims(json!({"sub": "0"}))).await, "accepted");
}
