//! The local listener: tokens for programs on this machine, and attacks on it from pages and by paths.

#[path = "outbound/assertions.rs"]
mod assertions;
#[path = "outbound/hand_overs.rs"]
mod hand_overs;
#[path = "outbound/services.rs"]
mod services;
#[path = "outbound/sockets.rs"]
mod sockets;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevClient, Endpoint, Fault, Grant, Mint};
use e2e::{
    token_text::claims,
    upstream::Echo,
    wait,
    wire::{Answer, Wire},
    world::free_port,
};
use serde_json::Value;

use crate::stage::{Setup, Stage};

const PATIENCE: Duration = Duration::from_secs(30);

/// A stage with a local listener before a service of its own.
struct Local {
    stage: Stage,
    service: Echo,
    port: u16,
}

impl Local {
    /// `targets`: YAML with `SERVICE` for the service's URL and `SECRET` for the file of a client's secret.
    async fn start(name: &str, targets: &str) -> Result<Self> {
        let (service, port) = (Echo::start().await?, free_port()?);
        let stage = setup(name, &format!("127.0.0.1:{port}"), targets, &service.url())?;
        Ok(Self { stage: stage.start().await?, service, port })
    }

    /// Sends a head, with `HOST` replaced by the listener's, and returns the answer.
    async fn ask(&self, head: &str) -> Result<Answer> {
        let mut wire = Wire::connect(self.port).await?;
        let head = head.replace("HOST", &format!("127.0.0.1:{}", self.port));
        wire.send(format!("{head}\r\n\r\n")).await;
        wire.answer().await
    }

    async fn token(&self, query: &str) -> Result<Answer> {
        self.ask(&format!("GET /token?{query} HTTP/1.1\r\nHost: HOST\r\nX-Doorward-Local: 1")).await
    }

    fn granted(&self, grant: Grant) -> u64 {
        self.stage.issuer.token_requests_by_grant(grant)
    }
}

fn setup(name: &str, listen: &str, targets: &str, service: &str) -> Result<Setup> {
    let yaml: String = targets.lines().map(|line| format!("    {line}\n")).collect();
    let yaml = yaml.replace("SERVICE", service);
    let settings = format!("outbound:\n  listen: {listen}\n  targets:\n{yaml}");
    Ok(Setup::new(name)
        .with_client(|client| client.scope("score"))
        .with_issuer(|issuer| issuer.client(DevClient::confidential("churn", "x")))
        .with_plan(move |plan| plan.with(&settings)))
}

const CHURN: &str = "\
churn: { url: 'SERVICE/base', issuer: main, audience: churn, scopes: [score] }
";

fn problem(answer: &Answer, status: u16, code: &str) -> Result<()> {
    let document = answer.json()?;
    ensure!(answer.status == status && document["code"] == code, "{code}: {answer:?}");
    ensure!(document["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{document}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_get_tokens_and_calls_with_tokens() -> Result<()> {
    let local = Local::start("outbound", CHURN).await?;
    let answer = local.token("audience=churn").await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    let document = answer.json()?;
    ensure!(document["expires_in"].as_u64().is_some_and(|left| left > 0 && left <= 300));
    let token = document["access_token"].as_str().context("no token")?.to_owned();
    ensure!(claims(&token)?["scope"].as_str().is_some_and(|scope| scope.contains("score")));

    // A program's own credentials do not pass, and the service's path comes before its own.
    let call = "POST /churn/v1/score?x=1 HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer of-the-program\r\n\
                X-Forwarded-User: root\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-Own: kept\r\nContent-Length: 0";
    for _ in 0..10 {
        assert_eq!(local.ask(call).await?.status, 200);
    }
    let seen = local.service.last("/base/v1/score?x=1")?;
    assert_eq!(seen.values("authorization"), [format!("Bearer {token}")]);
    assert_eq!(seen.value("host").as_deref(), local.service.url().strip_prefix("http://"));
    assert_eq!(seen.value("x-own").as_deref(), Some("kept"));
    for dropped in ["x-forwarded-user", "x-hop", "x-doorward-local"] {
        assert_eq!(seen.value(dropped), None, "{dropped}");
    }
    assert_eq!(local.token("target=churn").await?.json()?["access_token"], token);
    assert_eq!(local.granted(Grant::ClientCredentials), 1);
    let metrics = local.stage.gateway.metrics().await?;
    let line = "doorward_outbound_requests_total{target=\"churn\",outcome=\"forwarded\"} 10";
    ensure!(metrics.contains(line), "{metrics}");
    wait::until("one line for each request", PATIENCE, async || {
        let lines = local.stage.gateway.audit()?;
        let logged = lines.iter().filter(|line| line["listener"] == "outbound").count();
        ensure!(logged <= 12, "{logged} lines");
        Ok((logged == 12).then_some(()))
    })
    .await?;
    local.stage.finish(&[&format!("t={token}")])
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_browsers_and_for_foreign_hosts_are_refused() -> Result<()> {
    let local = Local::start("outbound-browsers", CHURN).await?;
    for (field, status, code) in [
        ("Origin: https://evil.test", 403, "browser"),
        ("Origin: null", 403, "browser"),
        ("Referer: http://localhost/", 403, "browser"),
        ("Sec-Fetch-Site: none", 403, "browser"),
        ("Sec-Fetch-Mode: navigate", 403, "browser"),
        ("Sec-Fetch-Dest: script", 403, "browser"),
        ("Sec-Fetch-Mode: cors\r\nSec-Fetch-Site: cross-site", 403, "browser"),
        ("Sec-Fetch-Mode: cors\r\nOrigin: https://evil.test", 403, "browser"),
        ("Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty", 403, "browser"),
    ] {
        for target in ["/token?audience=churn", "/churn/score"] {
            let head =
                format!("GET {target} HTTP/1.1\r\nHost: HOST\r\nX-Doorward-Local: 1\r\n{field}");
            problem(&local.ask(&head).await?, status, code)?;
        }
    }
    // A page of a name that resolves to this machine, and other ports and spellings.
    let port = local.port;
    for host in [
        "evil.test".to_owned(),
        format!("evil.test:{port}"),
        format!("127.0.0.1.nip.test:{port}"),
        "10.0.0.1".to_owned(),
        "0.0.0.0".to_owned(),
        format!("localhost:{}", local.stage.gateway.port()),
        format!("localhost.evil.test:{port}"),
    ] {
        for target in ["/token?audience=churn", "/churn/score"] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nX-Doorward-Local: 1");
            problem(&local.ask(&head).await?, 421, "foreign_host")?;
        }
    }
    // Two hosts, in two fields or in the target, have no single reading.
    for head in [
        "GET /churn/x HTTP/1.1\r\nHost: HOST\r\nHost: evil.test",
        "GET http://evil.test/churn/x HTTP/1.1\r\nHost: HOST",
        "GET /churn/x HTTP/1.1",
    ] {
        assert_eq!(local.ask(head).await?.status, 400, "{head}");
    }
    // A token needs the field that a page cannot send unasked.
    for field in ["X-Other: 1", "X-Doorward-Local: 0", "X-Doorward-Local: 1\r\nX-Doorward-Local: 1"]
    {
        let head = format!("GET /token?audience=churn HTTP/1.1\r\nHost: HOST\r\n{field}");
        let answer = local.ask(&head).await?;
        ensure!(matches!(answer.status, 400 | 403), "{field}: {answer:?}");
        ensure!(!answer.body.contains("access_token"), "{field}: {answer:?}");
    }
    let post = "POST /token?audience=churn HTTP/1.1\r\nHost: HOST\r\nX-Doorward-Local: 1\r\nContent-Length: 0";
    problem(&local.ask(post).await?, 405, "method_not_allowed")?;
    for (query, code) in [
        ("audience=other", "no_audience"),
        ("target=other", "no_target"),
        ("audience=churn&audience=churn", "invalid_query"),
        ("audience=churn&scope=admin", "invalid_query"),
        ("", "invalid_query"),
    ] {
        problem(&local.token(query).await?, if code == "invalid_query" { 400 } else { 404 }, code)?;
    }
    assert_eq!(local.service.requests().len(), 0, "nothing was sent");
    assert_eq!(local.granted(Grant::ClientCredentials), 0, "no token was asked for");
    for host in [format!("localhost:{port}"), "localhost".to_owned(), format!("127.0.0.1:{port}")] {
        let head = format!("GET /churn/score HTTP/1.1\r\nHost: {host}");
        assert_eq!(local.ask(&head).await?.status, 200, "{host}");
    }
    // `fetch` of Node.js writes one of a browser's fields.
    let node =
        "GET /churn/score HTTP/1.1\r\nHost: HOST\r\nUser-Agent: node\r\nSec-Fetch-Mode: cors";
    assert_eq!(local.ask(node).await?.status, 200);
    local.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leaves_its_target() -> Result<()> {
    let targets = format!("{CHURN}sales: {{ url: 'SERVICE/sales', issuer: main }}\n");
    let local = Local::start("outbound-paths", &targets).await?;
    for path in [
        "/churn/../secret",
        "/churn/%2e%2e/secret",
        "/churn/.%2e/secret",
        "/churn/..%2fsecret",
        "/churn/%2e%2e%2fsecret",
        "/churn/..%5csecret",
        "/churn/..\\secret",
        "/churn//evil.test/x",
        "//evil.test/churn",
        "/churn/%252e%252e/secret",
        "/churn;/../sales/x",
        "/churn/..;/secret",
        "/churn%2Fx",
        "/churn/x%00",
        "/churn/a#b",
        "/../churn/x",
        "/%2e/churn/x",
    ] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: HOST");
        let answer = local.ask(&head).await?;
        ensure!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
    }
    assert_eq!(local.service.requests().len(), 0);
    for (path, sent) in [
        ("/churn", "/base/"),
        ("/churn/", "/base/"),
        ("/churn/a/b?c=/../d", "/base/a/b?c=/../d"),
        ("/ch%75rn/x", "/base/x"),
        ("/sales/churn", "/sales/churn"),
    ] {
        let answer = local.ask(&format!("GET {path} HTTP/1.1\r\nHost: HOST")).await?;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let seen = local.service.requests().pop().context("nothing was sent")?;
        assert_eq!(seen.target(), sent, "{path}");
    }
    problem(&local.ask("GET /other/x HTTP/1.1\r\nHost: HOST").await?, 404, "no_target")?;
    local.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_listener_serves_what_is_the_others() -> Result<()> {
    let local = Local::start("outbound-apart", CHURN).await?;
    for path in ["/public/x", "/oauth2/start", "/oauth2/auth", "/metrics", "/healthz", "/sessions"]
    {
        problem(
            &local.ask(&format!("GET {path} HTTP/1.1\r\nHost: HOST")).await?,
            404,
            "no_target",
        )?;
    }
    for path in ["/token?audience=churn", "/churn/score"] {
        let answer = local.stage.get(path).header("X-Doorward-Local", "1").send().await?;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    assert_eq!(local.service.requests().len(), 0);
    assert_eq!(local.stage.reached(), Vec::<String>::new());
    local.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_acts_for_a_verified_user_only() -> Result<()> {
    let targets = "reports: { url: SERVICE, issuer: main, audience: churn, grant: exchange }\n";
    let local = Local::start("outbound-exchange", targets).await?;
    let issuer = &local.stage.issuer;
    let own = issuer.log_in("alice", "gateway", "openid")?.access_token;
    let call = async |authorization: &str| {
        local.ask(&format!("GET /reports/x HTTP/1.1\r\nHost: HOST\r\n{authorization}")).await
    };
    for _ in 0..5 {
        assert_eq!(call(&format!("Authorization: Bearer {own}")).await?.status, 200);
    }
    let seen = local.service.last("/x")?.value("authorization").context("no token")?;
    let sent = claims(seen.strip_prefix("Bearer ").context("another scheme")?)?;
    assert_eq!((&sent["aud"], &sent["preferred_username"]), (&"churn".into(), &"alice".into()));
    assert_eq!(local.granted(Grant::TokenExchange), 1);

    let before = (local.service.requests().len(), local.granted(Grant::TokenExchange));
    problem(&call("X-None: 1").await?, 401, "no_subject")?;
    problem(&call("Authorization: Basic eDp5").await?, 401, "no_subject")?;
    for wrong in [
        issuer.mint(Mint::access("alice").wrong_key())?,
        issuer.mint(Mint::access("alice").expired())?,
        issuer.mint(Mint::access("alice").audience(["another"]))?,
        issuer.mint(Mint::id("alice"))?,
        "nonsense".to_owned(),
    ] {
        let answer = call(&format!("Authorization: Bearer {wrong}")).await?;
        assert_eq!(answer.status, 401, "{answer:?}");
        ensure!(answer.header("www-authenticate").starts_with("Bearer"), "{answer:?}");
    }
    let after = (local.service.requests().len(), local.granted(Grant::TokenExchange));
    assert_eq!(before, after, "neither the issuer nor the service was asked");
    local.stage.finish(&[&format!("t={own}")])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_is_named_with_a_remedy() -> Result<()> {
    let local = Local::start("outbound-down", CHURN).await?;
    local.stage.issuer.faults().set(Fault::Html, Endpoint::Token);
    problem(&local.token("audience=churn").await?, 502, "token_invalid")?;
    local.stage.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    wait::until("the outage", PATIENCE, async || {
        let answer = local.ask("GET /churn/x HTTP/1.1\r\nHost: HOST").await?;
        Ok((answer.status == 503).then_some(()))
    })
    .await?;
    assert_eq!(local.service.requests().len(), 0, "nothing goes without a token");
    local.stage.issuer.faults().clear();
    wait::until("the token", Duration::from_secs(60), async || {
        let answer = local.ask("GET /churn/x HTTP/1.1\r\nHost: HOST").await?;
        Ok((answer.status == 200).then_some(()))
    })
    .await?;
    // A token in memory is used while the provider is away.
    local.stage.issuer.stop().await;
    for _ in 0..5 {
        assert_eq!(local.ask("GET /churn/y HTTP/1.1\r\nHost: HOST").await?.status, 200);
    }
    local.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_programs_make_one_grant() -> Result<()> {
    let local = Local::start("outbound-once", CHURN).await?;
    local.stage.issuer.faults().set(Fault::Slow(Duration::from_secs(1)), Endpoint::Token);
    let asking = (0..200).map(|_| local.token("audience=churn"));
    let mut tokens = std::collections::BTreeSet::new();
    for answer in futures_util::future::join_all(asking).await {
        let document: Value = answer?.json()?;
        tokens.insert(document["access_token"].as_str().context("no token")?.to_owned());
    }
    assert_eq!((tokens.len(), local.granted(Grant::ClientCredentials)), (1, 1));
    local.stage.finish(&[])
}
