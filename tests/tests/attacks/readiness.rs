//! Readiness: a part that is away does not take the whole gateway out of service.

use std::time::Duration;

use anyhow::{Result, ensure};
use dev_issuer::Mint;
use e2e::wait;
use serde_json::Value;

use crate::{
    limits::metric,
    stage::{Setup, Stage},
};

const PATIENCE: Duration = Duration::from_secs(10);

async fn readiness(stage: &Stage) -> Result<(u16, Value)> {
    let url = stage.gateway.admin_url("/readyz");
    let answer = e2e::visitor::plain_client()?.get(url).send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_issuer_that_is_away_leaves_the_gateway_ready() -> Result<()> {
    let away = "http://127.0.0.1:9/away";
    let stage = Setup::new("readiness-two")
        .with_plan(|plan| plan.with_other_issuer("other", away))
        .start()
        .await?;
    let (status, body) = readiness(&stage).await?;
    assert_eq!((status, &body["ready"]), (200, &true.into()), "{body}");
    assert_eq!(body["issuers"]["main"]["available"], true, "{body}");
    assert_eq!(body["issuers"]["other"]["available"], false, "{body}");
    assert_eq!(body["issuers"]["other"]["url"], away, "{body}");
    ensure!(body["issuers"]["other"]["reason"].is_string(), "{body}");
    assert_eq!(body["store"]["available"], true, "{body}");
    for (line, value) in [
        (r#"doorward_issuer_available{issuer="main"}"#, 1.0),
        (r#"doorward_issuer_available{issuer="other"}"#, 0.0),
        ("doorward_store_available", 1.0),
    ] {
        ensure!((metric(&stage.gateway, line).await? - value).abs() < 0.1, "{line} is not {value}");
    }
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    assert_eq!(stage.get("/echo").bearer(&token).send().await?.status, 200);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_an_issuer_and_an_outage_does_not() -> Result<()> {
    let stage = Setup::new("readiness-start").without_provider().start().await?;
    let (status, body) =
        wait::until("an answer", PATIENCE, async || Ok(readiness(&stage).await.ok())).await?;
    assert_eq!((status, &body["ready"]), (503, &false.into()), "{body}");
    assert_eq!(body["issuers"]["main"]["available"], false, "{body}");
    stage.issuer.resume().await?;
    wait::until("readiness", Duration::from_secs(30), async || {
        Ok((readiness(&stage).await?.0 == 200).then_some(()))
    })
    .await?;
    stage.issuer.stop().await;
    let (status, body) = readiness(&stage).await?;
    assert_eq!(status, 200, "{body}");
    assert_eq!(stage.get("/public/x").send().await?.status, 200);
    stage.finish(&[])
}
