//! The log of a request: one decision with its reason, and the reference of the answer on every line.

use std::time::Duration;

use anyhow::{Result, ensure};
use dev_issuer::{Endpoint, Fault, Mint};
use serde_json::Value;

use crate::{
    browser::{Browser, callback},
    stage::Stage,
};

/// The decision about the request with this reference.
fn decision(lines: &[Value], reference: &str) -> Result<Value> {
    let of_request =
        |line: &&Value| line["request_id"] == reference && line["decision"].is_string();
    let found: Vec<_> = lines.iter().filter(of_request).collect();
    ensure!(found.len() == 1, "{} decisions for {reference}: {found:#?}", found.len());
    Ok(found[0].clone())
}

/// The log, once its lines are written.
async fn log(stage: &Stage) -> Result<Vec<Value>> {
    tokio::time::sleep(Duration::from_millis(300)).await;
    stage.gateway.log_lines()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_callback_is_denied_with_its_reason() -> Result<()> {
    let stage = Stage::new("attack-audit-callback").await?;
    let mut references = Vec::new();
    for (fault, code) in [(Fault::WrongNonce, "login_failed"), (Fault::WrongIssuer, "login_failed")]
    {
        let browser = Browser::new(&stage);
        let target = callback(&stage, &browser.begin("/echo").await?, "alice")?;
        stage.issuer.faults().set(fault, Endpoint::Token);
        let answer = browser.open(&target).await?;
        stage.issuer.faults().clear();
        ensure!(answer.status == 400, "{fault:?}: {answer:?}");
        ensure!(answer.body.contains("Sign-in did not finish"), "{fault:?}: no page: {answer:?}");
        references.push((answer.header("x-request-id").to_owned(), code));
    }
    let stranger = Browser::new(&stage).open("/oauth2/callback?code=c&state=s").await?;
    ensure!(stranger.status == 400, "{stranger:?}");
    let reference = stranger.header("x-request-id").to_owned();
    references.push((reference, "no_transaction"));

    let good = Browser::signed_in(&stage, "alice").await?.cookie();
    let lines = log(&stage).await?;
    for (reference, code) in &references {
        let line = decision(&lines, reference)?;
        ensure!(line["decision"] == "deny" && line["outcome"] == *code, "{line:#?}");
        let reason = line["reason"].as_str().unwrap_or_default();
        ensure!(reason.starts_with("sign-in failed: "), "{line:#?}");
    }
    let finished = lines.iter().rfind(|line| line["path"] == "/oauth2/callback");
    ensure!(finished.is_some_and(|line| line["decision"] == "allow"), "{finished:#?}");
    stage.finish(&[&good])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_request_has_its_reference() -> Result<()> {
    let stage = Stage::new("attack-audit-reference").await?;
    let bad = stage.issuer.mint(Mint::access("bob").wrong_key())?;
    let mut references = Vec::new();
    for answer in [
        stage.get("/echo").send().await?,
        stage.get("/echo").bearer(&bad).send().await?,
        stage.get("/oauth2/auth").send().await?,
        stage.get("/oauth2/start?rd=/echo").send().await?,
        stage.get("/nowhere").send().await?,
        stage.get("/").navigating().send().await?,
        stage.get("/echo%2fx/..").send().await?,
    ] {
        let reference = answer.header("x-request-id").to_owned();
        references.push((reference, answer.status));
    }
    let lines = log(&stage).await?;
    for (reference, status) in &references {
        let line = decision(&lines, reference)?;
        let logged = line["status"].as_u64();
        // A question is answered by 403 whatever the refusal.
        ensure!(logged == Some(u64::from(*status)) || *status == 403, "{status}: {line:#?}");
    }
    let without: Vec<_> = lines
        .iter()
        .filter(|line| line.get("path").is_some() && line["request_id"].as_str().is_none())
        .collect();
    ensure!(without.is_empty(), "lines of requests without a reference: {without:#?}");
    let question = lines.iter().find(|line| line["msg"] == "forward-auth question refused");
    ensure!(question.is_some_and(|line| line["request_id"].is_string()), "{question:?}");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn own_urls_name_the_methods_they_take() -> Result<()> {
    let stage = Stage::new("attack-own-methods").await?;
    for (method, target, allowed) in [
        ("POST", "/oauth2/start", "GET,HEAD"),
        ("DELETE", "/oauth2/sign_out", "GET,HEAD,POST"),
        ("GET", "/oauth2/session/refresh", "POST"),
        ("GET", "/oauth2/backchannel_logout", "POST"),
    ] {
        let answer = stage.ask(method, target).send().await?;
        ensure!(answer.status == 405, "{method} {target}: {answer:?}");
        ensure!(answer.header("allow") == allowed, "{method} {target}: {answer:?}");
        ensure!(answer.header("cache-control") == "no-store", "{method} {target}: {answer:?}");
    }
    // HEAD is answered as GET is, without a body (RFC 9110 §9.3.2).
    let head = stage.ask("HEAD", "/oauth2/jwks").send().await?;
    let get = stage.get("/oauth2/jwks").send().await?;
    ensure!(head.status == 200 && head.body.is_empty(), "{head:?}");
    ensure!(head.header("content-length") == get.header("content-length"), "{head:?} {get:?}");
    for name in ["/oauth2/", "/oauth2/nothing", "/oauth2/start/", "/oauth2/{x}", "/oauth2/auth/x"] {
        let answer = stage.get(name).send().await?;
        ensure!(answer.status == 404, "{name}: {answer:?}");
    }
    stage.finish(&[])
}
