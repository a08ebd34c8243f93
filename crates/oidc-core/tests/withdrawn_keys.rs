//! An issuer that withdraws all its keys, and one that never had any.
//!
//! Tokio's time is paused: it advances only when every task waits.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oidc_core::keys::{KeySource, KeyStatus, RemoteKeys};
use oidc_core::testing::{Fault, TestIssuer};
use oidc_core::token::Algorithm;
use oidc_core::{Validation, Verifier};
use serde_json::json;
use tokio::time::{Instant, advance, sleep};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

const AUDIENCE: &str = "hub";

struct World {
    issuer: TestIssuer,
    keys: RemoteKeys,
    verifier: Verifier,
}

impl World {
    fn new() -> Self {
        let issuer = TestIssuer::with_algorithm(Algorithm::ES256);
        let keys = RemoteKeys::new(issuer.provider());
        let rules = Validation::new(issuer.issuer(), AUDIENCE);
        let verifier = Verifier::new(rules, Arc::new(keys.clone())).with_clock(issuer.clock());
        Self { issuer, keys, verifier }
    }

    /// A world whose key was valid and its token remembered, before the issuer withdrew the key.
    async fn withdrawn() -> (Self, String) {
        let world = Self::new();
        let token = world.issuer.access_token(AUDIENCE);
        assert_eq!(world.code(&token).await, "accepted");
        assert!(world.verifier.recall(&token).is_ok());
        world.issuer.withdraw_keys();
        (world, token)
    }

    async fn code(&self, token: &str) -> &'static str {
        self.verifier.access_token(token).await.err().map_or("accepted", |refusal| refusal.code())
    }

    fn without_kid(&self) -> String {
        let header = json!({"alg": "ES256", "typ": "JWT"});
        self.issuer.sign_with(&header, &self.issuer.claims(AUDIENCE))
    }
}

#[tokio::test(start_paused = true)]
async fn withdrawn_keys_are_distrusted_at_the_next_fetch() {
    let (world, token) = World::withdrawn().await;
    let before = world.keys.generation();
    assert_eq!(world.code(&token).await, "accepted", "not fetched again yet");
    world.keys.refresh_now().await.unwrap();
    assert!(world.verifier.recall(&token).is_err(), "not from memory either");
    assert_eq!(world.code(&token).await, "unknown_key");
    assert_eq!(world.code(&world.without_kid()).await, "unknown_key");
    assert_ne!(world.keys.generation(), before);
    assert!(matches!(world.keys.status(), KeyStatus::Ready { keys: 0, .. }));
}

#[tokio::test(start_paused = true)]
async fn withdrawn_keys_are_distrusted_within_max_age() {
    for body in [
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#,
        r#"{"keys":[{"kty":"AKP","alg":"ML-DSA-44"},7]}"#,
    ] {
        let world = World::new();
        let token = world.issuer.access_token(AUDIENCE);
        assert_eq!(world.code(&token).await, "accepted");
        world.issuer.answer("jwks", 200, body);
        sleep(Duration::from_secs(5 * 60)).await;
        assert_eq!(world.code(&token).await, "unknown_key", "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_answer_leaves_the_last_keys_in_use() {
    let answers = [
        (200, "<!doctype html><p>Be back soon"),
        (200, ""),
        (200, "{}"),
        (200, "[]"),
        (200, r#"{"keys":null}"#),
        (200, r#"{"keys":{}}"#),
        (200, r#"{"keys":[]"#),
        (200, r#"{"keys":[],"keys":[]}"#),
        (500, r#"{"keys":[]}"#),
        (503, r#"{"keys":[]}"#),
        (404, r#"{"keys":[]}"#),
    ];
    for (status, body) in answers {
        let world = World::new();
        let token = world.issuer.access_token(AUDIENCE);
        assert_eq!(world.code(&token).await, "accepted");
        world.issuer.answer("jwks", status, body);
        assert!(world.keys.refresh_now().await.is_err(), "{status} {body}");
        world.verifier.forget_all();
        assert_eq!(world.code(&token).await, "accepted", "{status} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_key_is_noticed_at_the_first_token_of_it() {
    for with_kid in [true, false] {
        let (world, _) = World::withdrawn().await;
        world.keys.refresh_now().await.unwrap();
        let refused =
            if with_kid { world.issuer.access_token(AUDIENCE) } else { world.without_kid() };
        assert_eq!(world.code(&refused).await, "unknown_key", "kid: {with_kid}");
        advance(Duration::from_secs(10)).await;
        world.issuer.rotate();
        let next = if with_kid { world.issuer.access_token(AUDIENCE) } else { world.without_kid() };
        assert_eq!(world.code(&next).await, "accepted", "kid: {with_kid}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_key_is_noticed_without_a_token() {
    let (world, _) = World::withdrawn().await;
    world.keys.refresh_now().await.unwrap();
    world.issuer.rotate();
    let begun = Instant::now();
    while world.keys.current().unwrap().is_empty() {
        sleep(Duration::from_secs(1)).await;
    }
    assert!(begun.elapsed() <= Duration::from_secs(30), "{:?}", begun.elapsed());
    world.issuer.reset_requests();
    sleep(Duration::from_secs(180)).await;
    assert_eq!(world.issuer.requests("jwks"), 0, "fetched at the usual pace again");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_tokens_without_keys_costs_few_fetches() {
    let (world, token) = World::withdrawn().await;
    world.keys.refresh_now().await.unwrap();
    world.issuer.reset_requests();
    for _ in 0..60 {
        for _ in 0..100 {
            assert_eq!(world.code(&token).await, "unknown_key");
            assert_eq!(world.code(&world.without_kid()).await, "unknown_key");
        }
        sleep(Duration::from_secs(1)).await;
    }
    let fetches = world.issuer.requests("jwks");
    assert!(fetches <= 9, "{fetches} fetches in a minute");
}

#[tokio::test(start_paused = true)]
async fn a_token_of_another_issuer_causes_no_fetch_without_keys() {
    let (world, _) = World::withdrawn().await;
    world.keys.refresh_now().await.unwrap();
    world.issuer.reset_requests();
    let elsewhere = TestIssuer::named("https://elsewhere.test/realms/lab", Algorithm::ES256);
    assert_eq!(world.code(&elsewhere.access_token(AUDIENCE)).await, "wrong_issuer");
    let mut nobodys = world.issuer.claims(AUDIENCE);
    nobodys.as_object_mut().unwrap().remove("iss");
    for header in [json!({"alg": "ES256", "kid": "k"}), json!({"alg": "ES256"})] {
        let token = world.issuer.sign_with(&header, &nobodys);
        assert_eq!(world.code(&token).await, "unknown_key", "{header}");
    }
    assert_eq!(world.issuer.requests("jwks"), 0);
}

#[tokio::test(start_paused = true)]
async fn the_same_key_published_again_is_another_generation() {
    let world = World::new();
    let (token, published) = (world.issuer.access_token(AUDIENCE), world.issuer.jwks());
    assert_eq!(world.code(&token).await, "accepted");
    let first = world.keys.generation();
    world.issuer.withdraw_keys();
    world.keys.refresh_now().await.unwrap();
    world.issuer.answer("jwks", 200, published);
    world.keys.refresh_now().await.unwrap();
    assert_ne!(world.keys.generation(), first);
    assert!(world.verifier.recall(&token).is_err(), "verified again, not recalled");
    assert_eq!(world.code(&token).await, "accepted");
}

#[tokio::test(start_paused = true)]
async fn withdrawn_keys_stay_withdrawn_while_the_issuer_is_down() {
    let (world, token) = World::withdrawn().await;
    world.keys.refresh_now().await.unwrap();
    world.issuer.fail(Fault::Down);
    sleep(Duration::from_secs(10 * 60)).await;
    assert_eq!(world.code(&token).await, "unknown_key");
    sleep(Duration::from_secs(60 * 60)).await;
    assert_eq!(world.code(&token).await, "keys_unavailable");
}

#[tokio::test(start_paused = true)]
async fn a_first_set_without_a_usable_key_is_a_failure() {
    let world = World::new();
    let token = world.issuer.access_token(AUDIENCE);
    world.issuer.answer(
        "jwks",
        200,
        r#"{"keys":[{"kty":"oct","k":"AA","kid":"a"},{"kty":"RSA","use":"enc","kid":"b"},{}]}"#,
    );
    let refusal = world.verifier.access_token(&token).await.unwrap_err();
    assert!(refusal.is_unavailable(), "{refusal}");
    let reason = refusal.to_string();
    for part in [
        "holds no usable key",
        "\"a\": symmetric keys never verify here",
        "\"b\": it is for encryption (use)",
        "one without kid: it has no kty",
    ] {
        assert!(reason.contains(part), "{reason}");
    }
    assert!(!world.keys.ready());

    world.issuer.answer("jwks", 200, r#"{"keys":[]}"#);
    let unavailable = world.keys.refresh_now().await.unwrap_err();
    assert!(unavailable.reason.contains("it holds none at all"), "{unavailable}");
    let unavailable = world.keys.purge().await.unwrap_err();
    assert!(unavailable.reason.contains("no usable key"), "after a purge there is no set before");
}

#[tokio::test(start_paused = true)]
async fn the_log_warns_of_withdrawn_keys_and_names_the_issuer() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let (world, _) = World::withdrawn().await;
    assert_eq!(lines.warnings().len(), 0);
    world.keys.refresh_now().await.unwrap();
    let warnings = lines.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("https://issuer.test/realms/lab"), "{warnings:?}");
    assert!(warnings[0].contains("publishes no usable key"), "{warnings:?}");
}

/// Collects the warnings of this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn warnings(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.lock().unwrap().push(format!("{:?}", fields.0));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
