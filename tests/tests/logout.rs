//! Signing out ends the session here and at Keycloak.

use std::time::Duration;

use anyhow::Result;
use e2e::{
    World,
    gateway::{Gateway, Plan},
    keycloak::Realm,
    upstream::Echo,
    visitor::{Manner, Visitor},
};
use reqwest::Method;

const PATIENCE: Duration = Duration::from_secs(30);

async fn gateway(world: &World, realm: &Realm, echo: &Echo) -> Result<Gateway> {
    let routes = format!(
        "page:\n  match: {{ path: / }}\n  upstream: {}\n  access: [{{ allow: signed_in }}]",
        echo.url()
    );
    Plan::new(world, realm, &routes)?.start().await
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
async fn another_site_cannot_sign_people_out() -> Result<()> {
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
