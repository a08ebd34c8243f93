//! `oidcc-client-config-certification-test-plan`; `idtoken-sig-none` is in the plan before.

use std::time::Duration;

use dev_issuer::{Endpoint, Fault};
use e2e::wait;

use super::*;
use crate::browser::callback;

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_discovery_openid_config() -> Result<()> {
    let suite = Suite::start("oidcc-client-test-discovery-openid-config").await?;
    suite.accepts(honest).await?;
    ensure!(suite.forger.asked("/.well-known/openid-configuration") > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_discovery_jwks_uri_keys() -> Result<()> {
    // The forger's port, and so its `jwks_uri` and its key, are others in each run.
    let suite = Suite::start("oidcc-client-test-discovery-jwks-uri-keys").await?;
    suite.accepts(honest).await?;
    ensure!(suite.forger.asked("/jwks") > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_discovery_issuer_mismatch() -> Result<()> {
    let setup = Setup::new("oidcc-client-test-discovery-issuer-mismatch").without_provider();
    let stage = setup.start().await?;
    stage.issuer.faults().set(Fault::WrongIssuer, Endpoint::Discovery);
    stage.issuer.resume().await?;
    wait::until("the discovery", Duration::from_secs(30), async || {
        // Nothing is sent to a provider that says it is another.
        let start = match stage.get("/oauth2/start?rd=/echo").navigating().send().await {
            Ok(start) => start,
            // The gateway may not listen yet.
            Err(_) => return Ok(None),
        };
        // The first answer may come before the document was read.
        ensure!(matches!(start.status, 500 | 503), "{start:?}");
        Ok((stage.issuer.requests(Endpoint::Discovery) > 1).then_some(()))
    })
    .await?;
    assert_eq!(stage.issuer.requests(Endpoint::Authorization), 0);
    assert_eq!(stage.issuer.requests(Endpoint::Par), 0);
    stage.issuer.faults().clear();
    wait::until("a login", Duration::from_secs(60), async || {
        Ok(Browser::signed_in(&stage, "alice").await.ok().map(drop))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_signing_key_rotation() -> Result<()> {
    let stage = Stage::new("oidcc-client-test-signing-key-rotation").await?;
    Browser::signed_in(&stage, "alice").await?;
    stage.issuer.rotate_keys().await?;
    stage.issuer.remove_old_keys();
    let browser = Browser::signed_in(&stage, "alice").await?;
    assert_eq!(browser.who().await?.as_deref(), Some("alice"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_signing_key_rotation_just_before_signing() -> Result<()> {
    let stage = Stage::new("oidcc-client-test-signing-key-rotation-just-before").await?;
    let browser = Browser::new(&stage);
    let at_provider = browser.begin("/echo").await?;
    let back = callback(&stage, &at_provider, "alice")?;
    stage.issuer.rotate_keys().await?;
    stage.issuer.remove_old_keys();
    assert_eq!(browser.open(&back).await?.status, 302);
    assert_eq!(browser.who().await?.as_deref(), Some("alice"));
    Ok(())
}
