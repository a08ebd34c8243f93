//! `oidcc-client-refreshtoken-test-plan`.

use std::time::Duration;

use e2e::wait;

use super::*;
use crate::refreshes;

/// A session whose access token lasts two seconds, and whose refresh brings an ID token with this change; whether it goes on.
async fn goes_on(module: &str, change: impl FnOnce(&mut Members)) -> Result<bool> {
    let forger = Forger::start().await?;
    let stage = refreshes::stage(module, &forger).await?;
    let browser = refreshes::session(&stage, &forger, 2, Some("r"), |_| {}).await?;
    let mut id_claims = forger.id_claims("n");
    id_claims.remove("nonce");
    change(&mut id_claims);
    let next = refreshes::answer(&forger, &id_claims, &forger.claims(), 300)?;
    let asked = forger.asked("/token");
    forger.answer_token_requests(200, &next);
    wait::until("the refresh", Duration::from_secs(10), async || {
        browser.fetch("/echo").await?;
        Ok((forger.asked("/token") > asked).then_some(()))
    })
    .await?;
    // The first access token is over by then.
    tokio::time::sleep(Duration::from_secs(3)).await;
    Ok(browser.fetch("/echo").await?.status == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_refresh_token() -> Result<()> {
    ensure!(goes_on("oidcc-client-test-refresh-token", |_| {}).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_refresh_token_invalid_issuer() -> Result<()> {
    let foreign =
        |claims: &mut Members| drop(claims.insert("iss".into(), json!("https://op.example/")));
    ensure!(!goes_on("oidcc-client-test-refresh-token-invalid-issuer", foreign).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_refresh_token_invalid_sub() -> Result<()> {
    let other = |claims: &mut Members| drop(claims.insert("sub".into(), json!("another")));
    ensure!(!goes_on("oidcc-client-test-refresh-token-invalid-sub", other).await?);
    Ok(())
}
