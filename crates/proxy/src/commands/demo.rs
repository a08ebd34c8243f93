//! `doorward demo`: an identity provider, two services and the gateway before them, in one process on loopback.

mod services;

use std::{fs, io::Write, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use clap::Args;
use cli_auth::browser;
use dev_issuer::{DevClient, DevIssuer};
use rand::RngExt;

use super::{
    Outcome,
    serve::{Running, recorder},
};
use crate::{config::Config, listen::Drain, observe::log::Log};

/// How the demo is run.
#[derive(Debug, Args)]
pub struct Demo {
    /// The port of the gateway; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Open the browser
    #[arg(long)]
    open: bool,
}

/// Where everything is.
struct Places {
    gateway: String,
    issuer: String,
    dashboard: SocketAddr,
    model: SocketAddr,
}

impl Demo {
    /// Runs until Ctrl-C.
    ///
    /// # Errors
    ///
    /// A port that is taken.
    pub async fn run(&self) -> anyhow::Result<Outcome> {
        let port = free_port(self.port).await?;
        let issuer = DevIssuer::demo_builder()
            .client(
                DevClient::confidential("gateway", "demo-gateway-secret")
                    .redirect_uri(format!("http://127.0.0.1:{port}/oauth2/callback"))
                    .redirect_uri(format!("http://localhost:{port}/oauth2/callback"))
                    .post_logout_redirect_uri(format!("http://127.0.0.1:{port}/oauth2/signed_out"))
                    .post_logout_redirect_uri(format!("http://localhost:{port}/oauth2/signed_out"))
                    .audience("gateway"),
            )
            .client(
                DevClient::confidential("batch-job", "batch-job")
                    .audience("gateway")
                    .scope("score"),
            )
            .start("127.0.0.1:0")
            .await?;
        let places = Places {
            gateway: format!("http://127.0.0.1:{port}"),
            issuer: issuer.url().to_owned(),
            dashboard: services::dashboard().await?,
            model: services::model().await?,
        };
        let folder = tempfile::tempdir().context("a folder for the demo's session file")?;
        let text = configuration(&places, folder.path())?;
        let loaded = Config::parse("demo", &text)?;
        let log = Arc::new(Log::start(&loaded.config.log)?);
        let drain = Drain::new(Duration::from_secs(2));
        let running = Running::start(loaded, recorder()?, log, drain.clone()).await?;
        let admin = running.admin();
        let stopper = tokio::spawn(async move {
            // Without a signal handler Ctrl-C ends the process all the same.
            if tokio::signal::ctrl_c().await.is_ok() {
                drain.begin();
            }
        });
        self.say(&places, admin)?;
        running.serve().await;
        stopper.abort();
        Ok(Outcome::Fine)
    }

    fn say(&self, places: &Places, admin: SocketAddr) -> std::io::Result<()> {
        let Places { gateway, issuer, .. } = places;
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            r#"
Doorward is running, with an identity provider and two services behind it.

  Open        {gateway}/
  Sign in as  alice / alice   (role data-scientist: may use both services)
              bob / bob       (no role: sees why not)

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
        if self.open && !browser::open(gateway) {
            writeln!(out, "No browser could be started; open {gateway}/ yourself.")?;
        }
        Ok(())
    }
}

/// The port asked for, or the next free one of a few: 8080 is often taken.
async fn free_port(wanted: u16) -> anyhow::Result<u16> {
    let last = wanted.saturating_add(20);
    for port in wanted..=last {
        if let Ok(listener) = tokio::net::TcpListener::bind(("127.0.0.1", port)).await {
            return Ok(listener.local_addr()?.port());
        }
    }
    anyhow::bail!("ports {wanted} to {last} of 127.0.0.1 are all taken; choose another with --port")
}

/// The demo's configuration: the same file a user would write.
fn configuration(places: &Places, folder: &Path) -> anyhow::Result<String> {
    let secret = folder.join("client-secret");
    let key = folder.join("session-key");
    fs::write(&secret, "demo-gateway-secret")?;
    let random: [u8; 32] = rand::rng().random();
    fs::write(&key, random.map(|octet| format!("{octet:02x}")).concat())?;
    let Places { gateway, issuer, dashboard, model } = places;
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
