//! Included files and named rules of the running gateway: changes are applied, and a bad file changes nothing.

use std::{fs, time::Duration};

use anyhow::{Result, ensure};
use dev_issuer::Mint;
use e2e::wait;

use crate::{open_streams::reconfigure, stage::Stage};

const PATIENCE: Duration = Duration::from_secs(20);

async fn until_status(stage: &Stage, target: &str, token: &str, expected: u16) -> Result<()> {
    wait::until(&format!("{expected} at {target}"), PATIENCE, async || {
        let status = stage.get(target).bearer(token).send().await?.status;
        Ok((status == expected).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn included_files_are_applied_when_they_change() -> Result<()> {
    let stage = Stage::new("shared-include").await?;
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let folder = stage.gateway.config().with_file_name("conf.d");
    fs::create_dir(&folder)?;
    let upstream = stage.upstream.url();
    let route = |rule: &str| {
        format!(
            "rules: {{ allowed: {{ users: [alice] }}, refused: {{ users: [carol] }} }}\n\
             routes: {{ extra: {{ match: {{ path: /extra }}, upstream: '{upstream}', access: [ {{ use: {rule} }} ] }} }}\n"
        )
    };
    fs::write(folder.join("10.yaml"), route("allowed"))?;
    let first = fs::read_to_string(stage.gateway.config())?;
    reconfigure(&stage, &format!("include: conf.d/*.yaml\n{first}")).await?;
    until_status(&stage, "/extra/x", &token, 200).await?;

    // Written in place: the folder does not change.
    fs::write(folder.join("10.yaml"), route("refused"))?;
    until_status(&stage, "/extra/x", &token, 403).await?;

    // A bad new file changes nothing, and its correction is found without a signal.
    fs::write(folder.join("20.yaml"), "routes: { more: { match: { path: /more } } }\n")?;
    wait::until("a refused reload", PATIENCE, async || {
        let lines = stage.gateway.log_lines()?;
        let named = |line: &serde_json::Value| {
            line["reason"].as_str().is_some_and(|reason| reason.contains("conf.d/20.yaml:1:"))
        };
        Ok(lines.iter().any(named).then_some(()))
    })
    .await?;
    ensure!(stage.get("/extra/x").bearer(&token).send().await?.status == 403);
    let more = route("allowed")
        .replace("extra", "more")
        .replace("allowed: ", "others: ")
        .replace("use: allowed", "use: others");
    fs::write(folder.join("20.yaml"), more.replace("refused: ", "none: "))?;
    until_status(&stage, "/more/x", &token, 200).await?;

    fs::remove_file(folder.join("20.yaml"))?;
    until_status(&stage, "/more/x", &token, 404).await?;
    stage.finish(&[])
}
