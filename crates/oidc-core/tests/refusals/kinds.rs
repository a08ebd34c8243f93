//! One kind of token in place of another, and the rules of each kind.

use std::time::Duration;

use oidc_core::Secret;
use oidc_core::testing::TestIssuer;
use oidc_core::verify::{IdTokenExpectations, Profile};
use serde_json::{Value, json};

use super::{AUDIENCE, World, changed, forged};

#[tokio::test]
async fn no_other_token_of_the_same_issuer_passes_for_an_access_token() {
    let world = World::new();
    assert_eq!(world.code(&world.issuer.id_token(AUDIENCE, None)).await, "wrong_type");
    assert_eq!(world.code(&world.issuer.logout_token(AUDIENCE)).await, "wrong_type");
    for typ in ["ID", "Refresh", "Offline", "Logout", "bearer", "Initial-Access-Token", ""] {
        assert_eq!(world.code(&world.claims(json!({"typ": typ}))).await, "wrong_type", "{typ}");
    }
    assert_eq!(world.code(&world.claims(json!({"typ": null}))).await, "wrong_type");
    // A token that says it is bound, and not to what.
    assert_eq!(world.code(&world.claims(json!({"typ": "DPoP"}))).await, "missing_claim");
    for typ in
        ["dpop+jwt", "oauth-authz-req+jwt", "logout+jwt", "secevent+jwt", "JOSE", "kb+jwt", ""]
    {
        assert_eq!(world.code(&world.header(json!({"typ": typ}))).await, "wrong_type", "{typ}");
    }
    assert_eq!(world.code(&world.header(json!({"typ": null}))).await, "wrong_type");
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt"] {
        assert_eq!(world.code(&world.header(json!({"typ": typ}))).await, "accepted", "{typ}");
    }
    let bound = world.claims(json!({"cnf": {"jkt": "x"}}));
    assert_eq!(world.code(&bound).await, "sender_constrained");
    // As Keycloak writes it.
    let bound = world.claims(json!({"typ": "DPoP", "cnf": {"jkt": "x", "kc-jkt-type": "DPoP"}}));
    assert_eq!(world.code(&bound).await, "sender_constrained");
}

#[tokio::test]
async fn an_access_token_is_not_an_id_or_logout_token() {
    let world = World::new();
    let expected = IdTokenExpectations::default();
    let access = world.issuer.access_token(AUDIENCE);
    let logout = world.issuer.logout_token(AUDIENCE);
    let id = world.issuer.id_token(AUDIENCE, None);
    for wrong in [&access, &logout] {
        assert_eq!(
            world.verifier.id_token(wrong, &expected).await.unwrap_err().code(),
            "wrong_type"
        );
    }
    for wrong in [&access, &id] {
        assert_eq!(world.verifier.logout_token(wrong).await.unwrap_err().code(), "wrong_type");
    }
    let untyped = changed(world.issuer.logout_claims(AUDIENCE), json!({"typ": null}));
    let untyped = world.issuer.sign(&untyped);
    assert_eq!(
        world.verifier.id_token(&untyped, &expected).await.unwrap_err().code(),
        "forbidden_claim"
    );
    assert!(world.verifier.id_token(&id, &expected).await.is_ok());
    assert!(world.verifier.logout_token(&logout).await.is_ok());
    assert!(world.verifier.logout_token(&untyped).await.is_ok());
}

#[tokio::test]
async fn the_strict_profile_wants_all_of_rfc_9068() {
    let world = World::with(TestIssuer::new(), |v| v.with_profile(Profile::Rfc9068));
    let header = changed(world.issuer.header(), json!({"typ": "at+jwt"}));
    let claims =
        changed(world.issuer.claims(AUDIENCE), json!({"typ": null, "client_id": "gateway"}));
    let sign = |changes| world.issuer.sign_with(&header, &changed(claims.clone(), changes));
    assert_eq!(world.code(&sign(json!({}))).await, "accepted");
    for claim in ["iss", "sub", "exp", "iat", "jti", "client_id"] {
        assert_eq!(world.code(&sign(json!({claim: null}))).await, "missing_claim", "{claim}");
    }
    assert_eq!(world.code(&sign(json!({"aud": null}))).await, "wrong_audience");
    assert_eq!(world.code(&world.issuer.sign(&claims)).await, "wrong_type");
}

#[tokio::test]
async fn id_tokens_are_held_to_the_login_they_belong_to() {
    let world = World::new();
    let expected = IdTokenExpectations::default().with_nonce(Secret::from("n"));
    let check = async |changes: Value, expected: &IdTokenExpectations| {
        let token =
            world.issuer.sign(&changed(world.issuer.id_claims(AUDIENCE, Some("n")), changes));
        world
            .verifier
            .id_token(&token, expected)
            .await
            .err()
            .map_or("accepted", |refusal| refusal.code())
    };
    for (changes, result) in [
        (json!({}), "accepted"),
        (json!({"nonce": "N"}), "wrong_nonce"),
        (json!({"nonce": null}), "wrong_nonce"),
        (json!({"aud": "other"}), "wrong_audience"),
        (json!({"aud": null}), "wrong_audience"),
        (json!({"aud": [AUDIENCE]}), "accepted"),
        (json!({"aud": [AUDIENCE, "other"]}), "accepted"),
        (json!({"aud": [AUDIENCE, "other"], "azp": null}), "missing_claim"),
        (json!({"azp": "other"}), "wrong_authorized_party"),
        (json!({"azp": null}), "accepted"),
        (json!({"iss": "https://evil.test"}), "wrong_issuer"),
        (json!({"sub": null}), "missing_claim"),
        (json!({"exp": null}), "missing_claim"),
        (json!({"iat": null}), "missing_claim"),
        (json!({"exp": world.issuer.now() - 60}), "expired"),
        (json!({"typ": null}), "accepted"),
        (json!({"acr": 2, "scope": ["openid"], "jti": 1, "sid": 1, "auth_time": "x"}), "accepted"),
    ] {
        assert_eq!(check(changes.clone(), &expected).await, result, "{changes}");
    }
    // OpenID Connect Core 1.0 §A.3 shows this pair of access token and at_hash.
    let over = IdTokenExpectations::default()
        .with_access_token(Secret::from("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"));
    assert_eq!(check(json!({"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"}), &over).await, "accepted");
    assert_eq!(check(json!({"at_hash": "77QmUPtjPfzWtF2AnpK9RA"}), &over).await, "wrong_hash");
    assert_eq!(check(json!({"at_hash": 1}), &over).await, "wrong_hash");
    assert_eq!(check(json!({}), &over).await, "accepted");
    // §A.4: code and c_hash.
    let over = IdTokenExpectations::default()
        .with_code(Secret::from("Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk"));
    assert_eq!(check(json!({"c_hash": "LDktKdoQak3Pk0cnXxCltA"}), &over).await, "accepted");
    assert_eq!(check(json!({"c_hash": "x"}), &over).await, "wrong_hash");
    let same = IdTokenExpectations::default().with_subject("another subject");
    assert_eq!(check(json!({}), &same).await, "wrong_subject");
    let recent = IdTokenExpectations::default().with_max_age(Duration::from_secs(60));
    let now = world.issuer.now();
    assert_eq!(check(json!({"auth_time": now - 60}), &recent).await, "accepted");
    assert_eq!(check(json!({"auth_time": now - 91}), &recent).await, "authentication_too_old");
    assert_eq!(check(json!({"auth_time": null}), &recent).await, "missing_claim");
    let ever = IdTokenExpectations::default().with_max_age(Duration::MAX);
    assert_eq!(check(json!({}), &ever).await, "accepted");
}

#[tokio::test]
async fn an_id_token_for_another_party_needs_permission() {
    let issuer = TestIssuer::new();
    let world = World::with(issuer, |rules| rules.with_trusted_party("android"));
    let check = async |changes: Value| {
        let token = world.issuer.sign(&changed(world.issuer.id_claims(AUDIENCE, None), changes));
        let expected = IdTokenExpectations::default();
        let verdict = world.verifier.id_token(&token, &expected).await;
        verdict.err().map_or("accepted", |refusal| refusal.code())
    };
    for (changes, result) in [
        (json!({"azp": "android"}), "accepted"),
        (json!({"azp": AUDIENCE}), "accepted"),
        (json!({"azp": "ios"}), "wrong_authorized_party"),
        (json!({"azp": "android", "aud": "android"}), "wrong_audience"),
    ] {
        assert_eq!(check(changes.clone()).await, result, "{changes}");
    }
}

#[tokio::test]
async fn logout_tokens_are_held_to_back_channel_logout() {
    let world = World::new();
    let check = async |changes: Value| {
        let token = world.issuer.sign(&changed(world.issuer.logout_claims(AUDIENCE), changes));
        world.verifier.logout_token(&token).await.err().map_or("accepted", |refusal| refusal.code())
    };
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let now = world.issuer.now();
    for (changes, result) in [
        (json!({}), "accepted"),
        (json!({"sid": null}), "accepted"),
        (json!({"sub": null}), "accepted"),
        (json!({"sub": null, "sid": null}), "missing_claim"),
        (json!({"events": null}), "missing_claim"),
        (json!({"events": {}}), "invalid_claim"),
        (json!({"events": {"http://schemas.openid.net/event/other": {}}}), "invalid_claim"),
        (json!({"events": {event: true}}), "invalid_claim"),
        (json!({"events": event}), "invalid_claim"),
        (json!({"events": [event]}), "invalid_claim"),
        (json!({"nonce": "n"}), "forbidden_claim"),
        (json!({"aud": "other"}), "wrong_audience"),
        (json!({"aud": null}), "wrong_audience"),
        (json!({"iss": "https://evil.test"}), "wrong_issuer"),
        (json!({"iat": null}), "missing_claim"),
        (json!({"jti": null}), "missing_claim"),
        (json!({"exp": now - 60}), "expired"),
        (json!({"exp": null}), "accepted"),
        (json!({"exp": null, "iat": now - 3600}), "expired"),
        (json!({"typ": null}), "accepted"),
        (json!({"typ": "ID"}), "wrong_type"),
        // It would end all sessions of the subject.
        (json!({"sid": 1}), "invalid_claim"),
        (json!({"jti": 1}), "missing_claim"),
    ] {
        assert_eq!(check(changes.clone()).await, result, "{changes}");
    }
    let header = changed(world.issuer.header(), json!({"typ": "logout+jwt"}));
    let token = world.issuer.sign_with(&header, &world.issuer.logout_claims(AUDIENCE));
    let token = world.verifier.logout_token(&token).await.unwrap();
    assert_eq!(token.session_id(), Some("sid-1"));
    let none =
        forged(&json!({"alg": "none"}), &world.issuer.logout_claims(AUDIENCE).to_string(), b"");
    assert_eq!(
        world.verifier.logout_token(&none).await.unwrap_err().code(),
        "algorithm_not_allowed"
    );
}
