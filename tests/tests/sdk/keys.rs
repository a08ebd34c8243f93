//! Keycloak's keys: fetched once, not once for each forged token, and distrusted when they are removed.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use oidc_core::keys::{KeyPolicy, RemoteKeys};
use oidc_core::{TokenRefusal, Validation, Verifier};

use crate::lab::Lab;

const CERTS: &str = "/protocol/openid-connect/certs";

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_unknown_kids_cause_one_fetch_at_most() -> Result<()> {
    let (lab, wire) = Lab::common().await?.counted().await?;
    let verifier = lab.verifier("churn")?;
    let token = token(&lab).await?;
    verifier.access_token(&token).await?;
    assert_eq!(wire.count(CERTS), 1, "the first token needs the keys");

    let mut asking = tokio::task::JoinSet::new();
    for index in 0..300 {
        let (verifier, forged) = (verifier.clone(), with_kid(&token, &format!("unknown-{index}"))?);
        asking.spawn(async move { verifier.access_token(&forged).await.unwrap_err() });
    }
    for refusal in asking.join_all().await {
        assert!(matches!(refusal, TokenRefusal::UnknownKey { .. }), "{refusal:?}");
    }
    let caused = wire.count(CERTS) - 1;
    assert!(caused <= 1, "{caused} fetches");
    verifier.access_token(&token).await?;
    Ok(())
}

/// The bound is real and so are Keycloak and the wire; only the monotonic clock is moved, because waiting would take minutes.
#[tokio::test]
async fn a_removed_key_is_distrusted_within_the_documented_age() -> Result<()> {
    let lab = Lab::new("sdk-removed-key").await?;
    let keys = RemoteKeys::new(lab.provider()?);
    let verifier = Verifier::new(Validation::new(lab.issuer(), "churn"), Arc::new(keys.clone()));
    let stolen = token(&lab).await?;
    verifier.access_token(&stolen).await?;

    lab.realm.rotate_signing_key().await?;
    let fresh = token(&lab).await?;
    assert_ne!(kid(&fresh)?, kid(&stolen)?);
    verifier.access_token(&fresh).await.context("a new key is found at once, by its kid")?;
    verifier.access_token(&stolen).await.context("the former key still verifies")?;

    lab.realm.remove_former_signing_keys().await?;
    verifier.access_token(&stolen).await.context("nothing is asked for a key that is known")?;
    tokio::time::pause();
    tokio::time::advance(KeyPolicy::default().max_age + Duration::from_secs(1)).await;
    tokio::time::resume();
    e2e::wait::until("distrust", Duration::from_secs(10), async || {
        Ok(verifier.access_token(&stolen).await.err())
    })
    .await
    .map(|refusal| assert_eq!(refusal.code(), "unknown_key"))?;
    verifier.access_token(&fresh).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_key_is_distrusted_at_once_when_the_program_purges() -> Result<()> {
    let lab = Lab::new("sdk-purged-key").await?;
    let keys = RemoteKeys::new(lab.provider()?);
    let verifier = Verifier::new(Validation::new(lab.issuer(), "churn"), Arc::new(keys.clone()));
    let stolen = token(&lab).await?;
    verifier.access_token(&stolen).await?;
    lab.realm.rotate_signing_key().await?;
    lab.realm.remove_former_signing_keys().await?;
    keys.purge().await?;
    let refusal = verifier.access_token(&stolen).await.unwrap_err();
    assert_eq!(refusal.code(), "unknown_key");
    Ok(())
}

async fn token(lab: &Lab) -> Result<String> {
    let issuer = lab.issuer();
    lab.realm.client_credentials_at(issuer.as_str(), "job", Some("churn")).await
}

fn kid(token: &str) -> Result<String> {
    let header = token.split('.').next().context("no header")?;
    let header: serde_json::Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header)?)?;
    Ok(header["kid"].as_str().context("no kid")?.to_owned())
}

/// The same token as if another key had signed it.
fn with_kid(token: &str, kid: &str) -> Result<String> {
    let (_, rest) = token.split_once('.').context("no header")?;
    let header = serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": kid }).to_string();
    Ok(format!("{}.{rest}", BASE64_URL_SAFE_NO_PAD.encode(header)))
}
