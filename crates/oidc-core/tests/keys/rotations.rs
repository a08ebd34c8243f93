//! Rotations are seen at once, and one token's fetch delays no other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use oidc_core::http::{Http, HttpError};
use oidc_core::keys::{KeySource, RemoteKeys};
use oidc_core::provider::Provider;
use oidc_core::testing::{Fault, TestIssuer};
use oidc_core::token::Algorithm;
use tokio::sync::Semaphore;
use tokio::time::{Instant, advance, sleep};

use super::{AUDIENCE, Fixture};

#[tokio::test(start_paused = true)]
async fn junk_does_not_hide_a_real_rotation_for_long() {
    let fixture = Fixture::new();
    assert_eq!(fixture.code(&fixture.issuer.access_token(AUDIENCE)).await, "accepted");
    for n in 0..100 {
        fixture.code(&fixture.unknown_kid(&format!("junk-{n}"))).await;
    }
    fixture.issuer.rotate();
    let token = fixture.issuer.access_token(AUDIENCE);
    assert_eq!(fixture.code(&token).await, "unknown_key");
    advance(Duration::from_secs(10)).await;
    assert_eq!(fixture.code(&token).await, "accepted");
}

#[tokio::test(start_paused = true)]
async fn quick_rotations_are_seen_at_once_despite_junk_between() {
    let fixture = Fixture::new();
    assert_eq!(fixture.code(&fixture.issuer.access_token(AUDIENCE)).await, "accepted");
    for rotation in 1..=3 {
        fixture.issuer.rotate();
        assert_eq!(fixture.code(&fixture.issuer.access_token(AUDIENCE)).await, "accepted");
        assert_eq!(fixture.issuer.requests("jwks"), 1 + rotation);
        advance(Duration::from_secs(1)).await;
    }
    for n in 0..100 {
        fixture.code(&fixture.unknown_kid(&format!("junk-{n}"))).await;
    }
    assert_eq!(fixture.issuer.requests("jwks"), 5, "one for all the junk");
}

/// Verifies a token of its own in each of a hundred tasks.
async fn a_hundred_callers_are_accepted(fixture: &Arc<Fixture>) {
    let calls = (0..100).map(|_| {
        let fixture = Arc::clone(fixture);
        let token = fixture.issuer.access_token(AUDIENCE);
        tokio::spawn(async move { fixture.code(&token).await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), "accepted");
    }
}

#[tokio::test(start_paused = true)]
async fn many_callers_with_a_new_kid_cause_one_fetch() {
    let fixture = Arc::new(Fixture::new());
    fixture.code(&fixture.issuer.access_token(AUDIENCE)).await;
    fixture.issuer.rotate();
    a_hundred_callers_are_accepted(&fixture).await;
    assert_eq!(fixture.issuer.requests("jwks"), 2);
    assert_eq!(fixture.issuer.requests("openid-configuration"), 1);
}

#[tokio::test(start_paused = true)]
async fn many_cold_callers_cause_one_discovery_and_one_fetch() {
    let fixture = Arc::new(Fixture::new());
    a_hundred_callers_are_accepted(&fixture).await;
    assert_eq!(fixture.issuer.requests("jwks"), 1);
    assert_eq!(fixture.issuer.requests("openid-configuration"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_known_kid_never_waits_for_an_unknown_one() {
    let fixture = Arc::new(Fixture::new());
    let good = fixture.issuer.access_token(AUDIENCE);
    assert_eq!(fixture.code(&good).await, "accepted");
    fixture.verifier.forget_all();
    fixture.issuer.fail_on("jwks", Fault::Hang);
    let stuck = {
        let fixture = Arc::clone(&fixture);
        tokio::spawn(async move { fixture.code(&fixture.unknown_kid("junk")).await })
    };
    while fixture.issuer.requests("jwks") < 2 {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    assert_eq!(fixture.code(&good).await, "accepted");
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
    let fixture = Fixture::new();
    let old = fixture.issuer.access_token(AUDIENCE);
    assert_eq!(fixture.code(&old).await, "accepted");
    fixture.issuer.rotate();
    let new = fixture.issuer.access_token(AUDIENCE);
    assert_eq!(fixture.code(&new).await, "accepted");
    assert_eq!(fixture.code(&old).await, "accepted");
    assert_eq!(fixture.issuer.requests("jwks"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_removed_key_ends_within_max_age_or_at_a_purge() {
    for purge in [false, true] {
        let fixture = Fixture::new();
        let old = fixture.issuer.access_token(AUDIENCE);
        assert_eq!(fixture.code(&old).await, "accepted");
        fixture.issuer.rotate();
        fixture.issuer.remove_old_keys();
        assert_eq!(fixture.code(&old).await, "accepted", "the keys were not fetched again yet");
        if purge {
            fixture.keys.purge().await.unwrap();
        } else {
            sleep(Duration::from_secs(5 * 60)).await;
        }
        assert!(fixture.verifier.recall(&old).is_err(), "not from memory either");
        assert_eq!(fixture.code(&old).await, "unknown_key");
        assert_eq!(fixture.code(&fixture.issuer.access_token(AUDIENCE)).await, "accepted");
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
    let fixture = Fixture::new();
    let token = fixture.issuer.access_token(AUDIENCE);
    fixture.verifier.access_token(&token).await.unwrap();
    let generation = fixture.keys.current().unwrap().generation();
    sleep(Duration::from_secs(20 * 60)).await;
    assert!(fixture.issuer.requests("jwks") >= 4);
    assert_eq!(fixture.keys.current().unwrap().generation(), generation);
    assert!(fixture.verifier.recall(&token).is_ok());
}
