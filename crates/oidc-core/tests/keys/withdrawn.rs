//! An issuer that withdraws all its keys, and one that never had any.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oidc_core::keys::{KeySource, KeyStatus};
use oidc_core::testing::{Fault, TestIssuer};
use oidc_core::token::Algorithm;
use serde_json::json;
use tokio::time::{Instant, advance, sleep};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

use super::{AUDIENCE, Fixture};

#[tokio::test(start_paused = true)]
async fn withdrawn_keys_are_distrusted_at_the_next_fetch() {
    let (fixture, token) = Fixture::withdrawn().await;
    let before = fixture.keys.generation();
    assert_eq!(fixture.code(&token).await, "accepted", "not fetched again yet");
    fixture.keys.refresh_now().await.unwrap();
    assert!(fixture.verifier.recall(&token).is_err(), "not from memory either");
    assert_eq!(fixture.code(&token).await, "unknown_key");
    assert_eq!(fixture.code(&fixture.without_kid()).await, "unknown_key");
    assert_ne!(fixture.keys.generation(), before);
    assert!(matches!(fixture.keys.status(), KeyStatus::Ready { keys: 0, .. }));
}

#[tokio::test(start_paused = true)]
async fn withdrawn_keys_are_distrusted_within_max_age() {
    for body in [
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#,
        r#"{"keys":[{"kty":"AKP","alg":"ML-DSA-44"},7]}"#,
    ] {
        let fixture = Fixture::new();
        let token = fixture.issuer.access_token(AUDIENCE);
        assert_eq!(fixture.code(&token).await, "accepted");
        fixture.issuer.answer("jwks", 200, body);
        sleep(Duration::from_secs(5 * 60)).await;
        assert_eq!(fixture.code(&token).await, "unknown_key", "{body}");
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
        let fixture = Fixture::new();
        let token = fixture.issuer.access_token(AUDIENCE);
        assert_eq!(fixture.code(&token).await, "accepted");
        fixture.issuer.answer("jwks", status, body);
        assert!(fixture.keys.refresh_now().await.is_err(), "{status} {body}");
        fixture.verifier.forget_all();
        assert_eq!(fixture.code(&token).await, "accepted", "{status} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_key_is_noticed_at_the_first_token_of_it() {
    for with_kid in [true, false] {
        let (fixture, _) = Fixture::withdrawn().await;
        fixture.keys.refresh_now().await.unwrap();
        let refused =
            if with_kid { fixture.issuer.access_token(AUDIENCE) } else { fixture.without_kid() };
        assert_eq!(fixture.code(&refused).await, "unknown_key", "kid: {with_kid}");
        advance(Duration::from_secs(10)).await;
        fixture.issuer.rotate();
        let next =
            if with_kid { fixture.issuer.access_token(AUDIENCE) } else { fixture.without_kid() };
        assert_eq!(fixture.code(&next).await, "accepted", "kid: {with_kid}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_key_is_noticed_without_a_token() {
    let (fixture, _) = Fixture::withdrawn().await;
    fixture.keys.refresh_now().await.unwrap();
    fixture.issuer.rotate();
    let begun = Instant::now();
    while fixture.keys.current().unwrap().is_empty() {
        sleep(Duration::from_secs(1)).await;
    }
    assert!(begun.elapsed() <= Duration::from_secs(30), "{:?}", begun.elapsed());
    fixture.issuer.reset_requests();
    sleep(Duration::from_secs(180)).await;
    assert_eq!(fixture.issuer.requests("jwks"), 0, "fetched at the usual pace again");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_tokens_without_keys_costs_few_fetches() {
    let (fixture, token) = Fixture::withdrawn().await;
    fixture.keys.refresh_now().await.unwrap();
    fixture.issuer.reset_requests();
    for _ in 0..60 {
        for _ in 0..100 {
            assert_eq!(fixture.code(&token).await, "unknown_key");
            assert_eq!(fixture.code(&fixture.without_kid()).await, "unknown_key");
        }
        sleep(Duration::from_secs(1)).await;
    }
    let fetches = fixture.issuer.requests("jwks");
    assert!(fetches <= 9, "{fetches} fetches in a minute");
}

#[tokio::test(start_paused = true)]
async fn a_token_of_another_issuer_causes_no_fetch_without_keys() {
    let (fixture, _) = Fixture::withdrawn().await;
    fixture.keys.refresh_now().await.unwrap();
    fixture.issuer.reset_requests();
    let elsewhere = TestIssuer::named("https://elsewhere.test/realms/lab", Algorithm::ES256);
    assert_eq!(fixture.code(&elsewhere.access_token(AUDIENCE)).await, "wrong_issuer");
    let mut nobodys = fixture.issuer.claims(AUDIENCE);
    nobodys.as_object_mut().unwrap().remove("iss");
    for header in [json!({"alg": "ES256", "kid": "k"}), json!({"alg": "ES256"})] {
        let token = fixture.issuer.sign_with(&header, &nobodys);
        assert_eq!(fixture.code(&token).await, "unknown_key", "{header}");
    }
    assert_eq!(fixture.issuer.requests("jwks"), 0);
}

#[tokio::test(start_paused = true)]
async fn the_same_key_published_again_is_another_generation() {
    let fixture = Fixture::new();
    let (token, published) = (fixture.issuer.access_token(AUDIENCE), fixture.issuer.jwks());
    assert_eq!(fixture.code(&token).await, "accepted");
    let first = fixture.keys.generation();
    fixture.issuer.withdraw_keys();
    fixture.keys.refresh_now().await.unwrap();
    fixture.issuer.answer("jwks", 200, published);
    fixture.keys.refresh_now().await.unwrap();
    assert_ne!(fixture.keys.generation(), first);
    assert!(fixture.verifier.recall(&token).is_err(), "verified again, not recalled");
    assert_eq!(fixture.code(&token).await, "accepted");
}

#[tokio::test(start_paused = true)]
async fn withdrawn_keys_stay_withdrawn_while_the_issuer_is_down() {
    let (fixture, token) = Fixture::withdrawn().await;
    fixture.keys.refresh_now().await.unwrap();
    fixture.issuer.fail(Fault::Down);
    sleep(Duration::from_secs(10 * 60)).await;
    for _ in 0..2 {
        assert_eq!(fixture.code(&token).await, "keys_unavailable", "and the token is not accepted");
        sleep(Duration::from_secs(60 * 60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_set_without_a_usable_key_is_a_failure() {
    let fixture = Fixture::new();
    let token = fixture.issuer.access_token(AUDIENCE);
    fixture.issuer.answer(
        "jwks",
        200,
        r#"{"keys":[{"kty":"oct","k":"AA","kid":"a"},{"kty":"RSA","use":"enc","kid":"b"},{}]}"#,
    );
    let refusal = fixture.verifier.access_token(&token).await.unwrap_err();
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
    assert!(!fixture.keys.ready());

    fixture.issuer.answer("jwks", 200, r#"{"keys":[]}"#);
    let unavailable = fixture.keys.refresh_now().await.unwrap_err();
    assert!(unavailable.reason.contains("it holds none at all"), "{unavailable}");
    let unavailable = fixture.keys.purge().await.unwrap_err();
    assert!(unavailable.reason.contains("no usable key"), "after a purge there is no set before");
}

#[tokio::test(start_paused = true)]
async fn the_log_warns_of_withdrawn_keys_and_names_the_issuer() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let (fixture, _) = Fixture::withdrawn().await;
    assert_eq!(lines.warnings().len(), 0);
    fixture.keys.refresh_now().await.unwrap();
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
