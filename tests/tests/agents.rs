//! An agent of the official package `mcp` and a server of the same, with the gateway between them and Keycloak as the authorization
//! server: the agent is given the URL of the server and nothing else.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use e2e::{
    World,
    browser::Page,
    gateway::{Gateway, Plan},
    keycloak::{GATEWAY_CLIENT, Realm},
    program::{self, Program},
    tools,
    visitor::plain_client,
    wait,
    world::free_port,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// The parts, each with its end.
struct Scene {
    world: World,
    realm: Realm,
    gateway: Gateway,
    server: Program,
    callback: u16,
}

/// The running agent.
struct Agent {
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Scene {
    async fn new(name: &str) -> Result<Self> {
        let world = World::new(name)?;
        let realm = world.realm().await?;
        let (port, callback) = (free_port()?, free_port()?);
        let resource = world.url("/mcp/warehouse");
        realm.add_agent(&resource, &format!("http://127.0.0.1:{callback}/callback")).await?;
        let mut command = Command::new(tools::installed("venv-agents/bin/python")?);
        command.arg(tools::fixture("mcp_server.py")).arg(port.to_string()).arg(record(&world));
        let server = Program::start("mcp-server", world.folder(), &mut command)?;
        let url = format!("http://127.0.0.1:{port}");
        wait::until("the server of MCP", PATIENCE, async || {
            Ok(plain_client()?.get(&url).send().await.is_ok().then_some(()))
        })
        .await?;
        let routes = format!(
            "warehouse:
  match: {{ path: /mcp/warehouse }}
  upstream: {url}
  mcp: {{ resource: '{resource}', scopes: [tools] }}
  access:
    - {{ mcp_methods: [server/discover, tools/list], allow: signed_in }}
    - {{ tools: [query_*], allow: signed_in }}
    - {{ tools: [export_*], allow: {{ scopes: [export] }} }}
"
        );
        let gateway = Plan::new(&world, &realm, &routes)?.start().await?;
        Ok(Self { world, realm, gateway, server, callback })
    }

    fn agent(&self) -> Result<Agent> {
        let mut command = Command::new(tools::installed("venv-agents/bin/python")?);
        let log = std::fs::File::create(self.world.folder().join("agent.log"))?;
        program::prepare(&mut command)?
            .arg(tools::fixture("mcp_agent.py"))
            .arg(self.world.url("/mcp/warehouse"))
            .arg(self.callback.to_string())
            .arg(self.realm.issuer())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
        let output = child.stdout.take().context("no standard output")?;
        Ok(Agent { lines: BufReader::new(output).lines(), _child: child })
    }

    /// Header fields of each request that the server received.
    fn seen(&self) -> Result<Vec<Value>> {
        let text = std::fs::read_to_string(record(&self.world))?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

fn record(world: &World) -> std::path::PathBuf {
    world.folder().join("seen.jsonl")
}

impl Agent {
    async fn next(&mut self) -> Result<Value> {
        let line = timeout(PATIENCE, self.lines.next_line()).await??;
        Ok(serde_json::from_str(&line.context("the agent ended: see agent.log")?)?)
    }

    /// The next step, which is this one.
    async fn says(&mut self, what: &str) -> Result<Value> {
        let step = self.next().await?;
        let said = step.get(what).filter(|said| !said.is_null()).cloned();
        said.with_context(|| format!("not {what}: {step}"))
    }
}

/// Opens the address that the agent asks for; signs in where the form asks for it.
async fn open(page: &Page, address: &Value, user: Option<&str>) -> Result<()> {
    page.goto(address.as_str().context("no address")?).await?;
    if let Some(user) = user {
        page.log_in(user).await?;
    }
    page.wait_for_text("body", "signed in", PATIENCE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_signs_in_calls_tools_and_steps_up() -> Result<()> {
    let scene = Scene::new("agents").await?;
    let page = scene.world.browser().await?.person().await?.tab().await?;
    let mut agent = scene.agent()?;
    // The first request is 401: from there it finds Keycloak.
    open(&page, &agent.says("open").await?, Some("alice")).await?;
    assert_eq!(agent.says("revision").await?, "2026-07-28");
    assert_eq!(agent.says("tools").await?, json!(["drop_table", "export_sales", "query_sales"]));
    let scope = agent.says("scope").await?;
    ensure!(scope.as_str().is_some_and(|scope| !scope.contains("export")), "{scope}");
    let query = agent.next().await?;
    assert_eq!(query["text"], json!(["sales of north: 42"]), "{query}");
    // 403 `insufficient_scope` names all scopes: the agent asks for them, and the call then passes.
    open(&page, &agent.says("open").await?, None).await?;
    let export = agent.next().await?;
    assert_eq!(export["text"], json!(["exported"]), "{export}");
    let scope = agent.says("scope").await?;
    let has = |name: &str| scope.as_str().is_some_and(|all| all.split(' ').any(|one| one == name));
    ensure!(has("tools") && has("export"), "{scope}");
    let dropping = agent.next().await?;
    ensure!(dropping["tool"] == "drop_table" && dropping["refused"].is_string(), "{dropping}");
    let token = agent.says("token").await?;
    let token = token.as_str().context("no token")?;
    let seen = scene.seen()?;
    ensure!(
        seen.iter().all(|request| !request.to_string().contains(token)),
        "the token was passed on"
    );
    for request in &seen {
        let names: Vec<&str> = request["fields"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|field| field[0].as_str())
            .collect();
        ensure!(!names.contains(&"authorization"), "{request}");
        let by_gateway = names.contains(&"x-doorward-assertion");
        ensure!(request["path"] != "/mcp/warehouse" || by_gateway, "{request}");
    }
    // Tokens of the same realm for other audiences open nothing here, and the agent's opens nothing else.
    let other = scene.realm.client_credentials("airflow-run", None).await?;
    let asked =
        plain_client()?.post(scene.world.url("/mcp/warehouse")).bearer_auth(&other).body("{}");
    assert_eq!(asked.send().await?.status(), 401);
    let elsewhere = plain_client()?.get(scene.world.url("/oauth2/userinfo")).bearer_auth(token);
    assert_eq!(elsewhere.send().await?.status(), 401);
    let lines = scene.gateway.audit()?;
    for (tool, status) in [("query_sales", 200), ("export_sales", 403), ("drop_table", 403)] {
        let is_it = |line: &&Value| line["mcp_tool"] == tool && line["status"] == status;
        let line = lines.iter().find(is_it).with_context(|| format!("no line about {tool}"))?;
        ensure!(line["user"] == "alice" && line["client"] == "agent", "{line}");
    }
    ensure!(Realm::secret(GATEWAY_CLIENT) != token);
    drop(agent);
    drop(scene.server);
    scene.gateway.finish(&[token.to_owned()])
}
