//! Traces in a real collector: the parts of OpenTelemetry's own that read OTLP over HTTP.

use std::{process::Command, time::Duration};

use anyhow::{Result, ensure};
use dev_issuer::{DevClient, DevIssuer, Mint, User};
use e2e::{World, gateway::Plan, program::Program, tools, wait, world::free_port};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test(flavor = "multi_thread")]
async fn a_real_collector_shows_the_trace_of_a_request() -> Result<()> {
    let world = World::new("collector")?;
    let port = free_port()?;
    let configuration = world.folder().join("collector.yaml");
    std::fs::write(
        &configuration,
        format!(
            "receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: 127.0.0.1:{port} }} }} }} }}
exporters: {{ debug: {{ verbosity: detailed }} }}
service:
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines: {{ traces: {{ receivers: [otlp], exporters: [debug] }} }}
"
        ),
    )?;
    let mut command = Command::new(tools::installed("otelcol")?);
    let collector =
        Program::start("otelcol", world.folder(), command.arg("--config").arg(&configuration))?;

    let secret = "the gateway's secret before a collector";
    let client = DevClient::confidential("gateway", secret).audience("gateway");
    let users = DevIssuer::builder().user(User::new("alice", "alice"));
    let issuer = users.client(client).start("127.0.0.1:0").await?;
    let upstream = world.echo().await?;
    let routes = format!(
        "echo: {{ match: {{ path: /echo }}, upstream: '{}', access: [{{ allow: signed_in }}] }}",
        upstream.url()
    );
    let gateway = Plan::with_client(&world, issuer.url(), secret, &routes)?
        .with(&format!("telemetry: {{ otlp: 'http://127.0.0.1:{port}' }}"))
        .start()
        .await?;
    let token = issuer.mint(Mint::access("alice"))?;
    let answer = e2e::visitor::plain_client()?
        .get(world.url("/echo/x?secret=hunter2"))
        .bearer_auth(&token)
        .header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"))
        .send()
        .await?;
    ensure!(answer.status().is_success(), "{answer:?}");

    let shown = wait::until("the trace in the collector", Duration::from_secs(20), async || {
        let output = collector.output();
        Ok((output.matches(TRACE).count() >= 2).then_some(output))
    })
    .await?;
    for part in [
        "service.name: Str(doorward)",
        "Parent ID      : b7ad6b7169203331",
        "Kind           : Server",
        "Kind           : Client",
        "Name           : GET /echo",
        "url.path: Str(/echo/x)",
        "http.response.status_code: Int(200)",
    ] {
        ensure!(shown.contains(part), "{part:?} is not in {shown}");
    }
    ensure!(!shown.contains("hunter2") && !shown.contains(&token), "a secret is in {shown}");
    gateway.finish(&[])
}
