//! Introspection at Keycloak (RFC 7662): once for a token, and again when the answer may have changed.

use std::time::Duration;

use anyhow::Result;
use oidc_core::Validation;
use oidc_core::client::TokenHint;
use oidc_core::verify::Introspection;

use crate::lab::{Lab, client_credentials, secret};

const INTROSPECT: &str = "/token/introspect";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_introspected_once_until_it_is_revoked() -> Result<()> {
    let (lab, wire) = Lab::common().await?.counted().await?;
    let churn = || -> Result<Introspection> {
        let validation = Validation::new(lab.issuer(), "churn");
        Ok(Introspection::new(lab.endpoint("churn", secret("churn"))?, validation))
    };
    let introspection = churn()?;
    let job = lab.job()?;
    let token = job.request(client_credentials(Some("churn"))).await?.access_token;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (introspection, token) = (introspection.clone(), token.clone());
        asking.spawn(async move { introspection.access_token(token.expose()).await });
    }
    for verified in asking.join_all().await {
        let verified = verified?;
        assert_eq!(verified.client(), Some("job"));
        assert!(verified.realm_roles().contains("scorer"));
    }
    assert_eq!(wire.count(INTROSPECT), 1);

    job.revoke(&token, TokenHint::AccessToken).await?;
    introspection.access_token(token.expose()).await?;
    assert_eq!(wire.count(INTROSPECT), 1, "cached for the configured time");
    let attentive = churn()?.with_max_age(Duration::ZERO);
    let refusal = attentive.access_token(token.expose()).await.unwrap_err();
    assert_eq!(refusal.code(), "inactive");
    let asked = wire.count(INTROSPECT);
    attentive.access_token(token.expose()).await.unwrap_err();
    assert_eq!(wire.count(INTROSPECT), asked, "a negative answer is cached too");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_another_audience_is_inactive() -> Result<()> {
    let lab = Lab::common().await?;
    let validation = Validation::new(lab.issuer(), "churn");
    let introspection = Introspection::new(lab.endpoint("churn", secret("churn"))?, validation);
    let token = lab.job()?.request(client_credentials(None)).await?.access_token;
    let refusal = introspection.access_token(token.expose()).await.unwrap_err();
    assert_eq!(refusal.code(), "inactive");
    Ok(())
}
