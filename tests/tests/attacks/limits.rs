//! Limits of the listener: slow, silent, greedy and many clients, and the others that must be served meanwhile.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::{
    gateway::{Gateway, Plan},
    wait,
    wire::Wire,
};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::time::{Instant, sleep};

use crate::stage::{Setup, Stage};

const PATIENCE: Duration = Duration::from_secs(10);

const LIMITS: &str = "limits: { first_head: 2s, head: 2s, head_size: 8KiB, idle: 3s, write_stall: 3s, per_address: 20, \
                      body_rate: { bytes_per_second: 100, after: 4s } }";

const GET: &str = "GET /public/x HTTP/1.1\r\nHost: HOST\r\n\r\n";

async fn limited(name: &str) -> Result<Stage> {
    Setup::new(name).with_plan(|plan| plan.with(LIMITS)).start().await
}

/// A connection on which one request was answered.
async fn used(stage: &Stage) -> Result<Wire> {
    let mut wire = stage.connect().await?;
    wire.send(stage.filled(GET.as_bytes())).await;
    ensure!(wire.answer().await?.status == 200);
    Ok(wire)
}

/// The value of a counter.
pub(crate) async fn metric(gateway: &Gateway, line: &str) -> Result<f64> {
    let page = gateway.metrics().await?;
    let value = page.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    Ok(value.map(str::parse).transpose()?.unwrap_or_default())
}

async fn reached(stage: &Stage, limit: &str) -> Result<f64> {
    let line = format!("doorward_limits_reached_total{{limit=\"{limit}\"}}");
    metric(&stage.gateway, &line).await
}

/// The lines of the log with this message.
fn logged(stage: &Stage, message: &str) -> Result<usize> {
    Ok(stage.gateway.log_lines()?.iter().filter(|line| line["msg"] == message).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_silent_clients_are_ended_and_counted() -> Result<()> {
    let stage = limited("limits-slow").await?;
    let begun = Instant::now();
    let mut silent = stage.connect().await?;
    let mut slow = stage.connect().await?;
    slow.send("GET /public/x HT").await;
    let mut idle = used(&stage).await?;
    let mut later = used(&stage).await?;
    later.send("GET /public/y HT").await;
    silent.closed_within(Duration::from_secs(4)).await?;
    ensure!(begun.elapsed() > Duration::from_millis(1500), "closed after {:?}", begun.elapsed());
    assert_eq!(slow.answer().await?.status, 408);
    assert_eq!(later.answer().await?.status, 408);
    idle.closed_within(Duration::from_secs(4)).await?;
    let large = format!("GET /public/x HTTP/1.1\r\nHost: HOST\r\nX: {}\r\n\r\n", "x".repeat(9000));
    assert_eq!(stage.raw(large).await?.status(), 431);
    for (limit, times) in [("first_head", 2.0), ("head", 1.0), ("idle", 1.0), ("head_size", 1.0)] {
        wait::until(limit, PATIENCE, async || {
            Ok((reached(&stage, limit).await? >= times).then_some(()))
        })
        .await?;
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_may_pause_but_not_for_ever() -> Result<()> {
    let stage = limited("limits-upload").await?;
    let upload = async || {
        let mut wire = stage.connect().await?;
        let head = "POST /public/up HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n";
        wire.send(stage.filled(head.as_bytes())).await;
        wire.send("5\r\nhello\r\n").await;
        anyhow::Ok(wire)
    };
    let mut pausing = upload().await?;
    let mut stuck = upload().await?;
    sleep(Duration::from_secs(3)).await;
    pausing.send("5\r\nworld\r\n0\r\n\r\n").await;
    assert_eq!(pausing.answer().await?.status, 200);
    assert_eq!(stage.upstream.last("/public/up")?.body, b"helloworld");
    assert_eq!(stuck.answer().await?.status, 408);
    assert_eq!(stage.reached().len(), 1, "the other never reached the upstream as a whole");
    assert_eq!(reached(&stage, "body_rate").await?, 1.0);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_is_closed() -> Result<()> {
    let stage = limited("limits-reader").await?;
    // The upstream answers with what it received; more than the buffers of the kernel hold.
    let body = "x".repeat(32 << 20);
    let head = format!(
        "POST /public/echo HTTP/1.1\r\nHost: HOST\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut reader = stage.connect().await?;
    reader.send(stage.filled(head.as_bytes())).await;
    reader.send(&body).await;
    wait::until("the limit", PATIENCE, async || {
        Ok((reached(&stage, "write_stall").await? >= 1.0).then_some(()))
    })
    .await?;
    reader.closed_within(PATIENCE).await?;
    assert_eq!(stage.get("/public/x").send().await?.status, 200);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_take_every_place() -> Result<()> {
    let limits = "limits: { per_address: 20 }";
    let stage = Setup::new("limits-address").with_plan(|plan| plan.with(limits)).start().await?;
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(used(&stage).await?);
    }
    for _ in 0..30 {
        stage.connect().await?.closed_within(Duration::from_secs(1)).await?;
    }
    assert_eq!(reached(&stage, "per_address").await?, 30.0);
    wait::until("the log line", PATIENCE, async || {
        Ok((logged(&stage, PER_ADDRESS)? >= 1).then_some(()))
    })
    .await?;
    assert_eq!(logged(&stage, PER_ADDRESS)?, 1);
    held.pop();
    wait::until("a place", PATIENCE, async || {
        Ok((stage.get("/public/x").send().await?.status == 200).then_some(()))
    })
    .await?;
    stage.finish(&[])
}

const PER_ADDRESS: &str = "connection closed: its address has too many; name a proxy in `trusted_proxies`, or raise `limits.per_address`";

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_may_have_many_connections() -> Result<()> {
    let limits = "limits: { per_address: 2 }";
    let stage = Setup::new("limits-proxy")
        .trusting_proxies()
        .with_plan(|plan| plan.with(limits))
        .start()
        .await?;
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(used(&stage).await?);
    }
    assert_eq!(reached(&stage, "per_address").await?, 0.0);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_limit_the_reserved_descriptors_keep_the_rest_alive() -> Result<()> {
    // 80 for clients and 40 for upstreams.
    let few = |plan: Plan| plan.with("runtime: { workers: 1 }").with_descriptors(256);
    let stage = Setup::new("limits-reserve").with_plan(few).start().await?;
    let mut held = Vec::new();
    for _ in 0..79 {
        held.push(used(&stage).await?);
    }
    let mut waiting = Vec::new();
    for _ in 0..60 {
        let mut wire = stage.connect().await?;
        wire.send(stage.filled(GET.as_bytes())).await;
        waiting.push(wire);
    }
    // Each needs its own connection to the upstream, which is more than there are places.
    let slow = "GET /public/slow?ms=300 HTTP/1.1\r\nHost: HOST\r\n\r\n";
    for wire in &mut held {
        wire.send(stage.filled(slow.as_bytes())).await;
    }
    ensure!(stage.gateway.metrics().await?.contains("doorward_connections_limit 80"));
    for wire in &mut held {
        assert_eq!(wire.answer().await?.status, 200);
    }
    ensure!(reached(&stage, "upstream_connections").await? >= 1.0);
    ensure!(reached(&stage, "connections").await? >= 1.0);
    let mut first = held.pop().context("none")?;
    first.send(stage.filled(b"GET /oauth2/start?rd=/echo HTTP/1.1\r\nHost: HOST\r\n\r\n")).await;
    assert_eq!(first.answer().await?.status, 302, "a request to the provider");
    assert_eq!(logged(&stage, "the limit on connections is reached; new ones wait")?, 1);
    drop(first);
    drop(held);
    let freed = Instant::now();
    for wire in &mut waiting {
        assert_eq!(wire.answer().await?.status, 200);
    }
    ensure!(freed.elapsed() < Duration::from_secs(5), "{:?}", freed.elapsed());
    stage.finish(&[])
}

/// Sets the soft limit on open files of the gateway; returns the one before.
fn allow_files(stage: &Stage, soft: Option<u64>) -> Result<Option<u64>> {
    let process = Pid::from_raw(i32::try_from(stage.gateway.process())?).context("no process")?;
    let hard =
        prlimit(Some(process), Resource::Nofile, Rlimit { current: soft, maximum: soft_max() })?;
    Ok(hard.current)
}

fn soft_max() -> Option<u64> {
    rustix::process::getrlimit(Resource::Nofile).maximum
}

/// Seconds of processor time that the gateway has used.
fn processor_seconds(stage: &Stage) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", stage.gateway.process()))?;
    let (_, fields) = stat.rsplit_once(')').context("stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = fields.get(11).context("utime")?.parse::<f64>()?
        + fields.get(12).context("stime")?.parse::<f64>()?;
    Ok(ticks / 100.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_accepting_pauses_and_recovers() -> Result<()> {
    let stage = Stage::new("limits-files").await?;
    let mut open = used(&stage).await?;
    let before = allow_files(&stage, Some(8))?;
    let mut waiting = stage.connect().await?;
    waiting.send(stage.filled(GET.as_bytes())).await;
    let used_before = processor_seconds(&stage)?;
    sleep(Duration::from_secs(4)).await;
    let spent = processor_seconds(&stage)? - used_before;
    ensure!(spent < 2.0, "{spent} s of processor time in 4 s");
    let lines = logged(&stage, "cannot accept connections; retrying")?;
    ensure!(lines == 1, "{lines} lines");
    // The connections that are open are served.
    open.send(stage.filled(GET.as_bytes())).await;
    assert_eq!(open.answer().await?.status, 200);
    allow_files(&stage, before)?;
    let restored = Instant::now();
    assert_eq!(waiting.answer().await?.status, 200);
    ensure!(restored.elapsed() < Duration::from_secs(5), "{:?}", restored.elapsed());
    stage.finish(&[])
}
