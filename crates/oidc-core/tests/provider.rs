//! Keys from a provider on a socket, over the production adapter: the number of requests to it, for
//! any tokens and any of its answers.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use dev_issuer::{DevClient, DevIssuer, Endpoint, Fault, Mint, User};
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::keys::{KeyPolicy, RemoteKeys};
use oidc_core::provider::Provider;
use oidc_core::{Validation, Verifier};
use tokio::time::Instant;

struct World {
    issuer: DevIssuer,
    keys: RemoteKeys,
    verifier: Verifier,
}

impl World {
    async fn new() -> Self {
        let issuer = DevIssuer::builder()
            .user(User::new("alice", "alice"))
            .client(DevClient::confidential("hub", "secret").audience("hub"))
            .start("127.0.0.1:0")
            .await
            .unwrap();
        let http = Arc::new(ReqwestHttp::new(HttpOptions::default()).unwrap());
        let name: oidc_core::Issuer = issuer.url().parse().unwrap();
        let policy = KeyPolicy::default().with_wait(Duration::from_secs(10));
        let keys = RemoteKeys::new(Provider::new(name.clone(), http)).with_policy(policy);
        let verifier = Verifier::new(Validation::new(name, "hub"), Arc::new(keys.clone()));
        Self { issuer, keys, verifier }
    }

    fn token(&self) -> Mint {
        Mint::access("alice").client("hub")
    }

    async fn code(&self, mint: Mint) -> &'static str {
        let token = self.issuer.mint(mint).unwrap();
        self.verifier.access_token(&token).await.err().map_or("accepted", |refusal| refusal.code())
    }

    fn fetches(&self) -> u64 {
        self.issuer.requests(Endpoint::Jwks)
    }
}

#[tokio::test]
async fn unknown_kids_cause_one_fetch_and_a_rotation_is_seen() {
    let world = World::new().await;
    assert_eq!(world.code(world.token()).await, "accepted");
    assert_eq!(world.fetches(), 1);
    let begun = Instant::now();
    for n in 0..300 {
        let junk = world.token().header("kid", format!("junk-{n}"));
        assert_eq!(world.code(junk).await, "unknown_key");
    }
    // The bucket allows one more each ten seconds, however slow this machine is.
    assert!(world.fetches() <= 2 + begun.elapsed().as_secs() / 10, "{}", world.fetches());
    assert_eq!(world.code(world.token()).await, "accepted");
}

#[tokio::test]
async fn a_rotation_is_seen_at_once_and_costs_one_fetch() {
    let world = World::new().await;
    assert_eq!(world.code(world.token()).await, "accepted");
    world.issuer.rotate_keys().await.unwrap();
    for _ in 0..20 {
        assert_eq!(world.code(world.token()).await, "accepted");
    }
    assert_eq!(world.fetches(), 2);
}

#[tokio::test]
async fn a_hundred_bad_signatures_under_a_known_kid_cause_none() {
    let world = World::new().await;
    assert_eq!(world.code(world.token()).await, "accepted");
    for _ in 0..100 {
        assert_eq!(world.code(world.token().wrong_key()).await, "bad_signature");
    }
    assert_eq!(world.fetches(), 1);
}

#[tokio::test]
async fn verifications_during_503_cause_one_fetch_a_step() {
    let world = World::new().await;
    world.issuer.faults().set(Fault::Down(503), Endpoint::Jwks);
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(world.code(world.token()).await, "keys_unavailable");
    }
    // The first step is three quarters of a second at least.
    let steps = 1 + (begun.elapsed().as_secs_f64() / 0.75) as u64;
    assert!(world.fetches() <= steps, "{} in {steps} steps", world.fetches());
    world.issuer.faults().clear();
    world.keys.refresh_now().await.unwrap();
    assert_eq!(world.code(world.token()).await, "accepted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_kid_does_not_wait_for_a_slow_refetch() {
    let world = World::new().await;
    assert_eq!(world.code(world.token()).await, "accepted");
    world.issuer.faults().set(Fault::Slow(Duration::from_secs(3)), Endpoint::Jwks);
    let refetch = tokio::spawn({
        let keys = world.keys.clone();
        async move { keys.refresh_now().await }
    });
    while world.fetches() < 2 {
        tokio::task::yield_now().await;
    }
    let tokens: Vec<String> = (0..21).map(|_| world.issuer.mint(world.token()).unwrap()).collect();
    let mut waits = Vec::new();
    for token in &tokens {
        let begun = Instant::now();
        world.verifier.access_token(token).await.unwrap();
        waits.push(begun.elapsed());
    }
    assert!(!refetch.is_finished(), "still under way");
    // The median, so that a busy machine does not decide; a wait would take all of three seconds.
    waits.sort();
    assert!(waits.get(10).unwrap() < &Duration::from_millis(50), "{waits:?}");
    refetch.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_removed_key_is_distrusted_at_the_next_fetch() {
    let world = World::new().await;
    let old = world.issuer.mint(world.token()).unwrap();
    world.verifier.access_token(&old).await.unwrap();
    world.issuer.rotate_keys().await.unwrap();
    world.issuer.remove_old_keys();
    world.keys.refresh_now().await.unwrap();
    assert!(world.verifier.recall(&old).is_err());
    assert_eq!(world.verifier.access_token(&old).await.unwrap_err().code(), "unknown_key");
}
