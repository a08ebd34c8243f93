//! `oidcc-client-basic-certification-test-plan`.

use dev_issuer::{Algorithm, DevIssuer};

use super::*;
use crate::{
    browser::callback,
    forger::{members, signing_input},
};

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test() -> Result<()> {
    let stage = Stage::new("oidcc-client-test").await?;
    let alice = Browser::signed_in(&stage, "alice").await?;
    assert_eq!(alice.open("/echo").await?.status, 200);
    let cookie = alice.cookie();
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_invalid_iss() -> Result<()> {
    let suite = Suite::start("oidcc-client-test-invalid-iss").await?;
    suite.refuses("iss", claiming("iss", json!("https://op.example/1"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_missing_sub() -> Result<()> {
    Suite::start("oidcc-client-test-missing-sub").await?.refuses("sub", without("sub")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_invalid_aud() -> Result<()> {
    let suite = Suite::start("oidcc-client-test-invalid-aud").await?;
    suite.refuses("aud", claiming("aud", json!("gateway1"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_missing_iat() -> Result<()> {
    Suite::start("oidcc-client-test-missing-iat").await?.refuses("iat", without("iat")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_nonce_invalid() -> Result<()> {
    let suite = Suite::start("oidcc-client-test-nonce-invalid").await?;
    suite.refuses("nonce", claiming("nonce", json!("another"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_idtoken_sig_rs256() -> Result<()> {
    let setup = Setup::new("oidcc-client-test-idtoken-sig-rs256")
        .with_issuer(|issuer| issuer.id_token_algorithm(Algorithm::RS256));
    let stage = setup.start().await?;
    let browser = Browser::new(&stage);
    let at_provider = browser.begin("/echo").await?;
    let back = browser.open(&callback(&stage, &at_provider, "alice")?).await?;
    assert_eq!((back.status, browser.who().await?.as_deref()), (302, Some("alice")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_idtoken_sig_none() -> Result<()> {
    let suite = Suite::start("oidcc-client-test-idtoken-sig-none").await?;
    let unsigned = |_: &Forger, claims: Members| {
        let header = serde_json::to_vec(&json!({ "alg": "none" }))?;
        Ok(format!("{}.", signing_input(&header, &serde_json::to_vec(&claims)?)))
    };
    suite.refuses("alg none", unsigned).await
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_invalid_sig_rs256() -> Result<()> {
    let suite = Suite::start("oidcc-client-test-invalid-sig-rs256").await?;
    // A real RSA key whose owner did not sign.
    let other = DevIssuer::builder().start("127.0.0.1:0").await?;
    let discovery: Value =
        e2e::visitor::plain_client()?.get(other.discovery_url()).send().await?.json().await?;
    let jwks = discovery["jwks_uri"].as_str().context("no jwks_uri")?;
    let keys: Value = e2e::visitor::plain_client()?.get(jwks).send().await?.json().await?;
    let keys = keys["keys"].as_array().context("no keys")?;
    let rsa = keys.iter().find(|key| key["kty"] == "RSA").context("no RSA key")?.clone();
    let kid = rsa["kid"].clone();
    suite.forger.publish(rsa);
    let badly_signed = move |_: &Forger, claims: Members| {
        let header = serde_json::to_vec(&json!({ "alg": "RS256", "kid": kid }))?;
        let input = signing_input(&header, &serde_json::to_vec(&claims)?);
        Ok(format!("{input}.{}", "A".repeat(342)))
    };
    suite.refuses("signature", badly_signed).await
}

/// An ID token whose header has no `kid`.
fn without_kid(forger: &Forger, claims: Members) -> Result<String> {
    forger.token(&members(json!({ "alg": "ES256" })), &claims)
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_kid_absent_single_jwks() -> Result<()> {
    Suite::start("oidcc-client-test-kid-absent-single-jwks").await?.accepts(without_kid).await
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_kid_absent_multiple_jwks() -> Result<()> {
    let forger = Forger::start().await?;
    let mut second = Forger::start().await?.public_key();
    second["kid"] = json!("second");
    forger.publish(second);
    let url = forger.url();
    let setup = Setup::new("oidcc-client-test-kid-absent-multiple-jwks");
    let stage = setup.with_plan(move |plan| plan.with_issuer(&url)).start().await?;
    Suite { forger, stage }.refuses("no kid, two keys", without_kid).await
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_scope_userinfo_claims() -> Result<()> {
    let suite = Suite::start("oidcc-client-test-scope-userinfo-claims").await?;
    let at_provider = Browser::new(&suite.stage).begin("/echo").await?;
    let scope = parameter(at_provider.as_str(), "scope")?;
    let scopes: Vec<&str> = scope.split(' ').collect();
    for wanted in ["openid", "profile", "email"] {
        ensure!(scopes.contains(&wanted), "{wanted}: {scope}");
    }
    // Claims of these scopes in the ID token become the identity.
    let (browser, _) = suite.log_in(claiming("email", json!("alice@example.com"))).await?;
    let who = browser.fetch("/oauth2/userinfo").await?.json()?;
    assert_eq!(who["email"], "alice@example.com", "{who}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_client_secret_basic() -> Result<()> {
    let suite = Suite::start("oidcc-client-test-client-secret-basic").await?;
    suite.accepts(honest).await?;
    let authorization = suite.forger.last_authorization().context("no token request")?;
    ensure!(authorization.starts_with("Basic "), "{}", &authorization[..6]);
    Ok(())
}
