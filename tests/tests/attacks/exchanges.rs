//! The audit line of an exchange: its target and its bytes, written once, when both are known.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dev_issuer::Mint;
use e2e::wait;
use serde_json::Value;

use crate::stage::Stage;

/// The decision about the last request for this path, once it is written.
async fn decision(stage: &Stage, path: &str) -> Result<Value> {
    wait::until(path, Duration::from_secs(10), async || {
        let lines = stage.gateway.audit()?;
        let found: Vec<_> = lines.into_iter().filter(|line| line["path"] == path).collect();
        ensure!(found.len() < 2, "several decisions: {found:#?}");
        Ok(found.into_iter().next())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_of_an_exchange_has_target_and_bytes() -> Result<()> {
    let stage = Stage::new("exchange-bytes").await?;
    let token = stage.issuer.mint(Mint::access("bob"))?;
    let answer = stage.post("/echo/up").bearer(&token).body(vec![b'x'; 70_000]).send().await?;
    ensure!(answer.status == 200, "{}", answer.status);
    let line = decision(&stage, "/echo/up").await?;
    assert_eq!(line["upstream"], stage.upstream.url());
    assert_eq!(line["bytes_received"], 70_000);
    assert_eq!(line["bytes_sent"], answer.body.len());
    let given = stage.upstream.last("/echo/up")?.value("x-request-id").context("no id")?;
    assert_eq!(line["request_id"], given);
    assert_eq!(line["user"], "bob");
    ensure!(line.get("trace_id").is_none(), "nothing is traced: {line}");

    // HEAD has no body; the length it names is not sent.
    stage.ask("HEAD", "/echo/head").bearer(&token).send().await?;
    let line = decision(&stage, "/echo/head").await?;
    assert_eq!((&line["bytes_received"], &line["bytes_sent"]), (&0.into(), &0.into()));

    // What the gateway answers itself has no upstream.
    stage.get("/nowhere").send().await?;
    let line = decision(&stage, "/nowhere").await?;
    ensure!(line.get("upstream").is_none() && line.get("bytes_sent").is_none(), "{line}");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_is_logged_with_what_it_got() -> Result<()> {
    let stage = Stage::new("exchange-left").await?;
    let token = stage.issuer.mint(Mint::access("bob"))?;
    let mut wire = stage.connect().await?;
    let head = format!(
        "GET /echo/sse?n=40&ms=100 HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    wire.send(stage.filled(head.as_bytes())).await;
    // The decision about a stream is not held back until its end.
    let line = decision(&stage, "/echo/sse").await?;
    assert_eq!(line["upstream"], stage.upstream.url());
    ensure!(line.get("bytes_sent").is_none(), "{line}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(wire);
    let end = wait::until("the end of the stream", Duration::from_secs(10), async || {
        let lines = stage.gateway.log_lines()?;
        Ok(lines.into_iter().find(|line| line["msg"] == "stream ended"))
    })
    .await?;
    assert_eq!(end["upstream"], stage.upstream.url());
    assert_eq!(end["request_id"], line["request_id"]);
    ensure!(end["bytes_sent"].as_u64().context("no bytes")? > 0, "{end}");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_time_and_status_are_counted_by_route() -> Result<()> {
    let stage = Stage::new("exchange-metrics").await?;
    let token = stage.issuer.mint(Mint::access("bob"))?;
    stage.get("/echo").bearer(&token).send().await?;
    let page = stage.gateway.metrics().await?;
    for line in [
        "doorward_upstream_seconds_count{route=\"echo\"} 1",
        "doorward_upstream_responses_total{route=\"echo\",status=\"2xx\"} 1",
    ] {
        ensure!(page.contains(line), "{line}: {page}");
    }
    stage.finish(&[])
}
