//! Failures of a part, of which users notice as little as possible.

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
    // A user who was at Keycloak's form meanwhile still arrives.
    let back = half_way.submit_login(&form, "carol").await?;
    let arrived = half_way.follow(back).await?;
    assert_eq!(
        (arrived.status.as_u16(), arrived.url.as_str()),
        (200, world.url("/two?x=1").as_str())
    );
    gateway.finish(&visitor.cookie_values())
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_and_restart_keeps_users_signed_in() -> Result<()> {
    stays_logged_in_over_kill_9("failures-kill", false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_and_restart_keeps_cookie_sessions() -> Result<()> {
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
    assert!(!page.body.contains(&address.port().to_string()), "the page has no internal detail");
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

#[tokio::test(flavor = "multi_thread")]
async fn while_keycloak_is_away_signed_in_users_stay_signed_in() -> Result<()> {
    let world = World::new("failures-keycloak")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let relay = realm.relay().await?;
    let issuer = realm.issuer_through(&relay);
    let plan = Plan::new(&world, &realm, &route(&echo.url()))?.with_issuer(&issuer);
    let gateway = plan.start().await?;
    let visitor = Visitor::new()?;
    visitor.log_in(&world.url("/inbox"), "alice").await?;
    let tokens = [
        realm.client_credentials_at(&issuer, "airflow-run", None).await?,
        realm.client_credentials_at(&issuer, "airflow-run", Some("score")).await?,
    ];
    let ask = async |token: &str| -> Result<u16> {
        let client = e2e::visitor::plain_client()?;
        Ok(client.get(world.url("/api")).bearer_auth(token).send().await?.status().as_u16())
    };
    assert_eq!(ask(&tokens[0]).await?, 200);

    relay.cut();
    assert_eq!(visitor.fetch(&world.url("/inbox")).await?.status, 200, "a session stays valid");
    assert_eq!(ask(&tokens[0]).await?, 200, "a token seen before is valid");
    assert_eq!(ask(&tokens[1]).await?, 200, "so is a new one: the keys are known");

    relay.restore();
    let arrived = Visitor::new()?.log_in(&world.url("/back"), "carol").await?;
    assert_eq!((arrived.status.as_u16(), arrived.url.as_str()), (200, world.url("/back").as_str()));
    gateway.finish(&visitor.cookie_values())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_started_before_keycloak_waits_for_it() -> Result<()> {
    let world = World::new("failures-start")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let relay = realm.relay().await?;
    relay.cut();
    let plan =
        Plan::new(&world, &realm, &route(&echo.url()))?.with_issuer(&realm.issuer_through(&relay));
    let mut gateway = plan.launch()?;
    let client = e2e::visitor::plain_client()?;
    wait::until("the gateway to be alive", Duration::from_secs(20), async || {
        let alive = client.get(gateway.admin_url("/healthz")).send().await?.status();
        Ok(alive.is_success().then_some(()))
    })
    .await?;
    assert_eq!(client.get(gateway.admin_url("/readyz")).send().await?.status(), 503);
    assert_eq!(Visitor::new()?.arrive(&world.url("/")).await?.status, 503);
    relay.restore();
    gateway.wait_until_ready().await?;
    let arrived = Visitor::new()?.log_in(&world.url("/inbox"), "alice").await?;
    assert_eq!(arrived.status, 200, "{}", arrived.body);
    gateway.finish(&[])
}
