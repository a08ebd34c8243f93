//! Stops: the stages of a drain as clients and load balancers see them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::wire::{Answer, Wire};
use rustix::process::Signal;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    open_streams::socket,
    stage::{Setup, Stage},
};

const GOING_AWAY: Option<u16> = Some(1001);

async fn stage(name: &str, times: &'static str) -> Result<Stage> {
    Setup::new(name).with_plan(move |plan| plan.with(times)).start().await
}

/// Sends a request for a public path on a connection that may stay open.
async fn ask(wire: &mut Wire, stage: &Stage, path: &str) -> Result<Answer> {
    begin(wire, stage, path).await;
    wire.answer().await
}

async fn begin(wire: &mut Wire, stage: &Stage, path: &str) {
    let request = format!("GET /public/{path} HTTP/1.1\r\nHost: HOST\r\n\r\n");
    wire.send(stage.filled(request.as_bytes())).await;
}

async fn readiness(stage: &Stage) -> Result<(u16, String)> {
    let answer =
        e2e::visitor::plain_client()?.get(stage.gateway.admin_url("/readyz")).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

async fn accepts(stage: &Stage) -> bool {
    TcpStream::connect(("127.0.0.1", stage.gateway.port())).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_passes_its_stages_in_order() -> Result<()> {
    let mut stage =
        stage("stop-stages", "shutdown: { lame_duck: 2s, grace: 10s, streams: 3s }").await?;
    let mut open = socket(&stage, "/public/ws", &[]).await?;
    let (mut idle, mut kept) = (stage.connect().await?, stage.connect().await?);
    let (mut slow, mut events) = (stage.connect().await?, stage.connect().await?);
    for wire in [&mut idle, &mut kept] {
        assert_eq!(ask(wire, &stage, "x").await?.header("connection"), "");
    }
    begin(&mut slow, &stage, "slow?ms=3500").await;
    begin(&mut events, &stage, "sse?n=600&ms=100").await;
    sleep(Duration::from_millis(200)).await;

    let begun = Instant::now();
    stage.gateway.signal(Signal::TERM);
    sleep(Duration::from_millis(300)).await;
    let (status, body) = readiness(&stage).await?;
    assert_eq!(status, 503);
    ensure!(body.contains(r#""draining":true"#), "{body}");
    // Connections and requests are still accepted, and asked to go elsewhere.
    let fresh = ask(&mut stage.connect().await?, &stage, "fresh").await?;
    for answer in [fresh, ask(&mut kept, &stage, "kept").await?] {
        assert_eq!((answer.status, answer.header("connection")), (200, "close"), "{answer:?}");
    }
    kept.closed_within(Duration::from_secs(1)).await?;
    ensure!(timeout(Duration::from_millis(300), idle.closed_within(PATIENCE)).await.is_err());

    sleep_until(begun + Duration::from_millis(2_500)).await;
    ensure!(!accepts(&stage).await, "it accepts connections after the lame-duck time");
    idle.closed_within(Duration::from_secs(1)).await?;
    assert_eq!(open.ask("still").await?, "still", "streams have their own time");
    assert_eq!(slow.answer().await?.status, 200, "a request in progress finishes");
    assert_eq!(open.closing_code().await, GOING_AWAY);
    drop(open);
    let took = begun.elapsed().as_secs_f64();
    ensure!((4.5..6.5).contains(&took), "streams ended after {took} s");
    events.closed_within(Duration::from_secs(1)).await?;
    let broken_off = events.finish().await?;
    ensure!(broken_off.answers.is_empty(), "a stream that was broken off looks complete");
    stage.gateway.ended_within(Duration::from_secs(2)).await?;
    stage.finish(&[])
}

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_request_beyond_the_grace_is_cut_and_a_stream_is_not() -> Result<()> {
    let mut stage =
        stage("stop-grace", "shutdown: { lame_duck: 0s, grace: 1s, streams: 4s }").await?;
    let mut open = socket(&stage, "/public/ws", &[]).await?;
    let (mut slow, mut events) = (stage.connect().await?, stage.connect().await?);
    begin(&mut slow, &stage, "slow?ms=20000").await;
    begin(&mut events, &stage, "sse?n=20&ms=100").await;
    sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    stage.gateway.signal(Signal::TERM);
    slow.closed_within(Duration::from_secs(2)).await?;
    ensure!(begun.elapsed() >= Duration::from_millis(900), "cut too early");
    assert_eq!(open.ask("still").await?, "still");
    let answer = events.answer().await.context("the stream did not run to its end")?;
    assert_eq!(answer.body.matches("data: event").count(), 20);
    assert_eq!(open.closing_code().await, GOING_AWAY);
    drop(open);
    stage.gateway.ended_within(Duration::from_secs(3)).await?;
    let line = stage.gateway.logged("stopped with connections still open after their time").await?;
    ensure!(line["connections"].as_u64() > Some(0), "{line}");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_waits_for_requests_only() -> Result<()> {
    let mut stage = stage("stop-interrupt", "shutdown: { lame_duck: 20s, streams: 60s }").await?;
    let mut open = socket(&stage, "/public/ws", &[]).await?;
    let mut slow = stage.connect().await?;
    begin(&mut slow, &stage, "slow?ms=1500").await;
    sleep(Duration::from_millis(200)).await;
    stage.gateway.signal(Signal::INT);
    assert_eq!(open.closing_code().await, GOING_AWAY);
    drop(open);
    ensure!(!accepts(&stage).await);
    assert_eq!(slow.answer().await?.status, 200);
    stage.gateway.ended_within(Duration::from_secs(2)).await?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() -> Result<()> {
    let mut stage = stage("stop-second", "shutdown: { lame_duck: 20s, streams: 60s }").await?;
    let _open = socket(&stage, "/public/ws", &[]).await?;
    let mut slow = stage.connect().await?;
    begin(&mut slow, &stage, "slow?ms=20000").await;
    sleep(Duration::from_millis(200)).await;
    stage.gateway.signal(Signal::TERM);
    stage.gateway.logged(STOPPING).await?;
    ensure!(accepts(&stage).await);
    stage.gateway.signal(Signal::TERM);
    stage.gateway.ended_within(Duration::from_secs(3)).await?;
    stage.finish(&[])
}

pub(crate) const STOPPING: &str = "stopping: not ready; after the lame-duck time no new connections, requests and streams in progress may finish";

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_the_times_of_the_stop() -> Result<()> {
    let mut stage = stage("stop-reloaded", "shutdown: { lame_duck: 60s }").await?;
    crate::open_streams::reload(&stage, "lame_duck: 60s", "lame_duck: 0s").await?;
    stage.gateway.signal(Signal::TERM);
    stage.gateway.ended_within(Duration::from_secs(3)).await?;
    stage.finish(&[])
}
