//! Remembered introspection answers, and the conditions for using them.

use std::sync::Arc;
use std::time::Duration;

use dev_issuer::{DevClient, DevIssuer, Endpoint};
use futures_util::future::join_all;
use oidc_core::client::{ClientAuth, TokenEndpoint};
use oidc_core::keys::{KeySource, RemoteKeys};
use oidc_core::verify::Introspection;
use oidc_core::{TokenRefusal, Validation};

use crate::elsewhere::Elsewhere;

/// A provider, and an endpoint there for a client that may ask.
async fn provider() -> (Elsewhere, TokenEndpoint) {
    let hub = DevClient::confidential("hub", "s3cret").audience("hub");
    let provider = Elsewhere::start(DevIssuer::demo_builder().client(hub)).await;
    let endpoint = provider.endpoint("hub", ClientAuth::SecretBasic("s3cret".into()));
    (provider, endpoint)
}

#[tokio::test(start_paused = true)]
async fn a_signed_answer_is_forgotten_with_the_keys_it_rests_on() {
    let (provider, endpoint) = provider().await;
    let rules = Validation::new(provider.issuer.url().parse().unwrap(), "hub");
    let keys = RemoteKeys::new(provider.provider());
    let introspection = Introspection::new(endpoint, rules)
        .with_signed_answers(Arc::new(keys.clone()) as Arc<dyn KeySource>);
    let token = provider.issuer.log_in("alice", "hub", "openid").unwrap().access_token;
    let asked = || provider.issuer.requests(Endpoint::Introspection);
    for _ in 0..3 {
        introspection.access_token(&token).await.unwrap();
    }
    assert_eq!(asked(), 1, "remembered from the first answer on");
    keys.refresh_now().await.unwrap();
    introspection.access_token(&token).await.unwrap();
    assert_eq!(asked(), 1, "the same keys");

    provider.issuer.withdraw_keys();
    keys.refresh_now().await.unwrap();
    let refusal = introspection.access_token(&token).await.unwrap_err();
    assert!(refusal.is_unavailable(), "an answer that no key vouches for is none: {refusal}");
    assert_eq!(asked(), 2);
}

/// Introspection by this endpoint for `hub`.
fn introspection(provider: &Elsewhere, endpoint: TokenEndpoint) -> Introspection {
    let rules = Validation::new(provider.issuer.url().parse().unwrap(), "hub");
    Introspection::new(endpoint, rules)
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_junk_pushes_out_no_good_token() {
    let (provider, endpoint) = provider().await;
    let introspection = introspection(&provider, endpoint).with_cache(64 * 1024);
    let token = provider.issuer.log_in("alice", "hub", "openid").unwrap().access_token;
    introspection.access_token(&token).await.unwrap();
    for n in 0..500 {
        let refusal = introspection.access_token(&format!("junk-{n}")).await.unwrap_err();
        assert_eq!(refusal, TokenRefusal::Inactive);
    }
    let asked = provider.issuer.requests(Endpoint::Introspection);
    introspection.access_token(&token).await.unwrap();
    assert_eq!(introspection.access_token("junk-499").await.unwrap_err(), TokenRefusal::Inactive);
    assert_eq!(provider.issuer.requests(Endpoint::Introspection), asked, "both are remembered");
    let bytes = introspection.cache_stats().bytes;
    assert!(bytes <= 80 * 1024, "{bytes} bytes");
}

#[tokio::test(start_paused = true)]
async fn questions_above_the_bound_are_refused_and_not_queued() {
    let (provider, endpoint) = provider().await;
    let introspection = introspection(&provider, endpoint).with_max_in_flight(4);
    let token = provider.issuer.log_in("alice", "hub", "openid").unwrap().access_token;
    let junk: Vec<_> = (0..100).map(|n| format!("junk-{n}")).collect();
    let asked = || provider.issuer.requests(Endpoint::Introspection);
    let verdicts = join_all(junk.iter().map(|junk| introspection.access_token(junk))).await;
    assert_eq!(asked(), 4);
    let (mut refused, mut inactive) = (0, 0);
    for verdict in verdicts {
        match verdict.unwrap_err() {
            TokenRefusal::Inactive => inactive += 1,
            refusal => {
                assert!(refusal.is_unavailable(), "{refusal}");
                assert_eq!(refusal.retry_after(), Some(Duration::from_secs(1)));
                refused += 1;
            }
        }
    }
    assert_eq!((inactive, refused), (4, 96));
    // A token refused for now is not remembered as refused.
    introspection.access_token(&token).await.unwrap();
    assert_eq!(introspection.access_token("junk-99").await.unwrap_err(), TokenRefusal::Inactive);
    assert_eq!(asked(), 6);
    // A remembered token needs no question, and concurrent requests with one token share one.
    let mut calls: Vec<_> = junk.iter().map(|junk| introspection.access_token(junk)).collect();
    calls.push(introspection.access_token(&token));
    assert!(join_all(calls).await.pop().unwrap().is_ok());
}
