//! Worker threads: who accepts, how connections are shared out, how few descriptors serve them all.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use e2e::{gateway::Plan, tools, wait, wire::Wire, world::free_port};

use crate::{
    limits::metric,
    stage::{Setup, Stage},
};

const PATIENCE: Duration = Duration::from_secs(20);
const GET: &str = "GET /public/x HTTP/1.1\r\nHost: HOST\r\n\r\n";

async fn with_workers(name: &str, workers: usize) -> Result<Stage> {
    let runtime = format!("runtime: {{ workers: {workers} }}");
    Setup::new(name).with_plan(move |plan| plan.with(&runtime)).start().await
}

/// A connection on which one request was answered.
async fn used(stage: &Stage) -> Result<Wire> {
    let mut wire = stage.connect().await?;
    wire.send(stage.filled(GET.as_bytes())).await;
    ensure!(wire.answer().await?.status == 200);
    Ok(wire)
}

/// Open connections of each worker.
async fn connections<const N: usize>(stage: &Stage) -> Result<[f64; N]> {
    let mut all = [0.0; N];
    for (worker, connections) in all.iter_mut().enumerate() {
        let line = format!("doorward_worker_connections{{worker=\"{worker}\"}}");
        *connections = metric(&stage.gateway, &line).await?;
    }
    Ok(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_gateway_never_shares_the_address() -> Result<()> {
    let stage = with_workers("workers-second", 2).await?;
    let first = fs::read_to_string(stage.gateway.config())?;
    let admin = first.lines().find(|line| line.starts_with("admin:")).context("no admin")?;
    let other = first.replace(admin, &format!("admin: 127.0.0.1:{}", free_port()?));
    let config = stage.world.folder().join("second.yaml");
    fs::write(&config, other)?;
    let mut second = Command::new(tools::doorward()?);
    let ended = second.arg("serve").arg("--config").arg(&config).output()?;
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ended.stderr);
    let expected = format!("cannot listen on 127.0.0.1:{}", stage.gateway.port());
    ensure!(said.contains(&expected), "{said}");
    for _ in 0..20 {
        used(&stage).await?;
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_worker_gets_connections_and_loses_them_again() -> Result<()> {
    let stage = with_workers("workers-share", 3).await?;
    let mut held = Vec::new();
    wait::until("connections for every worker", PATIENCE, async || {
        held.push(used(&stage).await?);
        let all = connections::<3>(&stage).await?;
        Ok(all.iter().all(|connections| *connections > 0.0).then_some(()))
    })
    .await?;
    for wire in &mut held {
        wire.send(stage.filled(GET.as_bytes())).await;
        ensure!(wire.answer().await?.status == 200);
    }
    drop(held);
    wait::until("the end of all connections", PATIENCE, async || {
        Ok((connections::<3>(&stage).await? == [0.0; 3]).then_some(()))
    })
    .await?;
    stage.finish(&[])
}

/// The connections that one worker keeps for later must not starve the requests of another.
#[tokio::test(flavor = "multi_thread")]
async fn unused_upstream_connections_make_room_at_once() -> Result<()> {
    // 40 places for upstreams; those of `/other` are in a pool of their own, as the pools of two workers are.
    let few = |plan: Plan| plan.with("runtime: { workers: 1 }").with_descriptors(256);
    let setup = Setup::new("workers-room").with_plan(few);
    let stage = setup
        .with_routes(
            "
other:
  match: { path: /other }
  upstream: UPSTREAM
  timeouts: { connect: 4s }
  access: [ { allow: anyone } ]
",
        )
        .start()
        .await?;
    let mut held = Vec::new();
    for _ in 0..70 {
        held.push(used(&stage).await?);
    }
    let (some, others) = held.split_at_mut(30);
    let ask = async |wires: &mut [Wire], path: &str| -> Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: HOST\r\n\r\n");
        for wire in wires.iter_mut() {
            wire.send(stage.filled(request.as_bytes())).await;
        }
        for wire in wires {
            assert_eq!(wire.answer().await?.status, 200, "{path}");
        }
        Ok(())
    };
    // These leave about 30 unused connections; the next ones hold their places for longer than `timeouts.connect`.
    ask(some, "/public/slow?ms=500").await?;
    ask(others, "/other/slow?ms=6000").await?;
    stage.finish(&[])
}
