//! Several issuers in one verifier: each with its own rules and keys, and `iss` alone chooses.

use std::sync::Arc;

use oidc_core::keys::RemoteKeys;
use oidc_core::testing::TestIssuer;
use oidc_core::token::Algorithm;
use oidc_core::verify::Profile;
use oidc_core::{Validation, Verifier};
use serde_json::json;

struct World {
    people: TestIssuer,
    jobs: TestIssuer,
    verifier: Verifier,
}

impl World {
    /// Two issuers whose keys have the same `kid`.
    fn new() -> Self {
        let people = TestIssuer::named("https://people.test/realms/lab", Algorithm::ES256);
        let jobs = TestIssuer::named("https://jobs.test/realms/lab", Algorithm::ES256);
        assert_eq!(people.signing_key().id(), jobs.signing_key().id());
        let verifier = Verifier::new(Validation::new(people.issuer(), "hub"), people.keys())
            .with_issuer(Validation::new(jobs.issuer(), "scoring"), jobs.keys())
            .with_clock(people.clock());
        Self { people, jobs, verifier }
    }

    async fn code(&self, token: &str) -> &'static str {
        self.verifier.access_token(token).await.err().map_or("accepted", |refusal| refusal.code())
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_kid_at_two_issuers_names_two_keys() {
    let world = World::new();
    let (person, job) = (world.people.access_token("hub"), world.jobs.access_token("scoring"));
    for _ in 0..2 {
        assert_eq!(world.code(&person).await, "accepted");
        assert_eq!(world.code(&job).await, "accepted");
    }
    let forged = world.jobs.sign(&world.people.claims("hub"));
    assert_eq!(world.code(&forged).await, "bad_signature", "says people, signed by jobs");
    let forged = world.people.sign(&world.jobs.claims("scoring"));
    assert_eq!(world.code(&forged).await, "bad_signature", "says jobs, signed by people");
    assert_eq!(world.people.requests("jwks"), 1);
    assert_eq!(world.jobs.requests("jwks"), 1);
}

#[tokio::test(start_paused = true)]
async fn each_issuer_has_its_own_rules() {
    let world = World::new();
    assert_eq!(world.code(&world.people.access_token("scoring")).await, "wrong_audience");
    assert_eq!(world.code(&world.jobs.access_token("hub")).await, "wrong_audience");
    let strict = Validation::new(world.jobs.issuer(), "scoring").with_profile(Profile::Rfc9068);
    let verifier = world.verifier.clone().with_issuer(strict, world.jobs.keys());
    assert_eq!(verifier.issuers().count(), 2, "named again, it is judged by what is said last");
    let refusal = verifier.access_token(&world.jobs.access_token("scoring")).await.unwrap_err();
    assert_eq!(refusal.code(), "wrong_type");
    assert!(verifier.access_token(&world.people.access_token("hub")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_untrusted_issuer_is_refused_before_any_key_lookup() {
    let world = World::new();
    let stranger = TestIssuer::named("https://elsewhere.test/realms/lab", Algorithm::ES256);
    for (iss, code) in [
        (json!("https://elsewhere.test/realms/lab"), "wrong_issuer"),
        (json!("https://people.test/realms/lab/"), "wrong_issuer"),
        (json!("https://people.test/realms/la"), "wrong_issuer"),
        (json!(""), "wrong_issuer"),
        (json!(null), "missing_claim"),
        (json!(["https://people.test/realms/lab"]), "missing_claim"),
    ] {
        let mut claims = stranger.claims("hub");
        claims.as_object_mut().unwrap().insert("iss".to_owned(), iss.clone());
        assert_eq!(world.code(&stranger.sign(&claims)).await, code, "{iss}");
    }
    let mut claims = stranger.claims("hub");
    claims.as_object_mut().unwrap().remove("iss");
    assert_eq!(world.code(&stranger.sign(&claims)).await, "missing_claim");
    // Two parsers could read different issuers here.
    let twice = r#"{"iss":"https://people.test/realms/lab","iss":"https://jobs.test/realms/lab"}"#;
    let header = world.people.header().to_string();
    let twice = world.people.sign_raw(header.as_bytes(), twice.as_bytes());
    assert_eq!(world.code(&twice).await, "malformed");
    assert_eq!(world.people.requests("") + world.jobs.requests(""), 0);

    let refusal = world.verifier.access_token(&stranger.access_token("hub")).await.unwrap_err();
    let expected = "expected https://people.test/realms/lab or https://jobs.test/realms/lab";
    assert!(refusal.to_string().contains(expected), "{refusal}");
}

#[tokio::test(start_paused = true)]
async fn one_issuer_that_is_down_harms_no_other() {
    let world = World::new();
    world.jobs.fail(oidc_core::testing::Fault::Down);
    assert_eq!(world.code(&world.jobs.access_token("scoring")).await, "keys_unavailable");
    assert_eq!(world.code(&world.people.access_token("hub")).await, "accepted");
}

#[tokio::test(start_paused = true)]
async fn a_remembered_token_ends_with_its_issuers_keys() {
    let people = TestIssuer::named("https://people.test/realms/lab", Algorithm::ES256);
    let jobs = TestIssuer::named("https://jobs.test/realms/lab", Algorithm::ES256);
    let keys = RemoteKeys::new(jobs.provider());
    let verifier = Verifier::new(Validation::new(people.issuer(), "hub"), people.keys())
        .with_issuer(Validation::new(jobs.issuer(), "hub"), Arc::new(keys.clone()))
        .with_clock(people.clock());
    let (person, job) = (people.access_token("hub"), jobs.access_token("hub"));
    verifier.access_token(&person).await.unwrap();
    verifier.access_token(&job).await.unwrap();
    jobs.rotate();
    jobs.remove_old_keys();
    keys.refresh_now().await.unwrap();
    assert!(verifier.recall(&job).is_err());
    assert!(verifier.recall(&person).is_ok());
    assert_eq!(verifier.access_token(&job).await.unwrap_err().code(), "unknown_key");
}

#[tokio::test(start_paused = true)]
async fn verifiers_that_grew_from_one_share_nothing_they_remember() {
    let people = TestIssuer::named("https://people.test/realms/lab", Algorithm::ES256);
    let jobs = TestIssuer::named("https://jobs.test/realms/lab", Algorithm::ES256);
    let base = Verifier::new(Validation::new(people.issuer(), "hub"), people.keys())
        .with_clock(people.clock());
    let keys = jobs.keys();
    let wide = base.clone().with_issuer(Validation::new(jobs.issuer(), "any"), Arc::clone(&keys));
    let narrow = base.with_issuer(Validation::new(jobs.issuer(), "scoring"), keys);
    let token = jobs.access_token("any");
    assert!(wide.access_token(&token).await.is_ok());
    assert!(narrow.recall(&token).is_err());
    assert_eq!(narrow.access_token(&token).await.unwrap_err().code(), "wrong_audience");
}

#[tokio::test(start_paused = true)]
async fn a_verifier_takes_over_tokens_of_unchanged_issuers_only() {
    let (people, jobs) = (
        TestIssuer::named("https://people.test/realms/lab", Algorithm::ES256),
        TestIssuer::named("https://jobs.test/realms/lab", Algorithm::ES256),
    );
    let (people_keys, jobs_keys) = (people.keys(), jobs.keys());
    let rules = |issuer: &TestIssuer| Validation::new(issuer.issuer(), "hub");
    let before = Verifier::new(rules(&people), people_keys.clone())
        .with_issuer(rules(&jobs), jobs_keys.clone())
        .with_clock(people.clock());
    let (person, job) = (people.access_token("hub"), jobs.access_token("hub"));
    before.access_token(&person).await.unwrap();
    before.access_token(&job).await.unwrap();
    let remembered =
        |verifier: &Verifier| (verifier.recall(&person).is_ok(), verifier.recall(&job).is_ok());
    assert_eq!(remembered(&before), (true, true));

    // The other way round, so that each has another place.
    let swapped = || {
        Verifier::new(rules(&jobs), jobs_keys.clone())
            .with_issuer(rules(&people), people_keys.clone())
            .with_clock(people.clock())
    };
    assert_eq!(remembered(&swapped().with_memory_of(&before, |_| true)), (true, true));
    let changed = swapped().with_memory_of(&before, |issuer| *issuer == people.issuer());
    assert_eq!(remembered(&changed), (true, false), "other rules for jobs");
    let other_keys = Verifier::new(rules(&people), people.keys())
        .with_issuer(rules(&jobs), jobs_keys.clone())
        .with_clock(people.clock());
    other_keys.access_token(&people.access_token("hub")).await.unwrap();
    assert_eq!(remembered(&other_keys.with_memory_of(&before, |_| true)), (false, true));
    let without = Verifier::new(rules(&jobs), jobs_keys.clone()).with_clock(people.clock());
    assert_eq!(remembered(&without.with_memory_of(&before, |_| true)), (false, true));
    // A key that is gone ends what was taken over, as it ends the rest.
    let after = swapped().with_memory_of(&before, |_| true);
    people.rotate();
    after.access_token(&people.access_token("hub")).await.unwrap();
    assert_eq!(remembered(&after), (false, true));
}
