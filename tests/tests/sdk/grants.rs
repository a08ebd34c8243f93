//! Scopes decide the audience and roles of a token; one token is exchanged for another.

use anyhow::Result;
use oidc_core::client::{Grant, TokenEndpointError};

use crate::lab::{Lab, client_credentials, secret};

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_brings_the_audience_and_roles_come_along() -> Result<()> {
    let lab = Lab::common().await?;
    let verifier = lab.verifier("churn")?;
    let tokens = lab.job()?.request(client_credentials(Some("churn"))).await?;
    assert!(tokens.scope.as_ref().is_some_and(|scope| scope.contains("churn")));
    let token = verifier.access_token(tokens.access_token.expose()).await?;
    assert!(token.audience.contains("churn"));
    assert_eq!(token.client(), Some("job"));
    assert!(token.realm_roles().contains("scorer"));

    let tokens = lab.job()?.request(client_credentials(None)).await?;
    let refusal = verifier.access_token(tokens.access_token.expose()).await.unwrap_err();
    assert_eq!(refusal.code(), "wrong_audience", "{refusal}");
    let refusal = lab.job()?.request(client_credentials(Some("no-such"))).await.unwrap_err();
    assert_eq!(refusal.code(), "invalid_scope");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_exchanges_a_persons_token_for_another_audience() -> Result<()> {
    let lab = Lab::common().await?;
    let client = lab.client("notebook", secret("notebook"))?;
    let login = lab.log_in(&client, lab.login_request()?, "alice").await?;
    let theirs = login.tokens.access_token;
    let verifier = lab.verifier("churn")?;
    verifier.access_token(theirs.expose()).await.expect_err("the login's token is not for churn");

    let exchange = |audience: &str| {
        let mut grant = Grant::exchange(theirs.clone(), audience);
        if let Grant::TokenExchange { scope, .. } = &mut grant {
            *scope = Some("churn".into());
        }
        grant
    };
    let notebook = lab.endpoint("notebook", secret("notebook"))?;
    let tokens = notebook.request(exchange("churn")).await?;
    assert_eq!(
        tokens.issued_token_type.as_deref(),
        Some("urn:ietf:params:oauth:token-type:access_token")
    );
    let token = verifier.access_token(tokens.access_token.expose()).await?;
    assert_eq!(token.subject(), login.id_token.subject(), "the subject is still the user");
    assert_eq!(token.client(), Some("notebook"), "the client is the one that exchanged it");

    let refusal = notebook.request(exchange("no-such-service")).await.unwrap_err();
    assert!(refusal.to_string().contains("Audience not found"), "{refusal}");
    let job = lab.job()?;
    let refusal = job.request(exchange("churn")).await.unwrap_err();
    assert_eq!(refusal.code(), "invalid_request", "{refusal}: the client may not exchange");
    let mut gone = exchange("churn");
    if let Grant::TokenExchange { subject_token, .. } = &mut gone {
        *subject_token = "no.such.token".into();
    }
    let refusal = notebook.request(gone).await.unwrap_err();
    assert!(!refusal.is_temporary(), "{refusal:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchanged_token_ends_with_the_login_it_came_from() -> Result<()> {
    let lab = Lab::common().await?;
    let client = lab.client("notebook", secret("notebook"))?;
    let login = lab.log_in(&client, lab.login_request()?, "dave").await?;
    lab.realm.log_out("dave").await?;
    let mut grant = Grant::exchange(login.tokens.access_token, "churn");
    if let Grant::TokenExchange { scope, .. } = &mut grant {
        *scope = Some("churn".into());
    }
    let notebook = lab.endpoint("notebook", secret("notebook"))?;
    let refusal = notebook.request(grant).await.unwrap_err();
    assert!(!refusal.is_temporary(), "{refusal:?}");
    assert!(!matches!(refusal, TokenEndpointError::InvalidClient { .. }), "{refusal:?}");
    Ok(())
}
