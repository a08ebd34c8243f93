//! Accepted algorithms: those that the issuer announces, or those that the rules name.
//!
//! Tokio's time is paused: it advances only when every task waits.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap or index is a failed test"
)]

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use oidc_core::keys::{JwkSet, KeySource, RemoteKeys, StaticKeys};
use oidc_core::testing::TestIssuer;
use oidc_core::token::Algorithm;
use oidc_core::verify::IdTokenExpectations;
use oidc_core::{TokenRefusal, Validation, Verifier};
use serde_json::{Value, json};
use tokio::time::sleep;

const AUDIENCE: &str = "hub";
const MEMBER: &str = "id_token_signing_alg_values_supported";

struct World {
    issuer: TestIssuer,
    keys: RemoteKeys,
    verifier: Verifier,
}

impl World {
    /// An RSA key without `alg`, so that it fits six algorithms, of an issuer that announces these
    /// names.
    fn announcing(names: Value) -> Self {
        Self::with(names, |rules| rules)
    }

    fn with(names: Value, rules: impl FnOnce(Validation) -> Validation) -> Self {
        let issuer = TestIssuer::new();
        issuer.set_metadata(MEMBER, names);
        publish_without_alg(&issuer);
        let keys = RemoteKeys::new(issuer.provider());
        let rules = rules(Validation::new(issuer.issuer(), AUDIENCE));
        let verifier = Verifier::new(rules, Arc::new(keys.clone())).with_clock(issuer.clock());
        Self { issuer, keys, verifier }
    }

    /// Claims signed by the issuer's key with this algorithm.
    fn signed(&self, algorithm: Algorithm, kid: Option<&str>, claims: &Value) -> String {
        let key = self.issuer.signing_key();
        let mut header = json!({"alg": algorithm.as_str(), "typ": "JWT"});
        if let Some(kid) = kid {
            header["kid"] = json!(kid);
        }
        let message =
            format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
        format!("{message}.{}", B64.encode(key.sign(algorithm, message.as_bytes())))
    }

    fn access(&self, algorithm: Algorithm) -> String {
        let kid = self.issuer.signing_key().id().to_owned();
        self.signed(algorithm, Some(&kid), &self.issuer.claims(AUDIENCE))
    }

    async fn code(&self, token: &str) -> &'static str {
        self.verifier.access_token(token).await.err().map_or("accepted", |refusal| refusal.code())
    }

    /// The verdicts on an access, an ID and a logout token.
    async fn codes(&self, algorithm: Algorithm) -> [&'static str; 3] {
        let kid = self.issuer.signing_key().id().to_owned();
        let signed = |claims: &Value| self.signed(algorithm, Some(&kid), claims);
        let id = signed(&self.issuer.id_claims(AUDIENCE, None));
        let logout = signed(&self.issuer.logout_claims(AUDIENCE));
        let expected = IdTokenExpectations::default();
        let id = self.verifier.id_token(&id, &expected).await.err();
        let logout = self.verifier.logout_token(&logout).await.err();
        let code = |refusal: Option<TokenRefusal>| refusal.map_or("accepted", |one| one.code());
        [self.code(&self.access(algorithm)).await, code(id), code(logout)]
    }
}

fn publish_without_alg(issuer: &TestIssuer) {
    let mut jwks: Value = serde_json::from_str(&issuer.jwks()).unwrap();
    for key in jwks["keys"].as_array_mut().unwrap() {
        key.as_object_mut().unwrap().remove("alg");
    }
    issuer.answer("jwks", 200, jwks.to_string());
}

const RSA: [Algorithm; 3] = [Algorithm::RS256, Algorithm::PS256, Algorithm::RS512];

#[tokio::test(start_paused = true)]
async fn only_announced_algorithms_are_accepted() {
    for (names, allowed) in [
        (json!(["RS256"]), vec![Algorithm::RS256]),
        (json!(["PS256"]), vec![Algorithm::PS256]),
        (json!(["none", "HS256", "PS256", "RS512"]), vec![Algorithm::PS256, Algorithm::RS512]),
        (json!([]), RSA.to_vec()),
        (Value::Null, RSA.to_vec()),
    ] {
        let world = World::announcing(names.clone());
        for algorithm in RSA {
            let expected =
                if allowed.contains(&algorithm) { "accepted" } else { "algorithm_not_allowed" };
            assert_eq!(world.codes(algorithm).await, [expected; 3], "{names} {algorithm}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_algorithm_says_what_is_announced() {
    let world = World::announcing(json!(["PS256", "ES256"]));
    let refusal = world.verifier.access_token(&world.access(Algorithm::RS256)).await.unwrap_err();
    assert_eq!(
        refusal,
        TokenRefusal::AlgorithmNotAllowed {
            alg: "RS256".to_owned(),
            allowed: vec![Algorithm::PS256, Algorithm::ES256],
        }
    );
    assert!(refusal.to_string().contains("signed with RS256"), "{refusal}");
    assert!(refusal.to_string().contains("sign with PS256 or ES256"), "{refusal}");
}

#[tokio::test(start_paused = true)]
async fn rules_that_name_algorithms_win_over_the_announced() {
    for names in [json!(["RS256"]), json!(["HS256"]), Value::Null] {
        let world = World::with(names.clone(), |rules| rules.with_algorithms([Algorithm::PS256]));
        assert_eq!(world.codes(Algorithm::PS256).await, ["accepted"; 3], "{names}");
        assert_eq!(world.codes(Algorithm::RS256).await, ["algorithm_not_allowed"; 3], "{names}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_algorithm_in_common_is_said_plainly() {
    for names in [json!(["HS256", "none"]), json!(["ES256K"]), json!(["rs256", "RS256 "])] {
        let world = World::announcing(names.clone());
        let token = world.access(Algorithm::RS256);
        let refusal = world.verifier.access_token(&token).await.unwrap_err();
        assert!(refusal.is_unavailable(), "{names}: {refusal}");
        let reason = refusal.to_string();
        let first = names[0].as_str().unwrap();
        for part in [first, MEMBER, "accepted here are", "RS256, RS384"] {
            assert!(reason.contains(part), "{names}: {reason}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_unannounced_algorithm_causes_no_fetch() {
    let world = World::announcing(json!(["RS256"]));
    assert_eq!(world.code(&world.access(Algorithm::RS256)).await, "accepted");
    world.issuer.reset_requests();
    for _ in 0..50 {
        let claims = world.issuer.claims(AUDIENCE);
        assert_eq!(world.code(&world.access(Algorithm::PS256)).await, "algorithm_not_allowed");
        let nameless = world.signed(Algorithm::PS256, None, &claims);
        assert_eq!(world.code(&nameless).await, "algorithm_not_allowed");
    }
    assert_eq!(world.issuer.requests(""), 0);
    // An unknown key may come with an unannounced algorithm; its fetches are limited like those of
    // every unknown key.
    for n in 0..50 {
        let claims = world.issuer.claims(AUDIENCE);
        let junk = world.signed(Algorithm::PS256, Some(&format!("junk-{n}")), &claims);
        assert_eq!(world.code(&junk).await, "algorithm_not_allowed");
    }
    assert_eq!(world.issuer.requests("jwks"), 1);
    assert_eq!(world.issuer.requests("openid-configuration"), 0);
}

#[tokio::test(start_paused = true)]
async fn an_algorithm_outside_the_rules_is_refused_before_any_fetch() {
    let world = World::with(Value::Null, |rules| rules.with_algorithms([Algorithm::ES256]));
    for kid in [Some("unheard-of"), None] {
        let token = world.signed(Algorithm::RS256, kid, &world.issuer.claims(AUDIENCE));
        assert_eq!(world.code(&token).await, "algorithm_not_allowed");
    }
    assert_eq!(world.issuer.requests(""), 0);
}

#[tokio::test(start_paused = true)]
async fn remembered_tokens_are_checked_again_when_the_list_changes() {
    let world = World::announcing(json!(["RS256", "PS256"]));
    let token = world.access(Algorithm::RS256);
    assert_eq!(world.code(&token).await, "accepted");
    let generation = world.keys.generation();
    world.keys.refresh_now().await.unwrap();
    assert_eq!(world.keys.generation(), generation, "nothing changed");
    world.issuer.set_metadata(MEMBER, json!(["PS256", "RS256"]));
    sleep(Duration::from_secs(2 * 3600)).await;
    assert_eq!(world.keys.generation(), generation, "the order says nothing");

    let token = world.access(Algorithm::RS256);
    assert_eq!(world.code(&token).await, "accepted");
    world.issuer.set_metadata(MEMBER, json!(["PS256"]));
    sleep(Duration::from_secs(2 * 3600)).await;
    assert_ne!(world.keys.generation(), generation);
    assert!(world.verifier.recall(&token).is_err());
    assert_eq!(world.code(&token).await, "algorithm_not_allowed");
}

#[tokio::test(start_paused = true)]
async fn a_new_key_with_a_new_algorithm_is_accepted_at_once() {
    let world = World::announcing(json!(["RS256"]));
    assert_eq!(world.code(&world.access(Algorithm::RS256)).await, "accepted");
    // The issuer signs with ES256 from now on, and announces it.
    let next = TestIssuer::named(world.issuer.issuer().as_str(), Algorithm::ES256);
    world.issuer.answer("jwks", 200, next.jwks());
    world.issuer.set_metadata(MEMBER, json!(["ES256"]));
    world.issuer.reset_requests();
    let mut claims = next.claims(AUDIENCE);
    claims["iss"] = json!(world.issuer.issuer().as_str());
    let token = next.sign_with(&next.header(), &claims);
    assert_eq!(world.code(&token).await, "accepted");
    assert_eq!(world.issuer.requests("openid-configuration"), 1);
    // An unannounced algorithm stays refused however often the keys are fetched, and causes no
    // discovery.
    let world = World::announcing(json!(["RS256"]));
    assert_eq!(world.code(&world.access(Algorithm::RS256)).await, "accepted");
    world.issuer.answer("jwks", 200, next.jwks());
    world.issuer.reset_requests();
    assert_eq!(world.code(&token).await, "algorithm_not_allowed");
    for _ in 0..5 {
        world.keys.refresh_now().await.unwrap();
        assert_eq!(world.code(&token).await, "algorithm_not_allowed");
    }
    assert_eq!(world.issuer.requests("openid-configuration"), 1);
}

#[tokio::test]
async fn keys_that_are_given_come_with_every_algorithm() {
    let issuer = TestIssuer::new();
    issuer.set_metadata(MEMBER, json!(["PS256"]));
    let keys = StaticKeys::new(JwkSet::parse(issuer.jwks().as_bytes()).unwrap());
    let rules = Validation::new(issuer.issuer(), AUDIENCE);
    let verifier = Verifier::new(rules, Arc::new(keys)).with_clock(issuer.clock());
    assert!(verifier.access_token(&issuer.access_token(AUDIENCE)).await.is_ok());
}
