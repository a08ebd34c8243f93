//! Mistakes that time does not correct: they are named as such, with their remedy, and never as an outage.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{Dialect, Endpoint, Fault, Mint};
use e2e::{tools, wait};
use serde_json::json;

use crate::{
    browser::Browser,
    stage::{Setup, Stage},
};

/// Answers of a gateway whose issuer is misconfigured: a bearer token and a sign-in.
async fn mistaken(stage: &Stage, named: &str, member: &str) -> Result<()> {
    let token = stage.issuer.mint(Mint::access("alice").issuer(named))?;
    wait::until("the mistake", Duration::from_secs(8), async || {
        let answer = stage.get("/oauth2/start?rd=/echo").navigating().send().await?;
        Ok((answer.status == 500).then_some(()))
    })
    .await?;
    let page = stage.get("/oauth2/start?rd=/echo").navigating().send().await?;
    ensure!(page.body.contains("not set up correctly"), "{page:?}");
    ensure!(!page.body.contains("Try again"), "{page:?}");
    let refused = stage.get("/echo").bearer(&token).send().await?;
    for answer in [&page, &refused] {
        ensure!(answer.status == 500 && answer.header("retry-after").is_empty(), "{answer:?}");
        // Addresses of the inside are for the log only.
        ensure!(!answer.body.contains(&stage.issuer.addr().to_string()), "{answer:?}");
    }
    wait::until("a log line that names the member", Duration::from_secs(5), async || {
        let log = stage.gateway.log_lines()?;
        Ok(log.iter().any(|line| line.to_string().contains(&format!("`{member}`"))).then_some(()))
    })
    .await?;
    assert_eq!(stage.get("/public/x").send().await?.status, 200, "public routes are served");
    Ok(())
}

/// The output of `check --online`, which must fail.
fn checked(stage: &Stage) -> Result<String> {
    let output = Command::new(tools::doorward()?)
        .args(["check", "--online", "--config"])
        .arg(stage.gateway.config())
        .output()?;
    ensure!(!output.status.success(), "{output:?}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slash_at_the_issuers_end_is_named() -> Result<()> {
    let setup = Setup::new("mistake-slash").naming(|url| format!("{url}/"));
    let stage = setup.without_provider().start().await?;
    stage.issuer.resume().await?;
    mistaken(&stage, &format!("{}/", stage.issuer.url()), "issuer").await?;
    let text = checked(&stage)?;
    ensure!(
        text.contains(stage.issuer.url()) && text.contains("with or without a slash"),
        "{text}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_realm_is_named() -> Result<()> {
    let setup = Setup::new("mistake-realm").naming(|url| url.replace("/dev", "/deb"));
    let stage = setup.without_provider().start().await?;
    stage.issuer.resume().await?;
    mistaken(&stage, &stage.issuer.url().replace("/dev", "/deb"), "url").await?;
    let text = checked(&stage)?;
    ensure!(text.contains("404") && text.contains("the realm exists"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn https_to_a_plain_port_is_named() -> Result<()> {
    let setup = Setup::new("mistake-tls").naming(|url| url.replace("http:", "https:"));
    let stage = setup.without_provider().start().await?;
    stage.issuer.resume().await?;
    mistaken(&stage, &stage.issuer.url().replace("http:", "https:"), "url").await?;
    let text = checked(&stage)?;
    ensure!(text.contains("does not speak TLS"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_without_usable_keys_is_named() -> Result<()> {
    let stage = Setup::new("mistake-keys").without_provider().start().await?;
    stage.issuer.faults().set(Fault::NoKeys, Endpoint::Jwks);
    stage.issuer.resume().await?;
    let token = stage.issuer.mint(Mint::access("alice"))?;
    wait::until("the mistake", Duration::from_secs(8), async || {
        Ok((stage.get("/echo").bearer(&token).send().await?.status == 500).then_some(()))
    })
    .await?;
    let text = checked(&stage)?;
    ensure!(text.contains("`jwks_uri`") && text.contains("no usable key"), "{text}");
    // Corrected at the provider: the gateway notices.
    stage.issuer.faults().clear();
    wait::until("the correction", Duration::from_secs(8), async || {
        Ok((stage.get("/echo").bearer(&token).send().await?.status == 200).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_the_wrong_type_is_named() -> Result<()> {
    let dialect = Dialect::new().discovery("token_endpoint", json!(["a", "b"]));
    let setup = Setup::new("mistake-member").without_provider();
    let stage = setup.with_issuer(|issuer| issuer.dialect(dialect)).start().await?;
    stage.issuer.resume().await?;
    mistaken(&stage, stage.issuer.url(), "token_endpoint").await?;
    stage.issuer.set_dialect(Dialect::new());
    wait::until("the correction", Duration::from_secs(8), async || {
        Ok((Browser::new(&stage).sign_in("alice").await.is_ok_and(|answer| answer.status == 302))
            .then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn loopback_is_reached_without_a_proxy() -> Result<()> {
    let stage = Stage::new("loopback-proxy").await?;
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").context("a proxy")?;
    proxy.set_nonblocking(true)?;
    let address = format!("http://{}", proxy.local_addr()?);
    let mut command = Command::new(tools::doorward()?);
    command.args(["check", "--online", "--config"]).arg(stage.gateway.config());
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
    {
        command.env(name, &address);
    }
    for name in ["NO_PROXY", "no_proxy"] {
        command.env_remove(name);
    }
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(text.contains("issuers.main: answers"), "{text} {output:?}");
    let asked = proxy.accept();
    ensure!(
        asked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
        "the proxy was asked"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_what_the_provider_does_not_offer() -> Result<()> {
    let dialect = Dialect::new()
        .discovery("grant_types_supported", json!(["authorization_code"]))
        .discovery("token_endpoint_auth_methods_supported", json!(["private_key_jwt"]))
        .without_discovery("userinfo_endpoint");
    let setup = Setup::new("check-offers").with_issuer(|issuer| issuer.dialect(dialect));
    let stage =
        setup.with_plan(|plan| plan.with_issuer_setting("userinfo: always")).start().await?;
    let text = checked(&stage)?;
    for named in [
        "the provider issues no refresh tokens: sessions then end with their access token",
        "without_refresh: keep_identity",
        "unsupported client secret",
        "unsupported UserInfo",
    ] {
        ensure!(text.contains(named), "{named}: {text}");
    }
    Ok(())
}
