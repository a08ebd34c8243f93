//! What people notice when a part goes away: as little as can be.

use std::time::Duration;

use anyhow::Result;
use e2e::{World, gateway::Plan, upstream::Echo, visitor::Visitor, wait};

fn route(upstream: &str) -> String {
    format!(
        "page:\n  match: {{ path: / }}\n  upstream: {upstream}\n  access: [{{ allow: signed_in }}]"
    )
}

async fn stays_logged_in_over_kill_9(name: &str, cookie_sessions: bool) -> Result<()> {
    let world = World::new(name)?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let mut plan = Plan::new(&world, &realm, &route(&echo.url()))?;
    if cookie_sessions {
        plan = plan.with_cookie_sessions();
    }
    let mut gateway = plan.start().await?;
    let (visitor, half_way) = (Visitor::new()?, Visitor::new()?);
    visitor.log_in(&world.url("/inbox"), "alice").await?;
    let form = half_way.arrive(&world.url("/two?x=1")).await?;

    gateway.kill_and_restart().await?;

    let answer = visitor.fetch(&world.url("/inbox")).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let seen = echo.last("/inbox")?;
    assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some("alice"));
    // And whoever was at Keycloak's form meanwhile still arrives.
    let back = half_way.submit_login(&form, "carol").await?;
    let arrived = half_way.follow(back).await?;
    assert_eq!(
        (arrived.status.as_u16(), arrived.url.as_str()),
        (200, world.url("/two?x=1").as_str())
    );
    gateway.finish(&visitor.cookie_values())
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_and_restart_keeps_people_logged_in() -> Result<()> {
    stays_logged_in_over_kill_9("failures-kill", false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_and_restart_keeps_people_logged_in_with_cookie_sessions() -> Result<()> {
    stays_logged_in_over_kill_9("failures-kill-cookie", true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_away_is_502_and_works_when_it_is_back() -> Result<()> {
    let world = World::new("failures-upstream")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let gateway = Plan::new(&world, &realm, &route(&echo.url()))?.start().await?;
    let visitor = Visitor::new()?;
    visitor.log_in(&world.url("/"), "alice").await?;
    let address = echo.address();
    drop(echo);
    let page = wait::until("502", Duration::from_secs(10), async || {
        let page = visitor.open(&world.url("/x")).await?;
        Ok((page.status == 502).then_some(page))
    })
    .await?;
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(
        !page.body.contains(&address.port().to_string()),
        "the page tells nothing of the inside"
    );
    let problem = visitor.fetch(&world.url("/x")).await?;
    assert_eq!(problem.status, 502);
    assert!(problem.header("content-type").starts_with("application/problem+json"));

    let _back = Echo::start_on(address).await?;
    wait::until("the upstream to be used again", Duration::from_secs(30), async || {
        Ok((visitor.fetch(&world.url("/x")).await?.status == 200).then_some(()))
    })
    .await?;
    gateway.finish(&visitor.cookie_values())
}
