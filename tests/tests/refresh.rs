//! One refresh of an access token for any number of waiting requests, although each refresh token works only once.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result};
use e2e::{World, gateway::Plan, visitor::Visitor};
use futures_util::future::try_join_all;
use tokio::time::sleep;

const TOGETHER: usize = 50;

async fn one_refresh_for_fifty_requests(name: &str, cookie_sessions: bool) -> Result<()> {
    let world = World::new(name)?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let routes = format!(
        "api:
  match: {{ path: / }}
  upstream: {}
  access: [{{ allow: signed_in }}]
  identity: {{ headers: true, access_token: true }}",
        echo.url()
    );
    let mut plan = Plan::new(&world, &realm, &routes)?.with_issuer_setting("leeway: 1s");
    if cookie_sessions {
        plan = plan.with_cookie_sessions();
    }
    let gateway = plan.start().await?;

    // This login's token lives five seconds; the refreshed one, five minutes.
    realm.access_tokens_live(5).await?;
    let visitor = Visitor::new()?;
    let form = visitor.arrive(&world.url("/first")).await?;
    let back = visitor.submit_login(&form, "alice").await?;
    let home = visitor.open(back.location()?.as_str()).await?;
    assert!(home.status.is_redirection(), "the callback sends on: {}", home.body);
    realm.access_tokens_live(300).await?;
    sleep(Duration::from_secs(7)).await;

    let before = visitor.cookies(&world.url("/"))?;
    let urls: Vec<String> = (0..TOGETHER).map(|i| world.url(&format!("/burst/{i}"))).collect();
    let answers = try_join_all(urls.iter().map(|url| visitor.fetch(url))).await?;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let tokens: BTreeSet<String> = echo
        .requests()
        .iter()
        .filter(|request| request.target().starts_with("/burst/"))
        .map(|request| request.value("authorization").context("no token went upstream"))
        .collect::<Result<_>>()?;
    assert_eq!(tokens.len(), 1, "every request went on with the one new token");
    assert_eq!(realm.events("REFRESH_TOKEN").await?.len(), 1, "one refresh at Keycloak");
    assert_eq!(realm.events("REFRESH_TOKEN_ERROR").await?.len(), 0, "no refresh token used twice");

    // The session is valid with the new cookie and with the one that the burst was sent with.
    assert_eq!(visitor.fetch(&world.url("/after")).await?.status, 200);
    let old = e2e::visitor::plain_client()?
        .get(world.url("/after-with-old-cookie"))
        .header("cookie", before)
        .header("sec-fetch-mode", "cors")
        .send()
        .await?;
    assert_eq!(old.status(), 200);
    assert_eq!(realm.sessions("alice").await?.len(), 1);
    assert_eq!(realm.events("REFRESH_TOKEN").await?.len(), 1);
    let tokens = tokens.iter().map(|header| header.replace("Bearer ", ""));
    gateway.finish(&visitor.cookie_values().into_iter().chain(tokens).collect::<Vec<_>>())
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_requests_on_an_expiring_token_make_one_refresh() -> Result<()> {
    one_refresh_for_fifty_requests("refresh", false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_requests_on_a_cookie_session_make_one_refresh() -> Result<()> {
    one_refresh_for_fifty_requests("refresh-cookie", true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_keycloak_ended_ends_here_at_the_next_refresh() -> Result<()> {
    let world = World::new("refresh-ended")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let routes = format!(
        "api:\n  match: {{ path: / }}\n  upstream: {}\n  access: [{{ allow: signed_in }}]",
        echo.url()
    );
    let plan = Plan::new(&world, &realm, &routes)?.with_issuer_setting("leeway: 1s");
    let gateway = plan.start().await?;
    realm.access_tokens_live(5).await?;
    let visitor = Visitor::new()?;
    visitor.log_in(&world.url("/first"), "alice").await?;
    realm.log_out("alice").await?;
    e2e::wait::until("the session to end", Duration::from_secs(30), async || {
        Ok((visitor.fetch(&world.url("/x")).await?.status == 401).then_some(()))
    })
    .await?;
    gateway.finish(&visitor.cookie_values())
}
