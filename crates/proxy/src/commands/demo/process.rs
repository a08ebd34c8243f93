//! Runs the demo's provider, its two services and the gateway in this process, all on loopback.

use std::{fs, io::Write, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use dev_issuer::{DevClient, DevIssuer};
use rand::RngExt;

use super::{Demo, services};
use crate::{
    commands::{
        Outcome,
        serve::{Running, recorder},
    },
    config::Config,
    listen::{Drain, Inherited},
    log::Log,
};

/// Secret of the gateway as a client of the demo's provider.
const GATEWAY_SECRET: &str = "demo-gateway-secret";

/// Addresses of the demo's parts.
struct Addresses {
    gateway: String,
    issuer: String,
    dashboard: SocketAddr,
    model: SocketAddr,
}

/// Runs until Ctrl-C.
pub(super) async fn run(demo: &Demo) -> anyhow::Result<Outcome> {
    let port = free_port(demo.port).await?;
    let issuer = provider(port).await?;
    let addresses = Addresses {
        gateway: format!("http://127.0.0.1:{port}"),
        issuer: issuer.url().to_owned(),
        dashboard: services::dashboard().await?,
        model: services::model().await?,
    };
    let folder = tempfile::tempdir().context("a folder for the demo's session file")?;
    let text = configuration(&addresses, folder.path())?;
    let loaded = Config::parse("demo", &text)?;
    let log = Arc::new(Log::start(&loaded.config.log)?);
    let drain = Drain::new(Duration::from_secs(2));
    let running =
        Running::start(loaded, recorder()?, log, drain.clone(), Inherited::default()).await?;
    let admin = running.admin();
    let stopper = tokio::spawn(async move {
        // Without a signal handler, Ctrl-C ends the process at once.
        if tokio::signal::ctrl_c().await.is_ok() {
            drain.begin();
        }
    });
    print_introduction(&addresses, admin, demo.open)?;
    running.serve().await;
    stopper.abort();
    Ok(Outcome::Fine)
}

/// Starts the provider. It knows the gateway at this port, and a machine.
async fn provider(port: u16) -> anyhow::Result<DevIssuer> {
    let mut gateway = DevClient::confidential("gateway", GATEWAY_SECRET).audience("gateway");
    for host in ["127.0.0.1", "localhost"] {
        let origin = format!("http://{host}:{port}");
        gateway = gateway
            .redirect_uri(format!("{origin}/oauth2/callback"))
            .post_logout_redirect_uri(format!("{origin}/oauth2/signed_out"));
    }
    let machine =
        DevClient::confidential("batch-job", "batch-job").audience("gateway").scope("score");
    let builder = DevIssuer::demo_builder().client(gateway).client(machine);
    Ok(builder.start("127.0.0.1:0").await?)
}

fn print_introduction(addresses: &Addresses, admin: SocketAddr, open: bool) -> std::io::Result<()> {
    let Addresses { gateway, issuer, .. } = addresses;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        r#"
Doorward is running, with an identity provider and two services behind it.

  Open        {gateway}/
  Sign in as  alice / alice   (role data-scientist: may use both services)
              bob / bob       (no role: sees which one is missing)

Try it without a browser:

  curl -i {gateway}/models/churn/score

  TOKEN=$(curl -s -d grant_type=client_credentials -d client_id=batch-job -d client_secret=batch-job -d scope=score \
    {issuer}/protocol/openid-connect/token | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  curl -H "Authorization: Bearer $TOKEN" "{gateway}/models/churn/score?months=3"

  curl -N -H "Authorization: Bearer $TOKEN" {gateway}/models/churn/explanation

  Metrics     http://{admin}/metrics
  Provider    {issuer}
  Stop        Ctrl-C
"#
    )?;
    out.flush()?;
    if open && !cli_auth::browser::open(gateway) {
        writeln!(out, "No browser started; open {gateway}/ yourself.")?;
    }
    Ok(())
}

/// The requested port, or the first free one of the next twenty: 8080 is often taken.
async fn free_port(wanted: u16) -> anyhow::Result<u16> {
    let last = wanted.saturating_add(20);
    for port in wanted..=last {
        if let Ok(listener) = tokio::net::TcpListener::bind(("127.0.0.1", port)).await {
            return Ok(listener.local_addr()?.port());
        }
    }
    anyhow::bail!(
        "no free port: {wanted} to {last} of 127.0.0.1 are in use; choose another with --port"
    )
}

/// The demo's configuration: the same file a user would write.
fn configuration(addresses: &Addresses, folder: &Path) -> anyhow::Result<String> {
    let secret = folder.join("client-secret");
    let key = folder.join("session-key");
    fs::write(&secret, GATEWAY_SECRET)?;
    let random: [u8; 32] = rand::rng().random();
    fs::write(&key, random.map(|byte| format!("{byte:02x}")).concat())?;
    let Addresses { gateway, issuer, dashboard, model } = addresses;
    let listen = gateway.trim_start_matches("http://");
    Ok(format!(
        r#"
listen: {listen}
public_url: {gateway}
admin: 127.0.0.1:0
issuers:
  demo:
    url: {issuer}
    client_id: gateway
    client_auth: {{ secret: {{ file: {secret} }} }}
    audience: [gateway]
session:
  store: {{ embedded: {{ path: {sessions} }} }}
  key: {{ file: {key} }}
routes:
  dashboard:
    title: Live dashboard
    match: {{ path: /dashboard }}
    upstream: http://{dashboard}
    rewrite: {{ strip_prefix: /dashboard }}
    access:
      - {{ allow: {{ roles: [data-scientist] }} }}
  churn-model:
    title: Churn model
    match: {{ path: /models/churn }}
    upstream: http://{model}
    rewrite: {{ strip_prefix: /models/churn }}
    access:
      - {{ methods: [GET], path: /models/churn/health, allow: anyone }}
      - allow:
          - {{ clients: [batch-job], scopes: [score] }}
          - {{ roles: [data-scientist] }}
log: {{ format: text, level: warn }}
"#,
        secret = secret.display(),
        key = key.display(),
        sessions = folder.join("sessions.redb").display(),
    ))
}
