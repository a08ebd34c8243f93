//! What is remembered of introspection, and what that rests on.

use std::sync::Arc;

use dev_issuer::{DevClient, DevIssuer, Endpoint};
use oidc_core::{ClientAuth, Introspection, KeySource, RemoteKeys, TokenEndpoint, Validation};

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
