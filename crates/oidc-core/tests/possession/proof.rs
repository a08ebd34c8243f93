//! RFC 9449 §4.3 and §7: proofs, rule by rule.

use std::time::Duration;

use http::Method;
use oidc_core::dpop::{DpopPolicy, ProofRefusal};
use oidc_core::testing::TestKey;
use oidc_core::token::Algorithm;
use oidc_core::verify::Presented;
use oidc_core::{Validation, Verifier};
use serde_json::{Value, json};

use super::{World, sha256};

#[tokio::test]
async fn a_proof_counts_once_remembered_token_or_not() {
    let world = World::new(DpopPolicy::default());
    let token = world.token();
    for _ in 0..2 {
        let proof = world.proof(&token);
        assert_eq!(world.dpop(&token, &proof).await, "accepted");
        assert_eq!(world.dpop(&token, &proof).await, "proof_replayed");
    }
    assert_eq!(world.verifier.cache_stats().hits, 3);
}

#[tokio::test]
async fn of_many_uses_at_once_one_counts() {
    let world = std::sync::Arc::new(World::new(DpopPolicy::default()));
    let token = world.token();
    let proof = world.proof(&token);
    let uses = (0..50).map(|_| {
        let (world, token, proof) = (world.clone(), token.clone(), proof.clone());
        tokio::spawn(async move { world.dpop(&token, &proof).await })
    });
    let mut accepted = 0;
    for one in uses.collect::<Vec<_>>() {
        accepted += usize::from(one.await.unwrap() == "accepted");
    }
    assert_eq!(accepted, 1);
}

#[tokio::test]
async fn the_same_jti_of_another_key_counts() {
    let mut world = World::new(DpopPolicy::default());
    for n in 0..2 {
        world.key = std::sync::Arc::new(TestKey::nth(n, Algorithm::ES256));
        let token = world.token();
        let mut claims = world.claims(&token);
        claims["jti"] = json!("1");
        let proof = world.sign(&world.header(), &claims);
        assert_eq!(world.dpop(&token, &proof).await, "accepted");
        assert_eq!(world.dpop(&token, &proof).await, "proof_replayed");
    }
}

#[tokio::test]
async fn each_member_of_the_header_is_checked() {
    let world = World::new(DpopPolicy::default());
    let token = world.token();
    let mut private = world.key.jwk();
    private["d"] = json!("AAAA");
    let mut symmetric = world.key.jwk();
    symmetric["k"] = json!("AAAA");
    let stranger = TestKey::nth(8, Algorithm::ES256).jwk();
    let mut wrong_alg = world.key.jwk();
    wrong_alg["alg"] = json!("ES384");
    for (member, value, code) in [
        ("typ", json!("JWT"), "proof_wrong_type"),
        ("typ", json!("at+jwt"), "proof_wrong_type"),
        ("typ", Value::Null, "proof_wrong_type"),
        ("typ", json!("application/dpop+jwt"), "accepted"),
        ("alg", json!("none"), "proof_algorithm_not_allowed"),
        ("alg", json!("HS256"), "proof_algorithm_not_allowed"),
        ("alg", json!("ES384"), "proof_unusable_key"),
        ("alg", Value::Null, "proof_malformed"),
        ("jwk", Value::Null, "proof_malformed"),
        ("jwk", json!("key"), "proof_malformed"),
        ("jwk", json!({}), "proof_unusable_key"),
        ("jwk", json!({"kty": "oct"}), "proof_unusable_key"),
        ("jwk", private, "proof_private_key"),
        ("jwk", symmetric, "proof_private_key"),
        ("jwk", stranger, "proof_wrong_key"),
        ("jwk", wrong_alg, "proof_unusable_key"),
        ("jku", json!("https://evil.test/jwks"), "proof_malformed"),
        ("x5c", json!([]), "proof_malformed"),
        ("crit", json!(["x"]), "proof_malformed"),
        ("kid", json!("anything"), "accepted"),
    ] {
        let mut header = world.header();
        match value {
            Value::Null => header.remove(member),
            ref value => header.insert(member.to_owned(), value.clone()),
        };
        let proof = world.sign(&header, &world.claims(&token));
        assert_eq!(world.dpop(&token, &proof).await, code, "{member}: {value}");
    }
}

#[tokio::test]
async fn each_claim_is_checked() {
    let world = World::new(DpopPolicy::default());
    let token = world.token();
    let now = world.issuer.now();
    for (claim, value, code) in [
        ("htm", json!("POST"), "proof_wrong_method"),
        ("htm", json!("get"), "proof_wrong_method"),
        ("htm", Value::Null, "proof_wrong_method"),
        ("htu", json!("https://api.example/models/churn?v=2#x"), "accepted"),
        ("htu", json!("HTTPS://API.example:443/models/./%63hurn"), "accepted"),
        ("htu", json!("https://api.example/models/other"), "proof_wrong_target"),
        ("htu", json!("http://api.example/models/churn"), "proof_wrong_target"),
        ("htu", json!("https://evil.test/models/churn"), "proof_wrong_target"),
        ("htu", json!(["https://api.example/models/churn"]), "proof_wrong_target"),
        ("htu", Value::Null, "proof_wrong_target"),
        ("ath", json!(sha256(b"another token")), "proof_wrong_token"),
        ("ath", json!(1), "proof_wrong_token"),
        ("ath", Value::Null, "proof_wrong_token"),
        ("iat", json!(now - 70), "accepted"),
        ("iat", json!(now - 71), "proof_too_old"),
        ("iat", json!(now + 10), "accepted"),
        ("iat", json!(now + 11), "proof_from_future"),
        ("iat", json!("now"), "proof_malformed"),
        ("iat", Value::Null, "proof_malformed"),
        ("jti", json!(""), "proof_malformed"),
        ("jti", json!(1), "proof_malformed"),
        ("jti", Value::Null, "proof_malformed"),
        ("nonce", json!("not asked for"), "accepted"),
    ] {
        let mut claims = world.claims(&token);
        match value {
            Value::Null => claims.remove(claim),
            ref value => claims.insert(claim.to_owned(), value.clone()),
        };
        let proof = world.sign(&world.header(), &claims);
        assert_eq!(world.dpop(&token, &proof).await, code, "{claim}: {value}");
    }
}

#[tokio::test]
async fn a_proof_that_was_altered_or_is_none_does_not_hold() {
    let world = World::new(DpopPolicy::default());
    let token = world.token();
    let proof = world.proof(&token);
    let (message, _) = proof.rsplit_once('.').unwrap();
    let other = world.proof(&token);
    let (_, signature) = other.rsplit_once('.').unwrap();
    for (proof, code) in [
        (format!("{message}.{signature}"), "proof_bad_signature"),
        (format!("{message}."), "proof_malformed"),
        (format!("{proof}="), "proof_malformed"),
        (String::new(), "proof_malformed"),
        ("a.b.c".to_owned(), "proof_malformed"),
        ("x".repeat(20_000), "proof_malformed"),
        // An access token is not a proof.
        (world.issuer.access_token("api"), "proof_malformed"),
    ] {
        assert_eq!(world.dpop(&token, &proof).await, code, "{proof:.60}");
    }
    // An invalid proof is not remembered: the valid one is still accepted.
    assert_eq!(world.dpop(&token, &proof).await, "accepted");
}

#[tokio::test]
async fn a_proof_with_one_letter_changed_does_not_hold() {
    let world = World::new(DpopPolicy::default());
    let token = world.token();
    let proof = world.proof(&token);
    for at in 0..proof.len() {
        let mut letters = proof.clone().into_bytes();
        letters[at] = if letters[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(letters).unwrap();
        let code = world.dpop(&token, &altered).await;
        assert!(code.starts_with("proof_"), "{at}: {code}");
    }
    assert_eq!(world.dpop(&token, &proof).await, "accepted");
}

#[tokio::test]
async fn scheme_and_binding_belong_together() {
    let world = World::new(DpopPolicy::default());
    let bound = world.token();
    assert_eq!(world.code(&Presented::bearer(&bound)).await, "proof_missing");
    assert_eq!(world.verifier.access_token(&bound).await.unwrap_err().code(), "sender_constrained");
    let plain = world.issuer.access_token("api");
    let proof = world.proof(&plain);
    assert_eq!(world.dpop(&plain, &proof).await, "not_bound");
    // The proof of another token of the same key.
    let proof = world.proof(&plain);
    assert_eq!(world.dpop(&bound, &proof).await, "proof_wrong_token");
}

#[tokio::test]
async fn without_a_policy_no_bound_token_is_accepted() {
    let mut world = World::new(DpopPolicy::default());
    let validation = Validation::new(world.issuer.issuer(), "api");
    world.verifier =
        Verifier::new(validation, world.issuer.keys()).with_clock(world.issuer.clock());
    let token = world.token();
    let proof = world.proof(&token);
    assert_eq!(world.dpop(&token, &proof).await, "dpop_not_accepted");
    assert_eq!(world.verifier.dpop_nonce(), None);
}

#[tokio::test]
async fn an_invalid_token_is_refused_before_its_proof() {
    let world = World::new(DpopPolicy::default());
    let token = world.token();
    let proof = world.proof(&token);
    world.issuer.clock().advance(Duration::from_secs(3600));
    assert_eq!(world.dpop(&token, &proof).await, "expired");
}

#[tokio::test]
async fn every_kind_of_key_can_prove() {
    for algorithm in [Algorithm::ES384, Algorithm::ES512] {
        let mut world = World::new(DpopPolicy::default());
        world.key = std::sync::Arc::new(TestKey::nth(1, algorithm));
        let token = world.token();
        let mut header = world.header();
        header["alg"] = json!(algorithm.as_str());
        let proof = world.sign(&header, &world.claims(&token));
        assert_eq!(world.dpop(&token, &proof).await, "accepted", "{algorithm}");
    }
}

#[tokio::test]
async fn a_nonce_is_asked_for_and_takes_the_place_of_the_clock() {
    let policy = DpopPolicy::default().with_shared_nonces(Duration::from_secs(60), &[1; 32]);
    let world = World::new(policy);
    let clock = world.issuer.clock();
    let token = world.token();
    let with = |nonce: Option<&str>, iat: u64| {
        let mut claims = world.claims(&token);
        claims["iat"] = json!(iat);
        claims.extend(nonce.map(|nonce| ("nonce".to_owned(), json!(nonce))));
        world.sign(&world.header(), &claims)
    };
    let now = world.issuer.now();
    let refusal = world
        .verifier
        .presented(&Presented::dpop(&token, &with(None, now), &Method::GET, &world.url))
        .await
        .unwrap_err();
    assert_eq!(refusal, ProofRefusal::NonceNeeded.into());

    let nonce = world.verifier.dpop_nonce().unwrap();
    assert_eq!(world.dpop(&token, &with(Some("made up"), now)).await, "proof_nonce_needed");
    // A client whose clock is an hour off.
    assert_eq!(world.dpop(&token, &with(Some(&nonce), now - 3600)).await, "accepted");
    clock.advance(Duration::from_secs(60));
    assert_ne!(world.verifier.dpop_nonce().unwrap(), nonce);
    assert_eq!(world.dpop(&token, &with(Some(&nonce), now)).await, "accepted");
    clock.advance(Duration::from_secs(60));
    assert_eq!(world.dpop(&token, &with(Some(&nonce), now)).await, "proof_nonce_needed");
}
