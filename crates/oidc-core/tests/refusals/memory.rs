//! The memory of verified tokens.

use std::sync::Arc;
use std::time::Duration;

use oidc_core::testing::TestIssuer;
use oidc_core::token::Algorithm;
use oidc_core::verify::AssertionVerifier;
use oidc_core::{Validation, Verifier};

use super::{AUDIENCE, World};

#[tokio::test]
async fn a_remembered_token_is_still_held_to_time_and_keys() {
    let world = World::with(TestIssuer::with_algorithm(Algorithm::ES256), |v| v);
    let token = world.issuer.access_token(AUDIENCE);
    assert!(world.verifier.recall(&token).is_err());
    let first = world.verifier.access_token(&token).await.unwrap();
    let again = world.verifier.access_token(&token).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(world.verifier.cache_stats().hits, 1);

    world.issuer.clock().advance(Duration::from_secs(331));
    assert!(world.verifier.recall(&token).is_err());
    assert_eq!(world.code(&token).await, "expired");

    let token = world.issuer.access_token(AUDIENCE);
    world.verifier.access_token(&token).await.unwrap();
    assert!(world.verifier.recall(&token).is_ok());
    world.verifier.forget_all();
    assert!(world.verifier.recall(&token).is_err());

    // A token with one more byte is another token.
    world.verifier.access_token(&token).await.unwrap();
    assert!(world.verifier.recall(&format!("{token}A")).is_err());
}

fn assertions_of(world: &World) -> AssertionVerifier {
    let rules = Validation::new(world.issuer.issuer(), AUDIENCE);
    AssertionVerifier::new(rules, world.issuer.keys()).with_clock(world.issuer.clock())
}

#[tokio::test]
async fn an_assertion_is_remembered_and_held_to_time_and_keys_too() {
    let world = World::with(TestIssuer::with_algorithm(Algorithm::ES256), |v| v);
    let verifier = assertions_of(&world);
    let assertion = world.issuer.id_token(AUDIENCE, None);
    let first = verifier.assertion(&assertion).await.unwrap();
    let again = verifier.assertion(&assertion).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again));

    let other = world.issuer.id_token("elsewhere", None);
    assert_eq!(verifier.assertion(&other).await.unwrap_err().code(), "wrong_audience");
    assert!(verifier.recall(&other).is_err(), "only what is good is remembered");

    world.issuer.clock().advance(Duration::from_secs(331));
    assert!(verifier.recall(&assertion).is_err());
    assert_eq!(verifier.assertion(&assertion).await.unwrap_err().code(), "expired");

    let assertion = world.issuer.id_token(AUDIENCE, None);
    verifier.assertion(&assertion).await.unwrap();
    verifier.forget_all();
    assert!(verifier.recall(&assertion).is_err());

    let forgetful = assertions_of(&world).with_cache(0);
    forgetful.assertion(&assertion).await.unwrap();
    assert!(forgetful.recall(&assertion).is_err());
}

#[tokio::test]
async fn a_remembered_token_of_one_kind_is_none_of_the_other() {
    let world = World::with(TestIssuer::with_algorithm(Algorithm::ES256), |v| v);
    let assertions = assertions_of(&world);
    let (token, assertion) =
        (world.issuer.access_token(AUDIENCE), world.issuer.id_token(AUDIENCE, None));
    world.verifier.access_token(&token).await.unwrap();
    assertions.assertion(&assertion).await.unwrap();
    assert!(world.verifier.recall(&assertion).is_err());
    assert_eq!(world.code(&assertion).await, "wrong_type");
    let unverified = assertions.recall(&token).unwrap_err();
    assert_eq!(assertions.verify(unverified).await.unwrap_err().code(), "wrong_type");
    // Nor does it matter in which memory it was looked up.
    let unverified = world.verifier.recall(&assertion).unwrap_err();
    assert!(assertions.verify(unverified).await.is_ok());
}

#[tokio::test]
async fn parts_of_two_remembered_tokens_make_no_third() {
    for algorithm in Algorithm::ALL {
        let world = World::with(TestIssuer::with_algorithm(algorithm), |v| v);
        let tokens = [(); 2].map(|()| world.issuer.access_token(AUDIENCE));
        for token in &tokens {
            assert_eq!(world.code(token).await, "accepted", "{algorithm}");
        }
        let [(signed, _), (_, signature)] =
            tokens.each_ref().map(|it| it.rsplit_once('.').unwrap());
        let mixed = format!("{signed}.{signature}");
        assert!(world.verifier.recall(&mixed).is_err());
        assert_eq!(world.code(&mixed).await, "bad_signature", "{algorithm}");
    }
}

#[tokio::test]
async fn verifiers_do_not_share_what_they_remember() {
    let world = World::new();
    let other = Verifier::new(Validation::new(world.issuer.issuer(), "other"), world.issuer.keys())
        .with_clock(world.issuer.clock());
    let token = world.issuer.access_token(AUDIENCE);
    assert_eq!(world.code(&token).await, "accepted");
    assert_eq!(other.access_token(&token).await.unwrap_err().code(), "wrong_audience");
}
