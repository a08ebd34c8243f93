//! Programs that stop what is unused, by the gateway's knowledge of who used what.

use std::{path::Path, process::Output, time::Duration};

use anyhow::{Result, ensure};
use e2e::{
    World,
    gateway::{Gateway, Plan},
    jupyterhub::JupyterHub,
    tools,
    visitor::{Visitor, plain_client},
    wait,
};
use serde_json::Value;
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(90);
const TOKEN: &str = "the-hubs-own-token-of-cull-idle";

/// The people whose servers run.
async fn running(hub: &JupyterHub) -> Result<Vec<String>> {
    let url = format!("{}/jupyter/hub/api/users?state=ready", hub.url());
    let asked = plain_client()?.get(url).header("authorization", format!("token {TOKEN}"));
    let users: Vec<Value> = serde_json::from_str(&asked.send().await?.text().await?)?;
    Ok(users.iter().filter_map(|user| user["name"].as_str().map(str::to_owned)).collect())
}

/// Runs the script of the guide.
async fn cull(hub: &JupyterHub, gateway: &Gateway, options: &[&str]) -> Result<Output> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/jupyterhub/cull_idle.py");
    let mut python = Command::new(tools::installed("venv/bin/python")?);
    python.arg(script).args(["--route", "notebooks"]).args(options);
    python.args(["--gateway", &gateway.admin_url("")]);
    python.args(["--hub", &format!("{}/jupyter/hub/api", hub.url())]);
    let ran = python.env("JUPYTERHUB_API_TOKEN", TOKEN).env_remove("http_proxy").output().await?;
    ensure!(ran.status.success(), "{ran:?}");
    Ok(ran)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_stops_servers_whose_users_have_left() -> Result<()> {
    let world = World::new("cull-idle")?;
    let realm = world.notebook_realm().await?;
    let hub = world.jupyterhub(&realm).await?;
    let gateway = Plan::new(&world, &realm, &hub.routes())?.start().await?;
    let alice = Visitor::new()?;
    alice.log_in(&world.url("/jupyter/hub/spawn"), "alice").await?;
    wait::until("the server of alice", PATIENCE, async || {
        Ok((running(&hub).await? == ["alice"]).then_some(()))
    })
    .await?;
    alice.open(&world.url("/jupyter/user/alice/api")).await?;

    assert_eq!(cull(&hub, &gateway, &["--idle", "1h"]).await?.stdout, b"");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let dry = cull(&hub, &gateway, &["--idle", "2s", "--dry-run"]).await?;
    assert!(dry.stdout.starts_with(b"alice (default): last used "), "{dry:?}");
    assert_eq!(running(&hub).await?, ["alice"]);
    // A request of its user keeps a server.
    alice.open(&world.url("/jupyter/user/alice/api")).await?;
    assert_eq!(cull(&hub, &gateway, &["--idle", "20s"]).await?.stdout, b"");

    tokio::time::sleep(Duration::from_secs(3)).await;
    let stopped = cull(&hub, &gateway, &["--idle", "2s"]).await?;
    assert!(stopped.stdout.starts_with(b"alice "), "{stopped:?}");
    wait::until("the end of the server", PATIENCE, async || {
        Ok(running(&hub).await?.is_empty().then_some(()))
    })
    .await?;
    gateway.finish(&alice.cookie_values())
}
