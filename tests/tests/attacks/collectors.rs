//! Collectors that are away, slow or unwilling: requests never notice, and losses are counted.

use std::time::Duration;

use anyhow::{Result, ensure};
use dev_issuer::Mint;
use e2e::{collector::Collector, wait};
use tokio::time::Instant;

use crate::{
    stage::{Setup, Stage},
    traces::traced,
};

/// Value of the metric that counts spans with this outcome.
async fn spans(stage: &Stage, outcome: &str) -> Result<u64> {
    let metric = format!("doorward_trace_spans_total{{outcome=\"{outcome}\"}} ");
    let page = stage.gateway.metrics().await?;
    let value = page.lines().find_map(|line| line.strip_prefix(&metric));
    Ok(value.and_then(|value| value.parse().ok()).unwrap_or_default())
}

async fn ask(stage: &Stage, requests: usize) -> Result<()> {
    let token = stage.issuer.mint(Mint::access("bob"))?;
    for _ in 0..requests {
        let answer = stage.get("/echo").bearer(&token).send().await?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    Ok(())
}

fn complaints(stage: &Stage) -> Result<usize> {
    let lines = stage.gateway.log_lines()?;
    let about = |line: &serde_json::Value| {
        line["msg"].as_str().is_some_and(|msg| msg.contains("collector"))
    };
    Ok(lines.iter().filter(|line| about(line)).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_comes_back_gets_what_waited() -> Result<()> {
    let (stage, collector) = traced(Setup::new("collector-away"), "").await?;
    let address = collector.address();
    drop(collector);
    ask(&stage, 3).await?;
    wait::until("a complaint", Duration::from_secs(15), async || {
        Ok((complaints(&stage)? > 0).then_some(()))
    })
    .await?;
    ask(&stage, 3).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    // One line a minute, however many attempts fail.
    assert_eq!(complaints(&stage)?, 1);
    assert_eq!((spans(&stage, "exported").await?, spans(&stage, "dropped").await?), (0, 0));

    let collector = Collector::start_on(address).await?;
    wait::until("all six requests", Duration::from_secs(30), async || {
        let spans = collector.spans()?;
        let requests = spans.iter().filter(|span| span.kind == "server").count();
        Ok((requests == 6).then_some(()))
    })
    .await?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_a_collector_refuses_are_counted() -> Result<()> {
    let (stage, collector) = traced(Setup::new("collector-refuses"), "").await?;
    collector.answer_with(400);
    ask(&stage, 2).await?;
    wait::until("refused spans", Duration::from_secs(15), async || {
        Ok((spans(&stage, "refused").await? >= 4).then_some(()))
    })
    .await?;
    // The next ones are sent as ever.
    collector.answer_with(200);
    ask(&stage, 1).await?;
    collector.spans_with(|span| span.kind == "server").await?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_spans_arrive_before_the_gateway_ends() -> Result<()> {
    let (stage, collector) = traced(Setup::new("collector-last"), "").await?;
    ask(&stage, 1).await?;
    stage.finish(&[])?;
    let spans = collector.spans()?;
    ensure!(
        spans.iter().any(|span| span.name == "GET /echo" && span.kind == "server"),
        "{spans:#?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_does_not_hold_up_the_end() -> Result<()> {
    // Accepts connections and never answers.
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let telemetry = format!("telemetry: {{ otlp: 'http://{}' }}", deaf.local_addr()?);
    let setup = Setup::new("collector-hangs").with_plan(move |plan| plan.with(&telemetry));
    let stage = setup.start().await?;
    ask(&stage, 20).await?;
    let begun = Instant::now();
    stage.finish(&[])?;
    ensure!(begun.elapsed() < Duration::from_secs(8), "it took {:?}", begun.elapsed());
    drop(deaf);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_the_collector_are_read_at_each_export() -> Result<()> {
    let folder = e2e::World::new("collector-credentials-files")?;
    let file = folder.folder().join("collector");
    std::fs::write(&file, "Bearer first-of-the-collector\n")?;
    let keys = format!(", headers: {{ authorization: {{ file: '{}' }} }}", file.display());
    let (stage, collector) = traced(Setup::new("collector-credentials"), &keys).await?;
    ask(&stage, 1).await?;
    let sent = |text: &'static str| {
        let collector = &collector;
        wait::until(text, Duration::from_secs(15), async move || {
            let exports = collector.exports();
            let found = exports.iter().any(|export| export.head.contains(text));
            Ok(found.then_some(()))
        })
    };
    sent("authorization: Bearer first-of-the-collector").await?;
    std::fs::write(&file, "Bearer second-of-the-collector\n")?;
    ask(&stage, 1).await?;
    sent("authorization: Bearer second-of-the-collector").await?;
    let exports = collector.exports();
    ensure!(exports.iter().all(|export| export.head.starts_with("POST /v1/traces HTTP/1.1")));
    ensure!(exports.iter().all(|export| export.head.contains("application/x-protobuf")));
    let lines = stage.gateway.log_lines()?;
    ensure!(!format!("{lines:?}").contains("of-the-collector"), "a credential is in the log");
    drop(folder);
    Ok(())
}
