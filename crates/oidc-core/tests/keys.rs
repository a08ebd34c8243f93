//! Fetching and keeping keys: invalid tokens do not flood the provider, one token's fetch does not
//! delay other tokens, and an outage of the provider does not stop verification with known keys.
//!
//! Tokio's time is paused: it advances only when every task waits. The same over a socket is in
//! `provider.rs`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use oidc_core::http::{Http, HttpError};
use oidc_core::keys::{KeyPolicy, KeySource, KeyStatus, RemoteKeys};
use oidc_core::provider::{Provider, ProviderPolicy};
use oidc_core::testing::{Fault, TestIssuer};
use oidc_core::token::Algorithm;
use oidc_core::verify::IdTokenExpectations;
use oidc_core::{Validation, Verifier};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::{Instant, advance, sleep, timeout};

const AUDIENCE: &str = "hub";

struct World {
    issuer: TestIssuer,
    keys: RemoteKeys,
    verifier: Verifier,
}

impl World {
    fn new() -> Self {
        Self::with(TestIssuer::with_algorithm(Algorithm::ES256), KeyPolicy::default())
    }

    fn with(issuer: TestIssuer, policy: KeyPolicy) -> Self {
        let keys = RemoteKeys::new(issuer.provider()).with_policy(policy);
        let verifier =
            Verifier::new(Validation::new(issuer.issuer(), AUDIENCE), Arc::new(keys.clone()))
                .with_clock(issuer.clock());
        Self { issuer, keys, verifier }
    }

    async fn code(&self, token: &str) -> &'static str {
        self.verifier.access_token(token).await.err().map_or("accepted", |refusal| refusal.code())
    }

    fn unknown_kid(&self, kid: &str) -> String {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": kid});
        self.issuer.sign_with(&header, &self.issuer.claims(AUDIENCE))
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_kids_causes_one_fetch() {
    let world = World::new();
    let good = world.issuer.access_token(AUDIENCE);
    assert_eq!(world.code(&good).await, "accepted");
    assert_eq!(world.issuer.requests("jwks"), 1);
    for n in 0..300 {
        assert_eq!(world.code(&world.unknown_kid(&format!("junk-{n}"))).await, "unknown_key");
    }
    assert_eq!(world.issuer.requests("jwks"), 2, "one to begin with, one for junk");
    assert_eq!(world.code(&good).await, "accepted");

    advance(Duration::from_secs(10)).await;
    for n in 0..2_000 {
        world.code(&world.unknown_kid(&format!("more-junk-{n}"))).await;
    }
    assert_eq!(world.issuer.requests("jwks"), 3, "one more for ten seconds more");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_kids_at_once_causes_one_fetch() {
    let world = Arc::new(World::new());
    assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
    let calls = (0..300).map(|n| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.code(&world.unknown_kid(&format!("junk-{n}"))).await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), "unknown_key");
    }
    assert_eq!(world.issuer.requests("jwks"), 2, "one to begin with, one for junk");
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_asked_for_just_now_are_not_asked_for_again() {
    let world = World::new();
    assert_eq!(world.code(&world.unknown_kid("junk")).await, "unknown_key");
    assert_eq!(world.issuer.requests("jwks"), 1, "the first answer was good enough");
}

#[tokio::test(start_paused = true)]
async fn bad_signatures_under_a_known_kid_cause_no_fetch() {
    let world = World::new();
    let good = world.issuer.access_token(AUDIENCE);
    assert_eq!(world.code(&good).await, "accepted");
    let stranger = TestIssuer::named("https://issuer.test/realms/lab", Algorithm::ES256);
    for _ in 0..100 {
        let forged = stranger.sign_with(&world.issuer.header(), &world.issuer.claims(AUDIENCE));
        assert_eq!(world.code(&forged).await, "bad_signature");
    }
    assert_eq!(world.issuer.requests("jwks"), 1);
    assert_eq!(world.issuer.requests("openid-configuration"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_without_an_issuer_causes_no_fetch() {
    let world = World::new();
    let mut claims = world.issuer.claims(AUDIENCE);
    claims.as_object_mut().unwrap().remove("iss");
    assert_eq!(world.code(&world.issuer.sign(&claims)).await, "missing_claim");
    let unread = world.issuer.sign_raw(br#"{"alg":"ES256","kid":"new"}"#, b"no claims");
    assert_eq!(world.code(&unread).await, "malformed");
    assert_eq!(world.issuer.requests(""), 0);

    assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
    let header = json!({"alg": "ES256", "typ": "JWT", "kid": "new"});
    assert_eq!(world.code(&world.issuer.sign_with(&header, &claims)).await, "unknown_key");
    assert_eq!(world.code(&unread).await, "unknown_key");
    assert_eq!(world.issuer.requests("jwks"), 1);
}

/// `503` on `jwks`, then on everything: 100 verifications at once, and in each second of five minutes.
#[tokio::test(start_paused = true)]
async fn verifications_during_503_cause_one_fetch_a_step() {
    for (path, warm) in [("jwks", false), ("", false), ("jwks", true)] {
        let world = World::new();
        if warm {
            assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
        }
        world.issuer.fail_on(path, Fault::Status(503));
        world.issuer.reset_requests();
        let unheard = world.unknown_kid("unheard-of");
        let expected = if warm { "unknown_key" } else { "keys_unavailable" };
        let asked = || {
            let counted = if path.is_empty() { "openid-configuration" } else { path };
            world.issuer.requests(counted)
        };
        for _ in 0..100 {
            assert_eq!(world.code(&unheard).await, expected);
        }
        assert_eq!(asked(), 1, "{path}: the step before the first pause");
        // Pauses grow from 1 s to 4 s (30 s while older keys serve), less a quarter at most for jitter.
        let (mut seen, mut last, mut pause) = (1, Instant::now(), 0.75);
        for _ in 0..300 {
            sleep(Duration::from_secs(1)).await;
            for _ in 0..100 {
                world.code(&unheard).await;
            }
            let now = asked();
            assert!(now <= seen + 1, "{path}: {now} after {seen}");
            if now > seen {
                assert!(
                    last.elapsed().as_secs_f64() >= pause,
                    "{path} {warm}: {:?} {pause} {seen}",
                    last.elapsed()
                );
                (seen, last) = (now, Instant::now());
                pause = f64::min(2.0 * pause, if warm { 22.0 } else { 2.0 });
            }
        }
        assert!(seen >= if warm { 9 } else { 70 }, "{path}: it was asked again: {seen}");
    }
}

/// Answers three seconds late.
#[derive(Debug)]
struct Late(TestIssuer);

#[async_trait::async_trait]
impl Http for Late {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.0.send(request).await;
        sleep(Duration::from_secs(3)).await;
        answer
    }
}

#[tokio::test(start_paused = true)]
async fn a_known_kid_does_not_wait_for_a_refetch_of_three_seconds() {
    let issuer = TestIssuer::with_algorithm(Algorithm::ES256);
    let provider = Provider::new(issuer.issuer(), Arc::new(Late(issuer.clone())))
        .with_policy(ProviderPolicy::default().with_wait(Duration::from_secs(10)));
    let policy = KeyPolicy::default().with_wait(Duration::from_secs(10));
    let keys = RemoteKeys::new(provider).with_policy(policy);
    let verifier =
        Verifier::new(Validation::new(issuer.issuer(), AUDIENCE), Arc::new(keys.clone()))
            .with_clock(issuer.clock());
    verifier.access_token(&issuer.access_token(AUDIENCE)).await.unwrap();
    // Once because the keys grow old, once because of `refresh_now`.
    for by_age in [true, false] {
        issuer.reset_requests();
        if by_age {
            sleep(Duration::from_secs(200)).await;
        } else {
            let keys = keys.clone();
            tokio::spawn(async move { keys.refresh_now().await });
        }
        while issuer.requests("jwks") < 1 {
            sleep(Duration::from_millis(100)).await;
        }
        let begun = Instant::now();
        for _ in 0..100 {
            verifier.access_token(&issuer.access_token(AUDIENCE)).await.unwrap();
        }
        assert_eq!(begun.elapsed(), Duration::ZERO, "by age: {by_age}");
        sleep(Duration::from_secs(3)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn another_issuers_token_is_refused_without_a_fetch() {
    let world = World::new();
    let elsewhere = TestIssuer::named("https://elsewhere.test/realms/lab", Algorithm::ES256);
    let claims = elsewhere.claims(AUDIENCE);
    for kid in ["unheard-of", world.issuer.signing_key().id()] {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": kid});
        let foreign = elsewhere.sign_with(&header, &claims);
        assert_eq!(world.code(&foreign).await, "wrong_issuer", "{kid}");
        assert_eq!(world.issuer.requests("jwks"), 0, "{kid}");
    }
    // Once the key is known, its `kid` does not make a foreign signature valid.
    assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
    let borrowed = json!({"alg": "ES256", "typ": "JWT", "kid": world.issuer.signing_key().id()});
    assert_eq!(world.code(&elsewhere.sign_with(&borrowed, &claims)).await, "bad_signature");
    let unheard = json!({"alg": "ES256", "typ": "JWT", "kid": "unheard-of"});
    assert_eq!(world.code(&elsewhere.sign_with(&unheard, &claims)).await, "wrong_issuer");
    assert_eq!(world.issuer.requests("jwks"), 1, "its own only");
}

#[tokio::test(start_paused = true)]
async fn junk_does_not_hide_a_real_rotation_for_long() {
    let world = World::new();
    assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
    for n in 0..100 {
        world.code(&world.unknown_kid(&format!("junk-{n}"))).await;
    }
    world.issuer.rotate();
    let token = world.issuer.access_token(AUDIENCE);
    assert_eq!(world.code(&token).await, "unknown_key");
    advance(Duration::from_secs(10)).await;
    assert_eq!(world.code(&token).await, "accepted");
}

#[tokio::test(start_paused = true)]
async fn quick_rotations_are_seen_at_once_despite_junk_between() {
    let world = World::new();
    assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
    for rotation in 1..=3 {
        world.issuer.rotate();
        assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
        assert_eq!(world.issuer.requests("jwks"), 1 + rotation);
        advance(Duration::from_secs(1)).await;
    }
    for n in 0..100 {
        world.code(&world.unknown_kid(&format!("junk-{n}"))).await;
    }
    assert_eq!(world.issuer.requests("jwks"), 5, "one for all the junk");
}

#[tokio::test(start_paused = true)]
async fn many_callers_with_a_new_kid_cause_one_fetch() {
    let world = Arc::new(World::new());
    world.code(&world.issuer.access_token(AUDIENCE)).await;
    world.issuer.rotate();
    let calls = (0..100).map(|_| {
        let world = Arc::clone(&world);
        let token = world.issuer.access_token(AUDIENCE);
        tokio::spawn(async move { world.code(&token).await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), "accepted");
    }
    assert_eq!(world.issuer.requests("jwks"), 2);
    assert_eq!(world.issuer.requests("openid-configuration"), 1);
}

#[tokio::test(start_paused = true)]
async fn many_cold_callers_cause_one_discovery_and_one_fetch() {
    let world = Arc::new(World::new());
    let calls = (0..100).map(|_| {
        let world = Arc::clone(&world);
        let token = world.issuer.access_token(AUDIENCE);
        tokio::spawn(async move { world.code(&token).await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), "accepted");
    }
    assert_eq!(world.issuer.requests("jwks"), 1);
    assert_eq!(world.issuer.requests("openid-configuration"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_known_kid_never_waits_for_an_unknown_one() {
    let world = Arc::new(World::new());
    let good = world.issuer.access_token(AUDIENCE);
    assert_eq!(world.code(&good).await, "accepted");
    world.verifier.forget_all();
    world.issuer.fail_on("jwks", Fault::Hang);
    let stuck = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.code(&world.unknown_kid("junk")).await })
    };
    while world.issuer.requests("jwks") < 2 {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    assert_eq!(world.code(&good).await, "accepted");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(!stuck.is_finished());
    assert_eq!(stuck.await.unwrap(), "unknown_key");
    assert_eq!(
        begun.elapsed().as_secs(),
        3,
        "the unknown one waits for as long as the policy says"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rotation_is_one_fetch_and_fails_no_token() {
    let world = World::new();
    let old = world.issuer.access_token(AUDIENCE);
    assert_eq!(world.code(&old).await, "accepted");
    world.issuer.rotate();
    let new = world.issuer.access_token(AUDIENCE);
    assert_eq!(world.code(&new).await, "accepted");
    assert_eq!(world.code(&old).await, "accepted");
    assert_eq!(world.issuer.requests("jwks"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_removed_key_ends_within_max_age_or_at_a_purge() {
    for purge in [false, true] {
        let world = World::new();
        let old = world.issuer.access_token(AUDIENCE);
        assert_eq!(world.code(&old).await, "accepted");
        world.issuer.rotate();
        world.issuer.remove_old_keys();
        assert_eq!(world.code(&old).await, "accepted", "the keys were not fetched again yet");
        if purge {
            world.keys.purge().await.unwrap();
        } else {
            sleep(Duration::from_secs(5 * 60)).await;
        }
        assert!(world.verifier.recall(&old).is_err(), "not from memory either");
        assert_eq!(world.code(&old).await, "unknown_key");
        assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
    }
}

/// Holds each answer back until the test releases it.
#[derive(Debug)]
struct Gated(TestIssuer, Arc<Semaphore>);

#[async_trait::async_trait]
impl Http for Gated {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.0.send(request).await;
        if let Ok(permit) = self.1.acquire().await {
            permit.forget();
        }
        answer
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_asked_for_before_a_purge_is_not_published_after_it() {
    let issuer = TestIssuer::with_algorithm(Algorithm::ES256);
    let gate = Arc::new(Semaphore::new(2));
    let http = Arc::new(Gated(issuer.clone(), Arc::clone(&gate)));
    let keys = RemoteKeys::new(Provider::new(issuer.issuer(), http));
    keys.refresh_now().await.unwrap();

    let asked = async |n| {
        while issuer.requests("jwks") < n {
            tokio::task::yield_now().await;
        }
    };
    let refresh = tokio::spawn({
        let keys = keys.clone();
        async move { keys.refresh_now().await }
    });
    asked(2).await;
    issuer.rotate();
    issuer.remove_old_keys();
    let purge = tokio::spawn({
        let keys = keys.clone();
        async move { keys.purge().await }
    });
    while keys.ready() {
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    asked(3).await;
    assert!(!keys.ready(), "the old answer is not published");
    gate.add_permits(1);
    assert_eq!(purge.await.unwrap().unwrap().kids().collect::<Vec<_>>(), ["ES256-1"]);
    let _ = refresh.await;
}

#[tokio::test(start_paused = true)]
async fn unchanged_keys_keep_what_was_verified() {
    let world = World::new();
    let token = world.issuer.access_token(AUDIENCE);
    world.verifier.access_token(&token).await.unwrap();
    let generation = world.keys.current().unwrap().generation();
    sleep(Duration::from_secs(20 * 60)).await;
    assert!(world.issuer.requests("jwks") >= 4);
    assert_eq!(world.keys.current().unwrap().generation(), generation);
    assert!(world.verifier.recall(&token).is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_last_good_keys_serve_an_outage_up_to_a_limit() {
    for fault in
        [Fault::Down, Fault::Garbage, Fault::Html, Fault::Status(500), Fault::Redirect, Fault::Hang]
    {
        let world = World::new();
        let token = world.issuer.access_token(AUDIENCE);
        assert_eq!(world.code(&token).await, "accepted");
        world.issuer.fail(fault);
        sleep(Duration::from_secs(30 * 60)).await;
        world.verifier.forget_all();
        let claims = |issuer: &TestIssuer| issuer.access_token(AUDIENCE);
        assert_eq!(world.code(&claims(&world.issuer)).await, "accepted", "{fault:?}");
        assert!(matches!(world.keys.status(), KeyStatus::Stale { .. }), "{fault:?}");
        assert!(world.keys.ready());

        sleep(Duration::from_secs(31 * 60)).await;
        let refusal = world.verifier.access_token(&claims(&world.issuer)).await.unwrap_err();
        assert!(refusal.is_unavailable(), "{fault:?}: {refusal}");
        let reason = refusal.to_string();
        assert!(reason.contains("older than 3600s, and not renewed: "), "{fault:?}: {reason}");
        assert!(!world.keys.ready());
        assert_eq!(world.keys.generation(), None, "what is remembered ends with the keys");

        world.issuer.fail(Fault::None);
        sleep(Duration::from_secs(25)).await;
        assert_eq!(world.code(&claims(&world.issuer)).await, "accepted", "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_down_at_start_is_noticed_within_five_seconds() {
    for fault in [Fault::Down, Fault::Garbage, Fault::Status(503)] {
        let world = World::new();
        world.issuer.fail(fault);
        world.keys.start();
        let begun = Instant::now();
        let token = world.issuer.access_token(AUDIENCE);
        assert_eq!(world.code(&token).await, "keys_unavailable");
        assert!(begun.elapsed() <= Duration::from_secs(1));
        for _ in 0..50 {
            assert_eq!(world.code(&token).await, "keys_unavailable", "{fault:?}");
        }
        sleep(Duration::from_secs(600)).await;
        let asked = world.issuer.requests("openid-configuration");
        assert!((140..=610).contains(&asked), "{asked} attempts in ten minutes");
        assert!(matches!(world.keys.status(), KeyStatus::Unavailable { retry_after: Some(_), .. }));

        world.issuer.fail(Fault::None);
        let back = Instant::now();
        while !world.keys.ready() {
            sleep(Duration::from_millis(50)).await;
        }
        assert!(back.elapsed() <= Duration::from_secs(5), "{:?}", back.elapsed());
        assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_are_backed_off_while_old_keys_serve() {
    let world = World::new();
    world.keys.refresh_now().await.unwrap();
    world.issuer.fail(Fault::Down);
    sleep(Duration::from_secs(300)).await;
    world.issuer.reset_requests();
    sleep(Duration::from_secs(300)).await;
    let asked = world.issuer.requests("jwks");
    assert!((9..=15).contains(&asked), "{asked} attempts in five minutes");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_provider_delays_callers_by_the_policy_at_most() {
    let world =
        World::with(TestIssuer::new(), KeyPolicy::default().with_wait(Duration::from_secs(1)));
    world.issuer.fail(Fault::Hang);
    let token = world.issuer.access_token(AUDIENCE);
    let refusal =
        timeout(Duration::from_millis(1_001), world.verifier.access_token(&token)).await.unwrap();
    assert!(refusal.unwrap_err().is_unavailable());
}

#[tokio::test(start_paused = true)]
async fn a_moved_jwks_uri_is_found_again() {
    let world = World::new();
    world.keys.refresh_now().await.unwrap();
    world.issuer.rotate();
    world.issuer.answer("realms/lab/jwks", 404, "");
    world.issuer.set_metadata("jwks_uri", json!("https://issuer.test/realms/lab/v2/jwks"));
    let _ = world.keys.refresh_now().await;
    assert!(world.keys.refresh_now().await.is_ok());
    assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
}

#[tokio::test(start_paused = true)]
async fn metadata_of_another_issuer_is_refused() {
    let world = World::new();
    world.issuer.set_metadata("issuer", json!("https://evil.test"));
    let refusal =
        world.verifier.access_token(&world.issuer.access_token(AUDIENCE)).await.unwrap_err();
    assert!(refusal.to_string().contains("evil.test"), "{refusal}");
    assert_eq!(world.issuer.requests("jwks"), 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_ends_the_task() {
    let issuer = TestIssuer::with_algorithm(Algorithm::ES256);
    let keys = RemoteKeys::new(Provider::new(issuer.issuer(), issuer.http()));
    keys.refresh_now().await.unwrap();
    drop(keys);
    issuer.reset_requests();
    sleep(Duration::from_secs(3600 * 3)).await;
    assert_eq!(issuer.requests(""), 0);
}

#[test]
fn outside_a_runtime_there_are_no_keys_and_no_panic() {
    let issuer = TestIssuer::with_algorithm(Algorithm::ES256);
    let keys = RemoteKeys::new(issuer.provider());
    keys.start();
    assert!(!keys.ready());
}

#[test]
fn keys_outlive_the_runtime_that_fetched_them() {
    let world = World::new();
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            world.verifier.forget_all();
            assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
            world.keys.refresh_now().await.unwrap();
        });
    }
}

#[tokio::test(start_paused = true)]
async fn junk_does_not_use_up_the_fetch_for_an_own_token() {
    let world = World::new();
    assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
    advance(Duration::from_secs(60)).await;
    assert_eq!(world.code(&world.unknown_kid("junk")).await, "unknown_key");
    world.issuer.rotate();
    let expected = IdTokenExpectations::default();
    let id_token = world.issuer.id_token(AUDIENCE, None);
    world.verifier.id_token(&id_token, &expected).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn while_keys_cannot_be_fetched_an_own_token_is_not_refused() {
    let world = World::new();
    assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
    advance(Duration::from_secs(60)).await;
    world.issuer.rotate();
    let id_token = world.issuer.id_token(AUDIENCE, None);
    world.issuer.fail_on("jwks", Fault::Status(503));
    let expected = IdTokenExpectations::default();
    let refusal = world.verifier.id_token(&id_token, &expected).await.unwrap_err();
    assert!(refusal.is_unavailable(), "{refusal}");
}
