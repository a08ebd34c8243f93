//! Programs that call models with the library they have, through a route that counts their tokens.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use e2e::{World, gateway::Plan, program, tools};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_library_is_counted_and_bounded() -> Result<()> {
    let world = World::new("openai")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let routes = format!(
        "models:
  match: {{ path: /v1 }}
  upstream: {}
  sign_in: challenge
  usage: openai
  access: [{{ allow: signed_in }}]
  limits: {{ per_user: {{ tokens_per_day: 200 }} }}
",
        echo.url()
    );
    let gateway = Plan::new(&world, &realm, &routes)?.start().await?;
    let token = realm.client_credentials("airflow-run", None).await?;
    let mut command = Command::new(tools::installed("venv-agents/bin/python")?);
    program::prepare(&mut command)?
        .arg(tools::fixture("openai_client.py"))
        .arg(world.url("/v1"))
        .arg(&token);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let steps: Vec<Value> =
        said.lines().map(serde_json::from_str).collect::<Result<_, serde_json::Error>>()?;
    let [refused, stream, document, ended] = steps.as_slice() else { anyhow::bail!("{said}") };
    ensure!(refused["refused"] == 400 && refused["code"] == "stream_without_usage", "{refused}");
    ensure!(stream["total"] == 42 && document["total"] == 42, "{said}");
    ensure!(stream["stream"] == document["document"], "{said}");
    ensure!(ended["ended"] == 429, "{ended}");
    let after = ended["after"].as_u64().context("no Retry-After")?;
    ensure!((1..=86_400).contains(&after), "{ended}");
    gateway.finish(&[token])
}
