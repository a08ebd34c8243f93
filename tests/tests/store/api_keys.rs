//! API keys at two gateways that share a store.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevClient, DevIssuer};
use e2e::{
    World,
    gateway::{Gateway, Plan},
    wait,
    wire::{Answer, Wire},
};
use serde_json::Value;

use super::servers::{Kind, Server};

const SECRET: &str = "the gateway's secret at the provider";
const ROUTES: &str =
    "app: { match: { path: /app }, upstream: UPSTREAM, access: [ { allow: { clients: [ci] } } ] }";
const PATIENCE: Duration = Duration::from_secs(20);

async fn ask(port: u16, host: &str, head: &str, body: &str) -> Result<Answer> {
    let mut wire = Wire::connect(port).await?;
    let length = body.len();
    wire.send(format!(
        "{head}\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
    .await;
    wire.answer().await
}

async fn admin(gateway: &Gateway, method: &str, target: &str, body: &str) -> Result<Answer> {
    let port = gateway.admin_port();
    ask(port, &format!("localhost:{port}"), &format!("{method} {target} HTTP/1.1"), body).await
}

async fn opens(gateway: &Gateway, world: &World, key: &str) -> Result<u16> {
    let host = format!("localhost:{}", world.public_port());
    let head = format!("GET /app/x HTTP/1.1\r\nAuthorization: Bearer {key}");
    Ok(ask(gateway.port(), &host, &head, "").await?.status)
}

async fn gateway(world: &World, issuer: &DevIssuer, routes: &str, port: u16) -> Result<Gateway> {
    let store = format!("{{ redis: {{ url: 'redis://127.0.0.1:{port}/0' }} }}");
    let plan = Plan::with_client(world, issuer.url(), SECRET, routes)?.with_store(&store);
    plan.with("api_keys: { routes: [app] }").start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_revoked_at_one_gateway_counts_at_no_other() -> Result<()> {
    let valkey = Server::start(Kind::Valkey, &["--appendonly", "yes"]).await;
    let (one, two) = (World::new("store-api-keys-one")?, World::new("store-api-keys-two")?);
    let client = DevClient::confidential("gateway", SECRET).audience("gateway");
    let client = client.redirect_uri(one.url("/oauth2/callback"));
    let issuer = DevIssuer::builder().client(client).start("127.0.0.1:0").await?;
    let upstream = one.echo().await?;
    let routes = ROUTES.replace("UPSTREAM", &upstream.url());
    let here = gateway(&one, &issuer, &routes, valkey.port).await?;
    let there = gateway(&two, &issuer, &routes, valkey.port).await?;

    let wish = r#"{"client":"ci","routes":["app"],"expires_in":3600}"#;
    let made = admin(&here, "POST", "/keys", wish).await?;
    ensure!(made.status == 201, "{made:?}");
    let made = made.json()?;
    let text = |name: &str| made[name].as_str().map(str::to_owned).context("missing");
    let (key, id) = (text("key")?, text("id")?);
    for _ in 0..3 {
        ensure!(opens(&here, &one, &key).await? == 200);
        ensure!(opens(&there, &two, &key).await? == 200);
    }

    // Neither the keys of the server nor what they hold has the key.
    let dump = valkey.ask(&["KEYS", "*"]).await;
    ensure!(dump.contains("doorward:k:{") && !dump.contains(&key) && !dump.contains(&id), "{dump}");

    let revoked = admin(&here, "DELETE", &format!("/keys/{id}"), "").await?;
    ensure!(revoked.status == 200, "{revoked:?}");
    ensure!(opens(&here, &one, &key).await? == 401, "at the same gateway, at once");
    wait::until("the other gateway refuses it", PATIENCE, async || {
        Ok((opens(&there, &two, &key).await? == 401).then_some(()))
    })
    .await?;

    // A store that is away is no answer about a key that is not in memory, and a key stays what it was.
    let made = admin(&there, "POST", "/keys", wish).await?.json()?;
    let other = made["key"].as_str().context("missing")?.to_owned();
    drop(valkey);
    let refused = opens(&here, &one, &other).await?;
    ensure!(refused == 503, "{refused}");
    let lines = there.audit()?;
    ensure!(!lines.iter().any(|line: &Value| line.to_string().contains(&key)));
    Ok(())
}
