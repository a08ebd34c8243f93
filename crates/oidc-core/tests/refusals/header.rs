//! Headers that name keys to trust, extensions, or something to fetch.

use oidc_core::Validation;
use oidc_core::testing::TestIssuer;
use oidc_core::token::Algorithm;
use serde_json::json;

use super::{AUDIENCE, World, changed};

#[tokio::test]
async fn a_kid_is_only_ever_a_name() {
    let world = World::new();
    assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
    for kid in [
        "../../../../dev/null",
        "/dev/null",
        "' OR 1=1 --",
        "|sleep 10",
        "$(id)",
        "http://127.0.0.1:18999/k",
        "a\r\nSET x 1\r\n",
        "\u{1b}[31m",
        "",
    ] {
        let refusal = world.check(&world.header(json!({"kid": kid}))).await.unwrap_err();
        assert_eq!(refusal.code(), "unknown_key", "{kid}");
        let said = refusal.to_string();
        assert!(!said.chars().any(char::is_control), "{said}");
    }
    let long = world.check(&world.header(json!({"kid": "x".repeat(5000)}))).await.unwrap_err();
    assert!(long.to_string().len() < 400);
    for kid in [json!(1), json!(["a"]), json!({}), json!(true)] {
        assert_eq!(world.code(&world.header(json!({"kid": kid}))).await, "malformed");
    }
    // The provider was asked only for its discovery document and its keys.
    assert_eq!(
        world.issuer.requests(""),
        world.issuer.requests("configuration") + world.issuer.requests("jwks")
    );
}

#[tokio::test]
async fn without_a_kid_only_a_single_fitting_key_is_used() {
    let world = World::new();
    let token = world.header(json!({"kid": null}));
    assert_eq!(world.code(&token).await, "accepted");

    let issuer = TestIssuer::new();
    issuer.rotate();
    let world = World::with(issuer, |v| v);
    assert_eq!(world.code(&world.header(json!({"kid": null}))).await, "unknown_key");
    assert_eq!(world.code(&world.header(json!({}))).await, "accepted");
}

#[tokio::test]
async fn no_header_names_a_key_to_trust_and_nothing_is_fetched_for_it() {
    let world = World::new();
    assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
    let before = world.issuer.requests("");
    let attacker = TestIssuer::named("https://evil.test", Algorithm::RS512);
    for changes in [
        json!({"jku": "http://127.0.0.1:18999/jwks"}),
        json!({"x5u": "http://127.0.0.1:18999/x"}),
        json!({"jwk": attacker.signing_key().jwk()}),
        json!({"jwk": {}}),
        json!({"x5c": ["MIIB"]}),
        json!({"jku": "https://issuer.test/realms/lab/jwks"}),
    ] {
        assert_eq!(world.code(&world.header(changes)).await, "header_not_allowed");
    }
    let ssrf = world.claims(json!({"iss": "http://127.0.0.1:18999/"}));
    assert_eq!(world.code(&ssrf).await, "wrong_issuer");
    assert_eq!(world.issuer.requests(""), before);
    // A thumbprint adds no trusted key, and is common.
    assert_eq!(
        world.code(&world.header(json!({"x5t": "abc", "x5t#S256": "abc"}))).await,
        "accepted"
    );
}

#[tokio::test]
async fn ignored_key_members_are_still_never_used() {
    let ignoring = |rules: Validation| rules.dangerous_ignore_header_keys();
    let world = World::with(TestIssuer::new(), ignoring);
    let attacker = TestIssuer::named("https://issuer.test/realms/lab", Algorithm::ES256);
    let named = json!({
        "jwk": attacker.signing_key().jwk(), "x5c": ["MIIB"],
        "jku": "http://127.0.0.1:18999/jwks", "x5u": "http://127.0.0.1:18999/x",
    });
    assert_eq!(world.code(&world.header(named.clone())).await, "accepted");
    let before = world.issuer.requests("");
    let header = changed(attacker.header(), named);
    let forged = attacker.sign_with(&header, &world.issuer.claims(AUDIENCE));
    assert_eq!(world.code(&forged).await, "unknown_key");
    assert_eq!(world.code(&world.header(json!({"crit": ["x"]}))).await, "header_not_allowed");
    assert_eq!(world.issuer.requests("jwks"), before - world.issuer.requests("configuration") + 1);
}

#[tokio::test]
async fn a_jwt_within_a_jwt_is_refused() {
    let world = World::new();
    for cty in ["JWT", "jwt", "application/jwt"] {
        let token = world.header(json!({"cty": cty}));
        assert_eq!(world.code(&token).await, "header_not_allowed", "{cty}");
    }
    assert_eq!(world.code(&world.header(json!({"cty": "json"}))).await, "accepted");
}

#[tokio::test]
async fn critical_extensions_and_other_encodings_are_refused() {
    let world = World::new();
    for changes in [
        json!({"crit": ["exp"], "exp": 1}),
        json!({"crit": []}),
        json!({"crit": ["b64"], "b64": true}),
        json!({"crit": "b64"}),
        json!({"crit": ["x"], "x": 1}),
        json!({"b64": false}),
        json!({"b64": true}),
        json!({"zip": "DEF"}),
        json!({"enc": "A256GCM"}),
    ] {
        assert_eq!(
            world.code(&world.header(changes.clone())).await,
            "header_not_allowed",
            "{changes}"
        );
    }
    // Private members, numeric ones too, are legal.
    let private = json!({"acme": 1, "nested": {"a": [1, 2.5]}, "flag": true});
    assert_eq!(world.code(&world.header(private)).await, "accepted");
}
