//! A realm whose public name is another than the address at which the gateway reaches it.

use anyhow::{Context as _, Result, ensure};
use e2e::{World, gateway::Plan, visitor::Visitor};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_realm_with_a_public_name_is_reached_by_another() -> Result<()> {
    let world = World::new("split-realm")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let (_, port) = realm.address().rsplit_once(':').context("an address with a port")?;
    let public = format!("http://localhost:{port}");
    realm.configure(&json!({ "attributes": { "frontendUrl": public } })).await?;
    let routes = format!(
        "api:
  match: {{ path: / }}
  upstream: {}
  access: [{{ allow: signed_in }}]",
        echo.url()
    );
    let gateway = Plan::new(&world, &realm, &routes)?
        .with_issuer(&realm.issuer_at(&public))
        .with_issuer_setting(&format!("discovery_url: {}", realm.issuer()))
        .start()
        .await?;
    let visitor = Visitor::new()?;
    let form = visitor.arrive(&world.url("/first")).await?;
    ensure!(form.url.host_str() == Some("localhost"), "browsers get the public name: {}", form.url);
    let back = visitor.submit_login(&form, "alice").await?;
    let home = visitor.open(back.location()?.as_str()).await?;
    ensure!(home.status.is_redirection(), "the callback sends on: {}", home.body);
    assert_eq!(visitor.fetch(&world.url("/after")).await?.status, 200);
    gateway.finish(&visitor.cookie_values())
}
