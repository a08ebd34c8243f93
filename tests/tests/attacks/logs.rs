//! The log at its most verbose level holds nothing that signs a user in.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{Endpoint, Fault, Mint};
use e2e::visitor::form_token;

use crate::{
    browser::{Browser, callback},
    login_flow::parameter,
    sessions::store,
    stage::{Setup, Stage},
};

#[tokio::test(flavor = "multi_thread")]
async fn no_log_line_at_any_level_signs_a_user_in() -> Result<()> {
    for cookie_sessions in [false, true] {
        let name = if cookie_sessions { "attack-logs-sealed" } else { "attack-logs" };
        let stage = store(Setup::new(name), cookie_sessions)
            .with_issuer(|issuer| issuer.access_token_lifetime(Duration::from_secs(4)))
            .start()
            .await?;
        let mut secrets = everything_at_once(&stage).await?;
        // Sent by an attacker, but a user's credential all the same.
        secrets.retain(|secret| secret.len() > 8);
        ensure!(secrets.len() > 8, "{name}: too few secrets to look for");
        ensure!(stage.gateway.log_lines()?.len() > 20, "{name}: nothing was logged");
        stage.gateway.finish(&secrets).with_context(|| name)?;
    }
    Ok(())
}

/// Performs logins, requests, refusals, refreshes, faults and logouts; returns the secrets in them.
async fn everything_at_once(stage: &Stage) -> Result<Vec<String>> {
    let mut secrets = Vec::new();
    let browser = Browser::new(stage);
    let at_provider = browser.begin("/echo?password=hunter2-hunter2").await?;
    secrets.extend(values(&browser.cookie()));
    let target = callback(stage, &at_provider, "alice")?;
    for name in ["code", "state"] {
        secrets.push(parameter(&target, name)?);
    }
    browser.open(&target).await?;
    browser.open(&target).await?;
    Browser::new(stage).open(&target).await?;
    secrets.extend(values(&browser.cookie()));
    let page = browser.open("/oauth2/sign_out").await?;
    let csrf = form_token(&page.body)?;
    secrets.push(csrf.clone());

    let good = stage.issuer.mint(Mint::access("bob"))?;
    let bad = stage.issuer.mint(Mint::access("bob").wrong_key())?;
    for token in [&good, &bad] {
        stage.get("/echo").bearer(token).send().await?;
        stage.get("/admin/x").bearer(token).send().await?;
        stage.get(&format!("/echo?access_token={token}")).send().await?;
        stage.get(&format!("/nowhere?token={token}")).navigating().send().await?;
        stage.get("/echo").header("Authorization", format!("Basic {token}")).send().await?;
        stage.get("/echo").header("Cookie", format!("doorward={token}")).send().await?;
        let form = [("logout_token", token.as_str())];
        stage.post("/oauth2/backchannel_logout").form(&form).send().await?;
        // Also when it cannot be read.
        stage
            .raw(format!(
                "GET /echo HTTP/1.1\r\nHost: HOST\r\nAuthorization : Bearer {token}\r\n\r\n"
            ))
            .await?;
        stage
            .raw(format!("GET /echo?t={token} HTTP/1.1\r\nHost: HOST\r\nX_Y: {token}\r\n\r\n"))
            .await?;
        secrets.extend(token.split('.').map(str::to_owned));
    }
    for fault in [Fault::Garbage, Fault::WrongNonce, Fault::WrongIssuer, Fault::Down(500)] {
        let other = Browser::new(stage);
        let at_provider = other.begin("/echo").await?;
        let target = callback(stage, &at_provider, "bob")?;
        stage.issuer.faults().set(fault, Endpoint::Token);
        other.open(&target).await?;
        secrets.push(parameter(&target, "code")?);
        stage.issuer.faults().clear();
    }
    // The refresh, which the provider first refuses to answer.
    stage.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    tokio::time::sleep(Duration::from_millis(4300)).await;
    browser.open("/echo").await?;
    stage.issuer.faults().clear();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    ensure!(browser.open("/echo").await?.status == 200, "no refresh");
    secrets.extend(values(&browser.cookie()));
    browser.post("/oauth2/sign_out", "https://evil.test", &[("csrf", &csrf)]).await?;
    let page = browser.open("/oauth2/sign_out").await?;
    let csrf = form_token(&page.body)?;
    let left = browser.post("/oauth2/sign_out", &stage.origin(), &[("csrf", &csrf)]).await?;
    ensure!(left.status == 303, "{left:?}");
    secrets.push(csrf);
    Ok(secrets)
}

fn values(cookie: &str) -> Vec<String> {
    cookie
        .split("; ")
        .filter_map(|pair| pair.split_once('='))
        .map(|(_, value)| value.to_owned())
        .collect()
}
