//! One token request however many ask, and never a moment without a token.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use m2m::{CachedTokens, ClientCredentials, IssuerTokens, TokenSource as _};
use oidc_core::{Clock as _, RemoteKeys, SystemClock, Validation, Verifier};
use tokio::{task::JoinSet, time::Instant};

use crate::lab::Lab;

const TOKEN: &str = "/protocol/openid-connect/token";

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_tasks_make_one_token_request() -> Result<()> {
    let (lab, wire) = Lab::common().await?.counted().await?;
    let grant = ClientCredentials::new().with_scope("churn");
    let tokens = CachedTokens::new(IssuerTokens::new(lab.job()?, grant));
    let mut asking = JoinSet::new();
    for _ in 0..200 {
        let tokens = tokens.clone();
        asking.spawn(async move { tokens.token().await });
    }
    let mut distinct = BTreeSet::new();
    for token in asking.join_all().await {
        distinct.insert(token?.secret().expose().to_owned());
    }
    assert_eq!(distinct.len(), 1);
    assert_eq!(wire.count(TOKEN), 1);
    for token in distinct {
        lab.verifier("churn")?.access_token(&token).await?;
    }
    Ok(())
}

/// Keycloak is made to take half a second for each token, so that whoever waits for one is seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_lived_token_is_refreshed_ahead_and_nobody_waits() -> Result<()> {
    const LIFE: u32 = 6;
    const LATENCY: Duration = Duration::from_millis(500);
    let lab = Lab::new("sdk-short-lived").await?;
    lab.realm.access_tokens_live(LIFE).await?;
    let (lab, wire) = lab.counted().await?;
    let grant = ClientCredentials::new().with_scope("churn");
    let tokens = CachedTokens::new(IssuerTokens::new(lab.job()?, grant));
    let validation = Validation::new(lab.issuer(), "churn").with_leeway(Duration::ZERO);
    let verifier = Verifier::new(validation, Arc::new(RemoteKeys::new(lab.provider()?)));
    let mut seen = BTreeSet::from([tokens.token().await?.secret().expose().to_owned()]);
    wire.delay(LATENCY);

    let began = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(25));
    while began.elapsed() < Duration::from_secs(2 * u64::from(LIFE)) {
        ticks.tick().await;
        let asked = Instant::now();
        let token = tokens.token().await?;
        assert!(asked.elapsed() < LATENCY / 2, "a caller waited {:?}", asked.elapsed());
        if seen.insert(token.secret().expose().to_owned()) {
            verifier.access_token(token.secret().expose()).await?;
        }
        let left = token.expires_at().context("no expiry")?.duration_since(SystemClock.now());
        anyhow::ensure!(left.is_ok(), "an expired token was given out");
    }
    assert!(seen.len() > 2, "{} tokens in two lives", seen.len());
    assert!(wire.count(TOKEN) <= seen.len() + 1, "a request whose token nobody got");
    Ok(())
}
