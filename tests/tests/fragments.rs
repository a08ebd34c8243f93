//! Fragments of addresses: no server sees them, and the sign-in page keeps them.

use std::time::Duration;

use anyhow::Result;
use e2e::{World, gateway::Plan};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn the_sign_in_page_keeps_the_fragment_of_an_address() -> Result<()> {
    let world = World::new("fragments")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let routes = format!(
        "lab:\n  match: {{ path: /lab }}\n  upstream: {}\n  sign_in: challenge\n  access: [{{ allow: signed_in }}]",
        echo.url()
    );
    let gateway = Plan::new(&world, &realm, &routes)?.start().await?;
    for (fragment, lands) in [
        ("#/experiments/1", "#/experiments/1"),
        ("#/a?b=c+d&e=%20f", "#/a?b=c+d&e=%20f"),
        ("#/runs/é", "#/runs/%C3%A9"),
        ("", ""),
    ] {
        let person = world.browser().await?.person().await?;
        let page = person.tab().await?;
        assert_eq!(page.goto(&world.url(&format!("/lab/mlflow/?x=1{fragment}"))).await?, 401);
        page.click("a.button").await?;
        page.log_in("alice").await?;
        let arrived = page.wait_for_url(&world.url("/lab/mlflow/"), PATIENCE).await?;
        assert_eq!(arrived, world.url(&format!("/lab/mlflow/?x=1{lands}")));
        let console = page.console().await?;
        assert!(
            console.iter().all(|line| !line.contains("Content Security Policy")),
            "{console:?}"
        );
    }
    gateway.finish(&[])
}
