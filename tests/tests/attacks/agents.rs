//! Servers of MCP behind the gateway: tokens for the resource alone, and rules about methods and tools that no message passes by.

use std::time::Duration;

use anyhow::{Result, ensure};
use dev_issuer::Mint;
use e2e::{wait, wire::Answer};
use serde_json::{Value, json};

use crate::stage::{Setup, Stage};

/// The warehouse has rules about messages, `/mcp/plain` has none.
const ROUTES: &str = "\
warehouse:
  match: { path: /mcp/warehouse }
  upstream: UPSTREAM
  mcp: { resource: PUBLIC/mcp/warehouse, scopes: [tools] }
  origins: [https://agents.example]
  access:
    - { mcp_methods: [server/discover, tools/list], allow: signed_in }
    - { tools: [query_*], allow: { roles: [admin] } }
    - { tools: [export_*], allow: { scopes: [export] } }
plain:
  match: { path: /mcp/plain }
  upstream: UPSTREAM
  mcp: { resource: PUBLIC/mcp/plain }
  access: [{ path: /mcp/plain/open/**, allow: anyone }, { allow: signed_in }]
";

const VERSION: &str = "2026-07-28";

async fn stage(name: &str) -> Result<Stage> {
    let setup = Setup::new(name).trusting_proxies();
    setup.with_routes(ROUTES).start().await
}

fn resource(stage: &Stage, path: &str) -> String {
    stage.world.url(path)
}

/// A token for the warehouse.
fn token(stage: &Stage, user: &str, scope: &str) -> Result<String> {
    let audience = resource(stage, "/mcp/warehouse");
    Ok(stage.issuer.mint(Mint::access(user).client("gateway").scope(scope).audience([audience]))?)
}

fn message(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
}

/// Sends a message whose fields say `method` and `name`.
async fn send(
    stage: &Stage,
    token: &str,
    (method, name): (&str, Option<&str>),
    body: &str,
) -> Result<Answer> {
    let mut asked = stage.post("/mcp/warehouse").bearer(token);
    asked = asked.header("Content-Type", "application/json").header("Mcp-Method", method);
    asked = asked
        .header("MCP-Protocol-Version", VERSION)
        .header("Accept", "application/json, text/event-stream");
    if let Some(name) = name {
        asked = asked.header("Mcp-Name", name);
    }
    asked.body(body).send().await
}

async fn call(stage: &Stage, token: &str, tool: &str) -> Result<Answer> {
    let body = message("tools/call", &json!({ "name": tool, "arguments": {} }));
    send(stage, token, ("tools/call", Some(tool)), &body).await
}

async fn list(stage: &Stage, token: &str) -> Result<Answer> {
    send(stage, token, ("tools/list", None), &message("tools/list", &json!({}))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_finds_its_authorization_server() -> Result<()> {
    let stage = stage("agents-discovery").await?;
    let metadata = stage.world.url("/.well-known/oauth-protected-resource/mcp/warehouse");
    let body = message("server/discover", &json!({}));
    for answer in [
        stage
            .post("/mcp/warehouse")
            .header("Content-Type", "application/json")
            .body(body)
            .send()
            .await?,
        stage.get("/mcp/warehouse").header("Accept", "text/event-stream").send().await?,
    ] {
        ensure!(answer.status == 401, "{answer:?}");
        let challenge = answer.header("www-authenticate");
        ensure!(challenge.contains(&format!("resource_metadata=\"{metadata}\"")), "{challenge}");
        ensure!(
            challenge.ends_with(", scope=\"tools\"") && !challenge.contains("error"),
            "{challenge}"
        );
    }
    let found = stage
        .get("/.well-known/oauth-protected-resource/mcp/warehouse")
        .header("Origin", "https://any.example")
        .send()
        .await?;
    ensure!(found.status == 200 && found.header("access-control-allow-origin") == "*", "{found:?}");
    ensure!(found.header("content-type") == "application/json", "{found:?}");
    let document = found.json()?;
    ensure!(document["resource"] == resource(&stage, "/mcp/warehouse"), "{document}");
    ensure!(document["authorization_servers"] == json!([stage.issuer.url()]), "{document}");
    ensure!(document["scopes_supported"] == json!(["tools"]), "{document}");
    ensure!(document["bearer_methods_supported"] == json!(["header"]), "{document}");
    let preflight = stage.ask("OPTIONS", "/.well-known/oauth-protected-resource/mcp/plain");
    let preflight = preflight
        .header("Origin", "https://any.example")
        .header("Access-Control-Request-Method", "GET");
    let preflight = preflight.send().await?;
    ensure!(
        preflight.status == 204 && preflight.header("access-control-allow-origin") == "*",
        "{preflight:?}"
    );
    // Two resources on this host: the document of neither is at the root.
    for path in ["", "/mcp", "/mcp/warehouse/x", "/public"] {
        let answer =
            stage.get(&format!("/.well-known/oauth-protected-resource{path}")).send().await?;
        ensure!(answer.status == 404, "{path}: {answer:?}");
    }
    let posted =
        stage.post("/.well-known/oauth-protected-resource/mcp/plain").body("x").send().await?;
    ensure!(posted.status == 405, "{posted:?}");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_token_for_the_resource_opens_it() -> Result<()> {
    let stage = stage("agents-audience").await?;
    let own = resource(&stage, "/mcp/warehouse");
    let minted = |audience: &str| {
        let order = Mint::access("alice").client("gateway").scope("tools");
        stage.issuer.mint(order.audience([audience]))
    };
    for audience in [
        "gateway",
        &resource(&stage, "/mcp/plain"),
        &format!("{own}/"),
        &own.to_uppercase(),
        &stage.world.url("/"),
    ] {
        let answer = list(&stage, &minted(audience)?).await?;
        ensure!(answer.status == 401, "{audience}: {answer:?}");
        let challenge = answer.header("www-authenticate");
        ensure!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        ensure!(
            challenge.contains("resource_metadata=\"") && challenge.contains("scope=\"tools\""),
            "{challenge}"
        );
    }
    ensure!(stage.reached().is_empty(), "{:?}", stage.reached());
    let good = minted(&own)?;
    ensure!(list(&stage, &good).await?.status == 200);
    // The token of an agent opens nothing else.
    ensure!(stage.get("/echo").bearer(&good).send().await?.status == 401);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_receives_the_token_of_a_client() -> Result<()> {
    let stage = stage("agents-passthrough").await?;
    let good = token(&stage, "alice", "tools")?;
    ensure!(list(&stage, &good).await?.status == 200);
    let seen = stage.upstream.last("/mcp/warehouse")?;
    ensure!(seen.values("authorization").is_empty(), "{:?}", seen.fields());
    assert_eq!(seen.value("x-forwarded-user").map(|user| user.is_empty()), Some(false));
    assert_eq!(
        seen.body,
        message("tools/list", &json!({})).as_bytes(),
        "the message passes as it is"
    );
    let plain = resource(&stage, "/mcp/plain");
    let plain = stage.issuer.mint(Mint::access("alice").client("gateway").audience([plain]))?;
    // Beside the gateway's own field, and of a scheme of the application's.
    for other in ["Basic dXNlcjpwdw==", "token abc"] {
        let answer = stage
            .get("/mcp/plain")
            .header("X-Doorward-Token", &plain)
            .header("Authorization", other);
        ensure!(answer.send().await?.status == 200);
        let seen = stage.upstream.last("/mcp/plain")?;
        ensure!(seen.values("authorization").is_empty(), "{:?}", seen.fields());
    }
    // A token of another issuer passes nowhere, also where anyone may call.
    let foreign = stage.get("/mcp/plain/open").bearer("opaque-of-another").send().await?;
    ensure!(foreign.status == 401, "{foreign:?}");
    ensure!(stage.get("/mcp/plain/open").send().await?.status == 200);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_is_called_by_those_who_may() -> Result<()> {
    let stage = stage("agents-tools").await?;
    let (alice, bob) = (token(&stage, "alice", "tools")?, token(&stage, "bob", "tools")?);
    ensure!(call(&stage, &alice, "query_sales").await?.status == 200);
    ensure!(list(&stage, &bob).await?.status == 200);
    let refused = call(&stage, &bob, "query_sales").await?;
    ensure!(refused.status == 403 && refused.json()?["code"] == "forbidden", "{refused:?}");
    // No scope would give a role: a client that asked for more would do so for ever.
    ensure!(refused.headers("www-authenticate").is_empty(), "{refused:?}");
    for tool in ["drop_table", "Query_sales", "xquery_sales", "query"] {
        let refused = call(&stage, &alice, tool).await?;
        ensure!(refused.status == 403, "{tool}: {refused:?}");
    }
    // Where a scope is missing, the challenge names all that are needed.
    let refused = call(&stage, &alice, "export_sales").await?;
    ensure!(refused.status == 403, "{refused:?}");
    let challenge = refused.header("www-authenticate");
    ensure!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
    ensure!(
        challenge.contains("scope=\"tools export\"") && challenge.contains("resource_metadata=\""),
        "{challenge}"
    );
    let more = token(&stage, "alice", "tools export")?;
    ensure!(call(&stage, &more, "export_sales").await?.status == 200);
    let none = token(&stage, "alice", "export")?;
    let refused = list(&stage, &none).await?;
    ensure!(refused.status == 403, "{refused:?}");
    ensure!(refused.header("www-authenticate").contains("scope=\"tools\""), "{refused:?}");
    for (method, name) in
        [("prompts/get", Some("query_sales")), ("resources/read", Some("query_sales"))]
    {
        let body = message(method, &json!({ "name": "query_sales", "uri": "query_sales" }));
        let refused = send(&stage, &alice, (method, name), &body).await?;
        ensure!(refused.status == 403, "{method}: {refused:?}");
    }
    let called = wait::until("the audit line", Duration::from_secs(20), async || {
        let is_it = |line: &Value| line["mcp_tool"] == "query_sales" && line["status"] == 200;
        Ok(stage.gateway.audit()?.into_iter().find(is_it))
    })
    .await?;
    ensure!(called["mcp_method"] == "tools/call" && called["client"] == "gateway", "{called}");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_two_readings_reaches_no_server() -> Result<()> {
    let stage = stage("agents-readings").await?;
    let alice = token(&stage, "alice", "tools export")?;
    let query = message("tools/call", &json!({ "name": "query_sales" }));
    let drop = message("tools/call", &json!({ "name": "drop_table" }));
    let twice = query.replace("\"query_sales\"", "\"drop_table\",\"name\":\"query_sales\"");
    let batch = format!("[{drop}]");
    for (fields, body) in [
        (("tools/call", Some("query_sales")), &drop),
        (("tools/list", None), &drop),
        (("tools/call", None), &query),
        (("tools/call", Some("query_sales")), &twice),
        (("tools/call", Some("query_sales")), &batch),
        (("tools/call", Some("query_sales")), &format!("{query}{drop}")),
        (("tools/call", Some("query_sales")), &query.replace("\"name\"", "\"Name\"")),
        (("tools/call", Some("=?base64?cXVlcnlfc2FsZXM?=")), &query),
        (("tools/list", None), &String::new()),
    ] {
        let answer = send(&stage, &alice, fields, body).await?;
        ensure!(answer.status == 400, "{fields:?} {body}: {answer:?}");
        let error = answer.json()?;
        ensure!(error["jsonrpc"] == "2.0" && error["error"]["code"].is_i64(), "{error}");
    }
    let asked =
        || stage.post("/mcp/warehouse").bearer(&alice).header("Content-Type", "application/json");
    let modern = || asked().header("MCP-Protocol-Version", VERSION);
    let list = message("tools/list", &json!({}));
    for (answer, code) in [
        (asked().body(list.clone()), -32020),
        (
            asked()
                .header("MCP-Protocol-Version", "2025-11-25")
                .header("Mcp-Method", "tools/list")
                .body(list.clone()),
            -32022,
        ),
        (modern().body(list.clone()), -32020),
        (
            modern()
                .header("Mcp-Method", "tools/list")
                .header("Mcp-Method", "tools/list")
                .body(list.clone()),
            -32020,
        ),
        (
            modern()
                .header("Mcp-Method", "tools/list")
                .header("Content-Encoding", "gzip")
                .body(list.clone()),
            -32600,
        ),
        (
            stage
                .ask("PUT", "/mcp/warehouse")
                .bearer(&alice)
                .header("Content-Type", "application/json")
                .body(drop.clone()),
            -32600,
        ),
    ] {
        let answer = answer.send().await?;
        ensure!(answer.status == 400, "{answer:?}");
        ensure!(answer.json()?["error"]["code"] == code, "{answer:?}");
    }
    let large = message("tools/list", &json!({ "pad": "x".repeat(1 << 20) }));
    let large = send(&stage, &alice, ("tools/list", None), &large).await?;
    ensure!(large.status == 413, "{large:?}");
    // A proxy that asks does not send the message.
    let question =
        stage.get("/oauth2/auth").bearer(&alice).header("X-Forwarded-Uri", "/mcp/warehouse");
    let question = question.header("X-Forwarded-Method", "POST").send().await?;
    ensure!(question.status == 403, "{question:?}");
    ensure!(stage.reached().is_empty(), "{:?}", stage.reached());
    // Without a message no rule about messages applies.
    ensure!(stage.get("/mcp/warehouse").bearer(&alice).send().await?.status == 403);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_reach_no_server() -> Result<()> {
    let stage = stage("agents-origins").await?;
    let alice = token(&stage, "alice", "tools")?;
    let body = message("tools/list", &json!({}));
    let from = |origin: String| {
        let asked = stage.post("/mcp/warehouse").bearer(&alice).header("Origin", origin);
        let asked =
            asked.header("Content-Type", "application/json").header("Mcp-Method", "tools/list");
        asked.header("MCP-Protocol-Version", VERSION).body(body.clone())
    };
    for origin in
        ["https://evil.example", "null", "http://localhost:1", "https://agents.example.evil"]
    {
        let answer = from(origin.to_owned()).send().await?;
        ensure!(
            answer.status == 403 && answer.json()?["code"] == "foreign_origin",
            "{origin}: {answer:?}"
        );
    }
    for origin in [stage.origin(), "https://agents.example".to_owned()] {
        let answer = from(origin.clone()).send().await?;
        ensure!(answer.status == 200, "{origin}: {answer:?}");
    }
    let cookie = stage.sign_in("alice").await?;
    let foreign =
        stage.get("/mcp/plain").header("Cookie", &cookie).header("Origin", "https://evil.example");
    ensure!(foreign.send().await?.status == 403);
    stage.finish(&[&cookie])
}
