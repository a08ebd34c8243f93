//! The parts without the gateway: when one of these tests fails, check the installation first.

use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::{
    World,
    applications::{Dashboard, Framework},
    wait, websocket,
};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn keycloak_issues_tokens_and_signs_users_in() -> Result<()> {
    let world = World::new("harness-keycloak")?;
    let realm = world.realm().await?;
    let token = realm.client_credentials("airflow-run", Some("score")).await?;
    assert_eq!(token.split('.').count(), 3);
    let page = world.browser().await?.person().await?.tab().await?;
    page.goto(&format!("{}/account", realm.issuer())).await?;
    page.log_in("alice").await?;
    wait::until("a session", PATIENCE, async || {
        Ok((realm.sessions("alice").await?.len() == 1).then_some(()))
    })
    .await?;
    assert_eq!(realm.events("LOGIN").await?.len(), 1);
    realm.log_out("alice").await?;
    assert_eq!(realm.sessions("alice").await?.len(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_visitor_signs_in_at_keycloak() -> Result<()> {
    let world = World::new("harness-visitor")?;
    let realm = world.realm().await?;
    let mut url: url::Url = format!("{}/protocol/openid-connect/auth", realm.issuer()).parse()?;
    url.query_pairs_mut()
        .append_pair("client_id", "gateway")
        .append_pair("response_type", "code")
        .append_pair("scope", "openid")
        .append_pair("redirect_uri", &world.url("/oauth2/callback"))
        .append_pair("code_challenge_method", "S256")
        .append_pair("code_challenge", &"x".repeat(43));
    let visitor = e2e::visitor::Visitor::new()?;
    let form = visitor.arrive(url.as_str()).await?;
    let back = visitor.submit_login(&form, "alice").await?.location()?;
    assert!(back.as_str().starts_with(&world.url("/oauth2/callback?")), "{back}");
    assert!(back.query_pairs().any(|(name, _)| name == "iss"), "RFC 9207: {back}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn streamlit_and_the_model_api_answer() -> Result<()> {
    let world = World::new("harness-applications")?;
    let (dashboard, api) = (world.dashboard(Framework::Streamlit).await?, world.model_api().await?);
    let page = world.browser().await?.person().await?.tab().await?;
    page.goto(&format!("{}/dashboard/", dashboard.url())).await?;
    Dashboard::press(&page, 1..=1).await?;

    let client = e2e::visitor::plain_client()?;
    let stream = client.get(format!("{}/models/churn/answers?n=3", api.url())).send().await?;
    assert_eq!(stream.text().await?.matches("data: token").count(), 3);
    let port = api.url().rsplit(':').next().context("no port")?.parse()?;
    let mut live = websocket::connect(port, "/models/churn/live", &[]).await?.open()?;
    assert_eq!(live.ask("7").await?, "scored 7");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_echo_upstream_records_and_echoes() -> Result<()> {
    let world = World::new("harness-echo")?;
    let echo = world.echo().await?;
    let client = e2e::visitor::plain_client()?;
    let answer = client.post(format!("{}/a?b=c", echo.url())).body("hello").send().await?;
    let seen: serde_json::Value = answer.json().await?;
    assert_eq!(seen["body"], "hello");
    let recorded = echo.last("/a")?;
    assert_eq!((recorded.method().as_str(), recorded.body.as_slice()), ("POST", &b"hello"[..]));
    let mut socket = websocket::connect(echo.address().port(), "/ws", &[]).await?.open()?;
    assert_eq!(socket.ask("hi").await?, "hi");
    Ok(())
}
