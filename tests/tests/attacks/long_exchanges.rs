//! Exchanges that last: they live as long as their session and their right, and no longer.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevIssuerBuilder, Mint};
use e2e::{wait, wire::Wire};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    open_streams::{SOON, closes, reload, socket},
    stage::{Setup, Stage},
};

const IDLE: Duration = Duration::from_secs(6);

fn short_tokens(issuer: DevIssuerBuilder) -> DevIssuerBuilder {
    issuer.access_token_lifetime(Duration::from_secs(6))
}

/// Begins a chunked upload.
async fn upload(stage: &Stage, path: &str, field: (&str, &str)) -> Result<Wire> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: HOST\r\n{}: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        field.0, field.1
    );
    let mut wire = stage.connect().await?;
    wire.send(stage.filled(head.as_bytes())).await;
    Ok(wire)
}

/// Sends half a kilobyte at a time for so long, and the end.
async fn send_for(wire: &mut Wire, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        wire.send(format!("200\r\n{}\r\n", "x".repeat(0x200))).await;
        sleep(Duration::from_millis(400)).await;
    }
    wire.send("0\r\n\r\n").await;
}

/// The audit lines of so many streams that ended.
async fn ended(stage: &Stage, count: usize) -> Result<Vec<Value>> {
    lines(stage, count, |line| line["msg"] == "stream ended").await
}

/// So many lines of this kind; they are written in a thread of their own.
async fn lines(stage: &Stage, count: usize, is: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
    wait::until("the log lines", SOON, async || {
        let found: Vec<Value> =
            stage.gateway.log_lines()?.into_iter().filter(|line| is(line)).collect();
        Ok((found.len() >= count).then_some(found))
    })
    .await
}

fn bearer(stage: &Stage, life: Duration) -> Result<String> {
    let token = stage.issuer.mint(Mint::access("alice").client("gateway").expires_in(life))?;
    Ok(format!("Bearer {token}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn work_over_a_socket_alone_keeps_the_session() -> Result<()> {
    let stage = Setup::new("long-socket")
        .with_issuer(short_tokens)
        .with_plan(|plan| plan.with_session_setting("idle: 6s"))
        .start()
        .await?;
    let cookie = stage.sign_in("alice").await?;
    let mut ws = socket(&stage, "/ws", &[("cookie", &cookie)]).await?;
    let begun = Instant::now();
    while begun.elapsed() < 4 * IDLE {
        assert_eq!(ws.ask("still").await?, "still");
        sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(stage.get("/echo").header("Cookie", &cookie).send().await?.status, 200);
    let refreshed = stage.issuer.requests(dev_issuer::Endpoint::Token);
    ensure!(refreshed >= 3, "the tokens were refreshed {refreshed} times");

    // The answers to pings are no work: without messages the session ends.
    closes(&mut ws, 3 * IDLE).await?;
    assert_eq!(stage.get("/echo").header("Cookie", &cookie).send().await?.status, 401);
    let lines = ended(&stage, 1).await?;
    ensure!(lines.len() == 1, "{lines:?}");
    assert_eq!(lines[0]["reason"], "the session has ended");
    assert_eq!(lines[0]["protocol"], "websocket");
    assert_eq!(lines[0]["user"], "alice");
    assert_eq!(lines[0]["credential"], "session");
    for count in ["bytes_received", "bytes_sent", "took_ms"] {
        ensure!(lines[0][count].as_u64().is_some_and(|count| count > 50), "{lines:?}");
    }
    let opened = stage.gateway.audit()?;
    ensure!(
        opened.iter().any(|line| line["request_id"] == lines[0]["request_id"]),
        "both lines have one reference"
    );
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_under_way_keeps_the_session() -> Result<()> {
    let stage = Setup::new("long-upload")
        .with_issuer(short_tokens)
        .with_plan(|plan| plan.with_session_setting("idle: 6s"))
        .start()
        .await?;
    let cookie = stage.sign_in("alice").await?;
    let mut wire = upload(&stage, "/echo/up", ("Cookie", &cookie)).await?;
    send_for(&mut wire, 3 * IDLE).await;
    assert_eq!(wire.answer().await?.status, 200);
    assert_eq!(stage.get("/echo").header("Cookie", &cookie).send().await?.status, 200);
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_under_way_keeps_the_session() -> Result<()> {
    let stage = Setup::new("long-download")
        .with_issuer(short_tokens)
        .with_plan(|plan| plan.with_session_setting("idle: 6s"))
        .start()
        .await?;
    let cookie = stage.sign_in("alice").await?;
    let head =
        format!("GET /echo/sse?n=40&ms=500 HTTP/1.1\r\nHost: HOST\r\nCookie: {cookie}\r\n\r\n");
    let mut wire = stage.connect().await?;
    wire.send(stage.filled(head.as_bytes())).await;
    sleep(3 * IDLE).await;
    let answer = wire.answer().await?;
    ensure!(answer.body.contains("event 39"), "it was cut: {}", answer.body.len());
    assert_eq!(stage.get("/echo").header("Cookie", &cookie).send().await?.status, 200);
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_token_cuts_streams_and_no_upload() -> Result<()> {
    let stage = Setup::new("long-bearer")
        .with_routes(
            "free:
  match: { path: /free }
  upstream: UPSTREAM
  streams: until_done
  access: [{ allow: signed_in }]
",
        )
        .with_plan(|plan| plan.with_issuer_setting("leeway: 0s"))
        .start()
        .await?;
    let life = Duration::from_secs(4);
    let token = bearer(&stage, life)?;
    let minted = Instant::now();
    let field = [("authorization", token.as_str())];
    let mut until_token_ends = socket(&stage, "/ws", &field).await?;
    let mut until_done = socket(&stage, "/free/ws", &field).await?;
    let mut wire = upload(&stage, "/echo/slow?ms=1500", ("Authorization", &token)).await?;
    let (closed, ()) = tokio::join!(
        closes(&mut until_token_ends, life + SOON),
        send_for(&mut wire, life + Duration::from_secs(2))
    );
    closed?;
    assert_eq!(wire.answer().await?.status, 200, "the answer that arrived is passed on");
    ensure!(minted.elapsed() > life, "the token had not ended");
    assert_eq!(until_done.ask("still").await?, "still");
    let refused = stage.get("/echo").header("Authorization", &token).send().await?;
    assert_eq!(refused.status, 401, "a new request needs a new token");

    // What outlives its token is still judged when the rules change, by the caller that the token stated.
    reload(&stage, "until_done", "until_done\n    title: Free").await?;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(until_done.ask("still").await?, "still");
    let access = "title: Free\n    access: [{ allow: signed_in }]";
    reload(&stage, access, "title: Free\n    access: [{ allow: { groups: [/other] } }]").await?;
    closes(&mut until_done, SOON).await?;
    let reasons: Vec<Value> =
        ended(&stage, 2).await?.into_iter().map(|line| line["reason"].clone()).collect();
    assert_eq!(reasons, ["the bearer token has expired", "the caller is no longer permitted"]);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_past_its_token_ends_with_its_right() -> Result<()> {
    let stage = Setup::new("long-bearer-right")
        .with_plan(|plan| plan.with_issuer_setting("leeway: 0s"))
        .start()
        .await?;
    let token = bearer(&stage, Duration::from_secs(2))?;
    let mut wire = upload(&stage, "/admin/up", ("Authorization", &token)).await?;
    for _ in 0..8 {
        wire.send(format!("200\r\n{}\r\n", "x".repeat(0x200))).await;
        sleep(Duration::from_millis(500)).await;
    }
    reload(&stage, "{ roles: [admin] }", "{ roles: [other] }").await?;
    let answer = timeout(SOON, wire.answer()).await.context("the upload goes on")??;
    assert_eq!(answer.status, 403);
    ensure!(stage.reached().is_empty(), "the upstream never got a whole request");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn with_cookie_sessions_an_upload_needs_no_request() -> Result<()> {
    let stage = Setup::new("long-cookie-store")
        .with_issuer(short_tokens)
        .with_plan(|plan| plan.with_cookie_sessions())
        .start()
        .await?;
    let cookie = stage.sign_in("alice").await?;
    let mut wire = upload(&stage, "/echo/up", ("Cookie", &cookie)).await?;
    // Past the token and the grace of a minute, which closes streams with this store.
    send_for(&mut wire, Duration::from_secs(72)).await;
    assert_eq!(wire.answer().await?.status, 200);
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_learns_that_its_user_is_signed_out() -> Result<()> {
    let stage = Setup::new("long-signed-out")
        .with_routes(
            "lab:
  match: { path: /lab }
  upstream: UPSTREAM
  preset: jupyterhub
  access: [{ allow: signed_in }]
board:
  match: { path: /board }
  upstream: UPSTREAM
  preset: streamlit
  access: [{ allow: signed_in }]
",
        )
        .start()
        .await?;
    let script = async |path: &str| {
        stage.get(path).header("Sec-Fetch-Mode", "cors").header("Cookie", "doorward=x").send().await
    };
    let plain = script("/echo/data").await?;
    assert_eq!(plain.status, 401);
    let message = plain.json()?["message"].clone();
    ensure!(message.as_str().is_some_and(|text| text.contains("signed out")), "{message}");
    let lab = script("/lab/user/alice/api/kernels").await?;
    assert_eq!((lab.status, lab.header("www-authenticate")), (424, ""));
    assert_eq!(lab.json()?["message"], message);
    let board = script("/board/_stcore/health").await?;
    assert_eq!((board.status, board.header("content-type")), (401, "application/json"));
    assert_eq!(board.json()?, message);
    for path in ["/lab/api", "/board/x"] {
        let program = stage.get(path).send().await?;
        assert_eq!(program.status, 401);
        ensure!(program.header("www-authenticate").starts_with("Bearer"), "{program:?}");
    }
    let logged = lines(&stage, 1, |line| line["path"] == "/lab/user/alice/api/kernels").await?;
    assert_eq!(logged[0]["status"], 424);
    stage.finish(&[])
}
