//! An outage of the provider does not stop verification with known keys.

use std::time::Duration;

use oidc_core::keys::{KeyPolicy, KeySource, KeyStatus, RemoteKeys};
use oidc_core::provider::Provider;
use oidc_core::testing::{Fault, TestIssuer};
use oidc_core::token::Algorithm;
use oidc_core::verify::IdTokenExpectations;
use serde_json::json;
use tokio::time::{Instant, advance, sleep, timeout};

use super::{AUDIENCE, Fixture};

#[tokio::test(start_paused = true)]
async fn the_last_good_keys_serve_an_outage_up_to_a_limit() {
    for fault in
        [Fault::Down, Fault::Garbage, Fault::Html, Fault::Status(500), Fault::Redirect, Fault::Hang]
    {
        let fixture = Fixture::new();
        let token = fixture.issuer.access_token(AUDIENCE);
        assert_eq!(fixture.code(&token).await, "accepted");
        fixture.issuer.fail(fault);
        sleep(Duration::from_secs(30 * 60)).await;
        fixture.verifier.forget_all();
        let claims = |issuer: &TestIssuer| issuer.access_token(AUDIENCE);
        assert_eq!(fixture.code(&claims(&fixture.issuer)).await, "accepted", "{fault:?}");
        assert!(matches!(fixture.keys.status(), KeyStatus::Stale { .. }), "{fault:?}");
        assert!(fixture.keys.ready());

        sleep(Duration::from_secs(31 * 60)).await;
        let refusal = fixture.verifier.access_token(&claims(&fixture.issuer)).await.unwrap_err();
        assert!(refusal.is_unavailable(), "{fault:?}: {refusal}");
        let reason = refusal.to_string();
        assert!(reason.contains("older than 3600s, and not renewed: "), "{fault:?}: {reason}");
        assert!(!fixture.keys.ready());
        assert_eq!(fixture.keys.generation(), None, "what is remembered ends with the keys");

        fixture.issuer.fail(Fault::None);
        sleep(Duration::from_secs(25)).await;
        assert_eq!(fixture.code(&claims(&fixture.issuer)).await, "accepted", "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_down_at_start_is_noticed_within_five_seconds() {
    for fault in [Fault::Down, Fault::Garbage, Fault::Status(503)] {
        let fixture = Fixture::new();
        fixture.issuer.fail(fault);
        fixture.keys.start();
        let begun = Instant::now();
        let token = fixture.issuer.access_token(AUDIENCE);
        assert_eq!(fixture.code(&token).await, "keys_unavailable");
        assert!(begun.elapsed() <= Duration::from_secs(1));
        for _ in 0..50 {
            assert_eq!(fixture.code(&token).await, "keys_unavailable", "{fault:?}");
        }
        sleep(Duration::from_secs(600)).await;
        let asked = fixture.issuer.requests("openid-configuration");
        assert!((140..=610).contains(&asked), "{asked} attempts in ten minutes");
        assert!(matches!(
            fixture.keys.status(),
            KeyStatus::Unavailable { retry_after: Some(_), .. }
        ));

        fixture.issuer.fail(Fault::None);
        let back = Instant::now();
        while !fixture.keys.ready() {
            sleep(Duration::from_millis(50)).await;
        }
        assert!(back.elapsed() <= Duration::from_secs(5), "{:?}", back.elapsed());
        assert_eq!(fixture.code(&fixture.issuer.access_token(AUDIENCE)).await, "accepted");
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_are_backed_off_while_old_keys_serve() {
    let fixture = Fixture::new();
    fixture.keys.refresh_now().await.unwrap();
    fixture.issuer.fail(Fault::Down);
    sleep(Duration::from_secs(300)).await;
    fixture.issuer.reset_requests();
    sleep(Duration::from_secs(300)).await;
    let asked = fixture.issuer.requests("jwks");
    assert!((9..=15).contains(&asked), "{asked} attempts in five minutes");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_provider_delays_callers_by_the_policy_at_most() {
    let fixture =
        Fixture::with(TestIssuer::new(), KeyPolicy::default().with_wait(Duration::from_secs(1)));
    fixture.issuer.fail(Fault::Hang);
    let token = fixture.issuer.access_token(AUDIENCE);
    let refusal =
        timeout(Duration::from_millis(1_001), fixture.verifier.access_token(&token)).await.unwrap();
    assert!(refusal.unwrap_err().is_unavailable());
}

#[tokio::test(start_paused = true)]
async fn a_moved_jwks_uri_is_found_again() {
    let fixture = Fixture::new();
    fixture.keys.refresh_now().await.unwrap();
    fixture.issuer.rotate();
    fixture.issuer.answer("realms/lab/jwks", 404, "");
    fixture.issuer.set_metadata("jwks_uri", json!("https://issuer.test/realms/lab/v2/jwks"));
    let _ = fixture.keys.refresh_now().await;
    assert!(fixture.keys.refresh_now().await.is_ok());
    assert_eq!(fixture.code(&fixture.issuer.access_token(AUDIENCE)).await, "accepted");
}

#[tokio::test(start_paused = true)]
async fn metadata_of_another_issuer_is_refused() {
    let fixture = Fixture::new();
    fixture.issuer.set_metadata("issuer", json!("https://evil.test"));
    let refusal =
        fixture.verifier.access_token(&fixture.issuer.access_token(AUDIENCE)).await.unwrap_err();
    assert!(refusal.to_string().contains("evil.test"), "{refusal}");
    assert_eq!(fixture.issuer.requests("jwks"), 0);
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
    let fixture = Fixture::new();
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            fixture.verifier.forget_all();
            assert_eq!(fixture.code(&fixture.issuer.access_token(AUDIENCE)).await, "accepted");
            fixture.keys.refresh_now().await.unwrap();
        });
    }
}

#[tokio::test(start_paused = true)]
async fn junk_does_not_use_up_the_fetch_for_an_own_token() {
    let fixture = Fixture::new();
    assert_eq!(fixture.code(&fixture.issuer.access_token(AUDIENCE)).await, "accepted");
    advance(Duration::from_secs(60)).await;
    assert_eq!(fixture.code(&fixture.unknown_kid("junk")).await, "unknown_key");
    fixture.issuer.rotate();
    let expected = IdTokenExpectations::default();
    let id_token = fixture.issuer.id_token(AUDIENCE, None);
    fixture.verifier.id_token(&id_token, &expected).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn while_keys_cannot_be_fetched_an_own_token_is_not_refused() {
    let fixture = Fixture::new();
    assert_eq!(fixture.code(&fixture.issuer.access_token(AUDIENCE)).await, "accepted");
    advance(Duration::from_secs(60)).await;
    fixture.issuer.rotate();
    let id_token = fixture.issuer.id_token(AUDIENCE, None);
    fixture.issuer.fail_on("jwks", Fault::Status(503));
    let expected = IdTokenExpectations::default();
    let refusal = fixture.verifier.id_token(&id_token, &expected).await.unwrap_err();
    assert!(refusal.is_unavailable(), "{refusal}");
}
