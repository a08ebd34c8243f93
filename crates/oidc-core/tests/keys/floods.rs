//! Invalid and unknown tokens do not flood the provider.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use oidc_core::http::{Http, HttpError};
use oidc_core::keys::{KeyPolicy, RemoteKeys};
use oidc_core::provider::{Provider, ProviderPolicy};
use oidc_core::testing::{Fault, TestIssuer};
use oidc_core::token::Algorithm;
use oidc_core::{Validation, Verifier};
use serde_json::json;
use tokio::time::{Instant, advance, sleep};

use super::{AUDIENCE, Fixture};

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_kids_causes_one_fetch() {
    let fixture = Fixture::new();
    let good = fixture.issuer.access_token(AUDIENCE);
    assert_eq!(fixture.code(&good).await, "accepted");
    assert_eq!(fixture.issuer.requests("jwks"), 1);
    for n in 0..300 {
        assert_eq!(fixture.code(&fixture.unknown_kid(&format!("junk-{n}"))).await, "unknown_key");
    }
    assert_eq!(fixture.issuer.requests("jwks"), 2, "one to begin with, one for junk");
    assert_eq!(fixture.code(&good).await, "accepted");

    advance(Duration::from_secs(10)).await;
    for n in 0..2_000 {
        fixture.code(&fixture.unknown_kid(&format!("more-junk-{n}"))).await;
    }
    assert_eq!(fixture.issuer.requests("jwks"), 3, "one more for ten seconds more");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_kids_at_once_causes_one_fetch() {
    let fixture = Arc::new(Fixture::new());
    assert_eq!(fixture.code(&fixture.issuer.access_token(AUDIENCE)).await, "accepted");
    let calls = (0..300).map(|n| {
        let fixture = Arc::clone(&fixture);
        tokio::spawn(async move { fixture.code(&fixture.unknown_kid(&format!("junk-{n}"))).await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), "unknown_key");
    }
    assert_eq!(fixture.issuer.requests("jwks"), 2, "one to begin with, one for junk");
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_asked_for_just_now_are_not_asked_for_again() {
    let fixture = Fixture::new();
    assert_eq!(fixture.code(&fixture.unknown_kid("junk")).await, "unknown_key");
    assert_eq!(fixture.issuer.requests("jwks"), 1, "the first answer was good enough");
}

#[tokio::test(start_paused = true)]
async fn bad_signatures_under_a_known_kid_cause_no_fetch() {
    let fixture = Fixture::new();
    let good = fixture.issuer.access_token(AUDIENCE);
    assert_eq!(fixture.code(&good).await, "accepted");
    let stranger = TestIssuer::named("https://issuer.test/realms/lab", Algorithm::ES256);
    for _ in 0..100 {
        let forged = stranger.sign_with(&fixture.issuer.header(), &fixture.issuer.claims(AUDIENCE));
        assert_eq!(fixture.code(&forged).await, "bad_signature");
    }
    assert_eq!(fixture.issuer.requests("jwks"), 1);
    assert_eq!(fixture.issuer.requests("openid-configuration"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_without_an_issuer_causes_no_fetch() {
    let fixture = Fixture::new();
    let mut claims = fixture.issuer.claims(AUDIENCE);
    claims.as_object_mut().unwrap().remove("iss");
    assert_eq!(fixture.code(&fixture.issuer.sign(&claims)).await, "missing_claim");
    let unread = fixture.issuer.sign_raw(br#"{"alg":"ES256","kid":"new"}"#, b"no claims");
    assert_eq!(fixture.code(&unread).await, "malformed");
    assert_eq!(fixture.issuer.requests(""), 0);

    assert_eq!(fixture.code(&fixture.issuer.access_token(AUDIENCE)).await, "accepted");
    let header = json!({"alg": "ES256", "typ": "JWT", "kid": "new"});
    assert_eq!(fixture.code(&fixture.issuer.sign_with(&header, &claims)).await, "unknown_key");
    assert_eq!(fixture.code(&unread).await, "unknown_key");
    assert_eq!(fixture.issuer.requests("jwks"), 1);
}

/// `503` on `jwks`, then on everything: 100 verifications at once, and in each second of five minutes.
#[tokio::test(start_paused = true)]
async fn verifications_during_503_cause_one_fetch_a_step() {
    for (path, warm) in [("jwks", false), ("", false), ("jwks", true)] {
        let fixture = Fixture::new();
        if warm {
            assert_eq!(fixture.code(&fixture.issuer.access_token(AUDIENCE)).await, "accepted");
        }
        fixture.issuer.fail_on(path, Fault::Status(503));
        fixture.issuer.reset_requests();
        let unheard = fixture.unknown_kid("unheard-of");
        let asked = || {
            let counted = if path.is_empty() { "openid-configuration" } else { path };
            fixture.issuer.requests(counted)
        };
        for _ in 0..100 {
            assert_eq!(fixture.code(&unheard).await, "keys_unavailable");
        }
        assert_eq!(asked(), 1, "{path}: the step before the first pause");
        // Pauses grow from 1 s to 4 s, less a quarter at most for jitter; older keys may serve meanwhile. When exactly the first
        // of them end depends on how metadata and keys, each with a pause of its own, follow each other.
        let mut seen = 1;
        for _ in 0..300 {
            sleep(Duration::from_secs(1)).await;
            for _ in 0..100 {
                fixture.code(&unheard).await;
            }
            let now = asked();
            assert!(now <= seen + 1, "{path}: {now} after {seen}");
            seen = now;
        }
        assert!((70..=105).contains(&seen), "{path} {warm}: asked {seen} times in five minutes");
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
    let fixture = Fixture::new();
    let elsewhere = TestIssuer::named("https://elsewhere.test/realms/lab", Algorithm::ES256);
    let claims = elsewhere.claims(AUDIENCE);
    for kid in ["unheard-of", fixture.issuer.signing_key().id()] {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": kid});
        let foreign = elsewhere.sign_with(&header, &claims);
        assert_eq!(fixture.code(&foreign).await, "wrong_issuer", "{kid}");
        assert_eq!(fixture.issuer.requests("jwks"), 0, "{kid}");
    }
    // Once the key is known, its `kid` does not make a foreign signature valid.
    assert_eq!(fixture.code(&fixture.issuer.access_token(AUDIENCE)).await, "accepted");
    let borrowed = json!({"alg": "ES256", "typ": "JWT", "kid": fixture.issuer.signing_key().id()});
    assert_eq!(fixture.code(&elsewhere.sign_with(&borrowed, &claims)).await, "bad_signature");
    let unheard = json!({"alg": "ES256", "typ": "JWT", "kid": "unheard-of"});
    assert_eq!(fixture.code(&elsewhere.sign_with(&unheard, &claims)).await, "wrong_issuer");
    assert_eq!(fixture.issuer.requests("jwks"), 1, "its own only");
}
