//! The gateway with the store `redis`.

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevClient, DevIssuer, User};
use e2e::{World, gateway::Plan, wire::Wire};
use url::Url;

use super::servers::{Kind, Server};

const SECRET: &str = "the gateway's secret at the provider";
const ROUTES: &str =
    "app: { match: { path: /app }, upstream: UPSTREAM, access: [ { allow: signed_in } ] }";

async fn get(port: u16, public: u16, target: &str, cookie: &str) -> Result<e2e::wire::Answer> {
    let mut wire = Wire::connect(port).await?;
    wire.send(format!(
        "GET {target} HTTP/1.1\r\nHost: localhost:{public}\r\nAccept: text/html\r\nSec-Fetch-Mode: navigate\r\n\
         Sec-Fetch-Dest: document\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
    ))
    .await;
    wire.answer().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_kept_in_valkey_and_survives_its_gateway() -> Result<()> {
    let valkey = Server::start(Kind::Valkey, &["--appendonly", "yes"]).await;
    let world = World::new("store-gateway")?;
    let client = DevClient::confidential("gateway", SECRET)
        .audience("gateway")
        .redirect_uri(world.url("/oauth2/callback"));
    let issuer = DevIssuer::builder()
        .user(User::new("alice", "alice"))
        .client(client)
        .start("127.0.0.1:0")
        .await?;
    let upstream = world.echo().await?;
    let routes = ROUTES.replace("UPSTREAM", &upstream.url());
    let store = format!("{{ redis: {{ url: 'redis://127.0.0.1:{}/0' }} }}", valkey.port);
    let plan = Plan::with_client(&world, issuer.url(), SECRET, &routes)?.with_store(&store);
    let mut gateway = plan.start().await?;
    let (port, public) = (gateway.port(), world.public_port());

    let start = get(port, public, "/oauth2/start?rd=%2Fapp%2F", "").await?;
    let login = start.cookies().join("; ");
    let callback: Url =
        issuer.sign_in(start.location()?.as_str(), "alice").context("login")?.parse()?;
    let callback = format!("{}?{}", callback.path(), callback.query().unwrap_or_default());
    let session = get(port, public, &callback, &login).await?.cookies().join("; ");
    ensure!(!session.is_empty(), "no session");
    ensure!(get(port, public, "/app/", &session).await?.status == 200);

    gateway.kill_and_restart().await?;
    let again = get(port, public, "/app/", &session).await?;
    ensure!(again.status == 200, "{again:?}");

    // No key and no value holds the ticket or a token.
    let keys = valkey.ask(&["KEYS", "*"]).await;
    let ticket = session.split(['=', ';']).nth(1).context("no ticket")?;
    ensure!(keys.contains("doorward:s:{") && !keys.contains(ticket), "{keys}");

    drop(valkey);
    let unknown = format!("doorward={}", "A".repeat(43));
    let refused = get(port, public, "/app/", &unknown).await?;
    ensure!(
        refused.status == 503,
        "an unknown cookie says nothing while the store is away: {refused:?}"
    );
    Ok(())
}
