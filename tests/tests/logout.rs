//! Signing out ends the session here and at Keycloak.

use std::time::Duration;

use anyhow::Result;
use e2e::{
    World,
    gateway::{Gateway, Plan},
    keycloak::{GATEWAY_CLIENT, Realm},
    upstream::Echo,
    visitor::{Manner, Visitor, form_token},
    wait,
};
use reqwest::Method;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(30);

fn plan(world: &World, realm: &Realm, echo: &Echo) -> Result<Plan> {
    let routes = format!(
        "page:\n  match: {{ path: / }}\n  upstream: {}\n  access: [{{ allow: signed_in }}]",
        echo.url()
    );
    Plan::new(world, realm, &routes)
}

async fn gateway(world: &World, realm: &Realm, echo: &Echo) -> Result<Gateway> {
    plan(world, realm, echo)?.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_the_session_at_keycloak_too() -> Result<()> {
    let world = World::new("logout")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let gateway = gateway(&world, &realm, &echo).await?;
    let person = world.browser().await?.person().await?;
    let page = person.tab().await?;
    page.goto(&world.url("/inbox")).await?;
    page.log_in("alice").await?;
    page.wait_for_url(&world.url("/inbox"), PATIENCE).await?;
    assert_eq!(realm.sessions("alice").await?.len(), 1);
    let stolen = person.cookie_header("localhost").await?;

    page.goto(&world.url("/oauth2/sign_out")).await?;
    assert_eq!(realm.sessions("alice").await?.len(), 1, "a GET only asks");
    page.click("form button[type=submit]").await?;
    page.wait_for_url(&world.url("/oauth2/signed_out"), PATIENCE).await?;
    assert_eq!(realm.sessions("alice").await?.len(), 0, "no session is left at Keycloak");

    page.goto(&world.url("/inbox")).await?;
    assert_eq!(page.count("#kc-form-login").await?, 1, "the password is asked for again");
    let replayed = Visitor::new()?
        .send(Method::GET, &world.url("/inbox"), Manner::Fetch, &[("cookie", &stolen)], None)
        .await?;
    assert_eq!(replayed.status, 401, "the old cookie opens nothing");
    gateway.finish(&[stolen])
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_cannot_sign_users_out() -> Result<()> {
    let world = World::new("logout-foreign")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let gateway = gateway(&world, &realm, &echo).await?;
    let visitor = Visitor::new()?;
    visitor.log_in(&world.url("/inbox"), "alice").await?;
    let foreign = [
        ("origin", "https://elsewhere.test"),
        ("sec-fetch-site", "cross-site"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let url = world.url("/oauth2/sign_out");
    let body = Some(String::new());
    let answer = visitor.send(Method::POST, &url, Manner::Program, &foreign, body).await?;
    assert_eq!(answer.status, 403, "{}", answer.body);
    assert_eq!(visitor.fetch(&world.url("/inbox")).await?.status, 200, "still signed in");
    assert_eq!(realm.sessions("alice").await?.len(), 1);
    gateway.finish(&visitor.cookie_values())
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_the_session_in_the_cookie_too() -> Result<()> {
    let world = World::new("logout-cookie")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let gateway = plan(&world, &realm, &echo)?.with_cookie_sessions().start().await?;
    let visitor = Visitor::new()?;
    visitor.log_in(&world.url("/inbox"), "alice").await?;
    let stolen = visitor.cookies(&world.url("/inbox"))?;

    let url = world.url("/oauth2/sign_out");
    let form = visitor.open(&url).await?;
    let csrf = form_token(&form.body)?;
    let body =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("csrf", &csrf).finish();
    let origin = world.public_url();
    let fields =
        [("origin", origin.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let answer = visitor.send(Method::POST, &url, Manner::Navigation, &fields, Some(body)).await?;
    let end = visitor.follow(answer).await?;
    assert!(end.url.as_str().starts_with(&world.url("/oauth2/signed_out")), "{}", end.url);
    assert_eq!(realm.sessions("alice").await?.len(), 0, "no session is left at Keycloak");
    assert_eq!(visitor.fetch(&world.url("/inbox")).await?.status, 401);
    let cookie = [("cookie", stolen.as_str())];
    let inbox = world.url("/inbox");
    let replayed = Visitor::new()?.send(Method::GET, &inbox, Manner::Fetch, &cookie, None).await?;
    assert_eq!(replayed.status, 401, "the old cookie opens nothing");
    gateway.finish(&[stolen])
}

async fn ended_by_an_administrator(name: &str, cookie_sessions: bool) -> Result<()> {
    let world = World::new(name)?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let back_channel = json!({
        "backchannel.logout.url": world.url("/oauth2/backchannel_logout"),
        "backchannel.logout.session.required": "true",
    });
    realm.set_client_attributes(GATEWAY_CLIENT, &back_channel).await?;
    let mut plan = plan(&world, &realm, &echo)?;
    if cookie_sessions {
        plan = plan.with_cookie_sessions();
    }
    let gateway = plan.start().await?;
    let (alice, carol) = (Visitor::new()?, Visitor::new()?);
    alice.log_in(&world.url("/inbox"), "alice").await?;
    carol.log_in(&world.url("/inbox"), "carol").await?;

    realm.log_out("alice").await?;
    wait::until("Keycloak's logout token", PATIENCE, async || {
        Ok((alice.fetch(&world.url("/inbox")).await?.status == 401).then_some(()))
    })
    .await?;
    assert_eq!(carol.fetch(&world.url("/inbox")).await?.status, 200, "no other user is signed out");
    assert_eq!(realm.events("REFRESH_TOKEN").await?.len(), 0, "and no refresh failed before");
    let back = alice.log_in(&world.url("/inbox"), "alice").await?;
    assert_eq!(back.status, 200, "and signing in again works: {}", back.body);
    let mut secrets = alice.cookie_values();
    secrets.extend(carol.cookie_values());
    gateway.finish(&secrets)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_at_keycloak_ends_the_session_at_once() -> Result<()> {
    ended_by_an_administrator("logout-admin", false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_at_keycloak_ends_a_cookie_session() -> Result<()> {
    ended_by_an_administrator("logout-admin-cookie", true).await
}
