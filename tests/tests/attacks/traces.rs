//! Traces: one for each request, from the client to the upstream and the provider, without anything that is secret or personal.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dev_issuer::Mint;
use e2e::{
    collector::{Collector, Span},
    token_text, wait,
};

use crate::{
    browser::{Browser, callback},
    stage::{Setup, Stage},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENTS_SPAN: &str = "b7ad6b7169203331";

/// A stage whose gateway sends its traces to a collector of the test.
pub(crate) async fn traced(setup: Setup, keys: &str) -> Result<(Stage, Collector)> {
    let collector = Collector::start().await?;
    let telemetry = format!("telemetry: {{ otlp: '{}'{keys} }}", collector.url());
    let stage = setup.with_plan(move |plan| plan.with(&telemetry)).start().await?;
    Ok((stage, collector))
}

fn traceparent(recorded: bool) -> String {
    format!("00-{TRACE}-{CLIENTS_SPAN}-0{}", u8::from(recorded))
}

/// The span of the request for this path.
fn server<'s>(spans: &'s [Span], path: &str) -> Result<&'s Span> {
    let of_path = |span: &&Span| span.kind == "server" && span.get("url.path") == Some(path);
    spans.iter().find(of_path).with_context(|| format!("no request for {path}: {spans:#?}"))
}

fn answered(path: &'static str) -> impl Fn(&Span) -> bool {
    move |span| span.kind == "server" && span.get("url.path") == Some(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_trace_down_to_its_upstream() -> Result<()> {
    let (stage, collector) = traced(Setup::new("trace-request"), "").await?;
    let token = stage.issuer.mint(Mint::access("bob"))?;
    let ask = stage.post("/echo/a%20b?q=1").header("traceparent", traceparent(false));
    let answer = ask.bearer(&token).body("12345").send().await?;
    ensure!(answer.status == 200, "{answer:?}");

    let spans = collector.spans_with(answered("/echo/a%20b")).await?;
    let request = server(&spans, "/echo/a%20b")?;
    assert_eq!((request.trace.as_str(), request.parent.as_str()), (TRACE, CLIENTS_SPAN));
    assert_eq!(request.name, "POST /echo");
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/echo"),
        ("doorward.route", "echo"),
        ("doorward.outcome", "forwarded"),
        ("http.response.status_code", "200"),
        ("http.request.body.size", "5"),
        ("url.scheme", "http"),
        ("network.protocol.version", "1.1"),
        ("service.name", "doorward"),
    ] {
        assert_eq!(request.get(key), Some(value), "{key}: {request:#?}");
    }
    let call = spans.iter().find(|span| span.parent == request.id).context("no call")?;
    assert_eq!((call.kind.as_str(), call.name.as_str()), ("client", "POST /echo"));
    assert_eq!(call.get("server.port"), Some(&*stage.upstream.address().port().to_string()));
    let url = format!("{}/echo/a%20b", stage.upstream.url());
    assert_eq!(call.get("url.full"), Some(&*url));
    ensure!(call.took <= request.took, "{call:#?} {request:#?}");

    // The upstream continues the call's span.
    let received = stage.upstream.last("/echo")?.value("traceparent");
    assert_eq!(received, Some(format!("00-{TRACE}-{}-01", call.id)));
    // The log names the trace.
    let line = wait::until("the audit line", Duration::from_secs(20), async || {
        Ok(stage.gateway.audit()?.into_iter().rfind(|line| line["path"] == "/echo/a%20b"))
    })
    .await?;
    assert_eq!(line["trace_id"], TRACE);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_a_span_with_its_code() -> Result<()> {
    let (stage, collector) = traced(Setup::new("trace-refusals"), "").await?;
    let token = stage.issuer.mint(Mint::access("bob"))?;
    stage.get("/admin/x").bearer(&token).send().await?;
    stage.get("/echo").send().await?;
    stage.get("/echo%2f%2f/..%5c").send().await?;
    stage.get("/nowhere").send().await?;
    let spans = collector.spans_with(answered("/nowhere")).await?;
    for (path, outcome) in [("/admin/x", "forbidden"), ("/nowhere", "no_route")] {
        let span = server(&spans, path)?;
        assert_eq!(span.get("doorward.outcome"), Some(outcome), "{span:#?}");
        // The client's mistake is no error of the server.
        ensure!(!span.failed, "{span:#?}");
    }
    // No client can choose the name of a span.
    ensure!(spans.iter().all(|span| !span.name.contains("nowhere")), "{spans:#?}");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_down_is_an_error_of_the_span() -> Result<()> {
    let closed = "down: { match: { path: /down }, upstream: 'http://127.0.0.1:9', access: [{ allow: anyone }] }\n";
    let (stage, collector) = traced(Setup::new("trace-down").with_routes(closed), "").await?;
    let answer = stage.get("/down").send().await?;
    ensure!(answer.status == 502, "{answer:?}");
    let spans = collector.spans_with(answered("/down")).await?;
    let request = server(&spans, "/down")?;
    ensure!(request.failed && request.get("error.type") == Some("502"), "{request:#?}");
    let call = spans.iter().find(|span| span.parent == request.id).context("no call")?;
    ensure!(call.failed, "{call:#?}");
    assert_eq!(call.get("error.type"), Some("upstream_unavailable"));
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_to_the_provider_are_spans_of_the_login() -> Result<()> {
    let (stage, collector) = traced(Setup::new("trace-login"), "").await?;
    let cookie = stage.sign_in("alice").await?;
    let spans = collector.spans_with(answered("/oauth2/callback")).await?;
    let callback = server(&spans, "/oauth2/callback")?;
    assert_eq!(callback.name, "GET /oauth2/callback");
    let token = stage.issuer.url().parse::<url::Url>()?;
    let call = spans
        .iter()
        .find(|span| span.parent == callback.id && span.name.starts_with("POST "))
        .with_context(|| format!("no call for the token: {spans:#?}"))?;
    ensure!(call.name.starts_with("POST /") && call.name.ends_with("token"), "{call:#?}");
    assert_eq!(call.get("server.port"), token.port().map(|port| port.to_string()).as_deref());
    assert_eq!(call.get("http.response.status_code"), Some("200"));
    ensure!(call.get("doorward.issuer").is_some(), "{call:#?}");
    // The new session is stored for this request.
    let stored = spans.iter().find(|span| span.name == "create").context("no call of the store")?;
    assert_eq!((&stored.trace, &stored.parent), (&callback.trace, &callback.id));
    assert_eq!(stored.get("db.system.name"), Some("redb"));
    // Keys are fetched ahead, for no request in particular: a trace of its own.
    let keys =
        spans.iter().find(|span| span.name.starts_with("GET ") && span.name.ends_with("certs"));
    let keys = keys.with_context(|| format!("no fetch of keys: {spans:#?}"))?;
    ensure!(keys.parent.is_empty() && keys.trace != callback.trace, "{keys:#?}");
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_is_part_of_the_request_that_began_it() -> Result<()> {
    let short =
        |issuer: dev_issuer::DevIssuerBuilder| issuer.access_token_lifetime(Duration::from_secs(2));
    let setup = Setup::new("trace-refresh").with_issuer(short);
    let (stage, collector) = traced(setup, "").await?;
    let cookie = stage.sign_in("alice").await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let answer = stage.get("/echo/later").header("Cookie", &cookie).send().await?;
    ensure!(answer.status == 200, "{answer:?}");
    let spans = collector.spans_with(answered("/echo/later")).await?;
    let request = server(&spans, "/echo/later")?;
    let refresh = |span: &&Span| span.parent == request.id && span.name.ends_with("/token");
    let refresh = spans.iter().find(refresh).with_context(|| format!("no refresh: {spans:#?}"))?;
    ensure!(refresh.took <= request.took, "{refresh:#?} {request:#?}");
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_hold_no_secret_no_query_and_no_person() -> Result<()> {
    let (stage, collector) = traced(Setup::new("trace-secrets"), "").await?;
    let browser = Browser::new(&stage);
    let at_provider = browser.begin("/echo?password=hunter2-hunter2").await?;
    let target = callback(&stage, &at_provider, "alice")?;
    browser.open(&target).await?;
    browser.open(&target).await?;
    let token = stage.issuer.mint(Mint::access("bob"))?;
    stage.get(&format!("/echo?access_token={token}")).bearer(&token).send().await?;
    stage.get(&format!("/nowhere?t={token}")).header("Cookie", "doorward=x-y-z").send().await?;
    stage.get("/echo").header("Authorization", format!("Basic {token}")).send().await?;
    stage.get("/echo").header("Referer", "https://a.example/hunter2-hunter2").send().await?;
    stage.get("/echo%zz?hunter2-hunter2").send().await?;
    stage.get("/oauth2/auth").header("X-Original-Url", "/echo?hunter2-hunter2").send().await?;
    stage.get("/last").send().await?;
    collector.spans_with(answered("/last")).await?;

    let cookie = browser.cookie();
    let (_, query) = target.split_once('?').context("no query")?;
    let mut secrets: Vec<String> = token.split('.').map(str::to_owned).collect();
    for pair in query.split('&').chain(cookie.split("; ")) {
        secrets.extend(pair.split_once('=').map(|(_, value)| value.to_owned()));
    }
    secrets.retain(|secret| secret.len() > 8);
    secrets.extend(
        ["hunter2", "x-y-z", "alice", "bob", "127.0.0.1:6", "a.example"].map(str::to_owned),
    );
    for export in collector.exports() {
        let text = String::from_utf8_lossy(&export.body);
        for secret in &secrets {
            ensure!(!text.contains(secret), "{secret:?} is in a span: {text}");
        }
        ensure!(!token_text::has_token(&text), "a token is in a span: {text}");
    }
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_trusted_proxy_decides_what_is_recorded() -> Result<()> {
    let (stage, collector) = traced(Setup::new("trace-sampling"), ", sample: 0").await?;
    let token = stage.issuer.mint(Mint::access("bob"))?;
    stage.get("/echo/x").bearer(&token).header("traceparent", traceparent(true)).send().await?;
    let received = stage.upstream.last("/echo/x")?.value("traceparent").context("none")?;
    // The trace goes on, and the upstream is not made to record it either.
    ensure!(
        received.starts_with(&format!("00-{TRACE}-")) && received.ends_with("-00"),
        "{received}"
    );
    ensure!(!received.contains(CLIENTS_SPAN), "the span of this hop is the client's: {received}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(collector.exports().len(), 0);
    stage.finish(&[])?;

    let trusting = Setup::new("trace-sampling-trusted").trusting_proxies();
    let (stage, collector) = traced(trusting, ", sample: 0").await?;
    stage.get("/echo/x").bearer(&token).header("traceparent", traceparent(true)).send().await?;
    stage.get("/echo/y").bearer(&token).header("traceparent", traceparent(false)).send().await?;
    stage.get("/echo/z").bearer(&token).header("traceparent", traceparent(true)).send().await?;
    let spans = collector.spans_with(answered("/echo/z")).await?;
    assert_eq!(server(&spans, "/echo/x")?.trace, TRACE);
    ensure!(server(&spans, "/echo/y").is_err(), "{spans:#?}");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_traceparent_begins_a_new_trace() -> Result<()> {
    let (stage, collector) = traced(Setup::new("trace-malformed"), "").await?;
    let token = stage.issuer.mint(Mint::access("bob"))?;
    for (place, bad) in [
        format!("00-{TRACE}-{CLIENTS_SPAN}"),
        format!("00-{TRACE}-0000000000000000-01"),
        format!("ff-{TRACE}-{CLIENTS_SPAN}-01"),
        format!("00-{}-{CLIENTS_SPAN}-01", TRACE.to_uppercase()),
    ]
    .iter()
    .enumerate()
    {
        let ask = stage.get(&format!("/echo/{place}")).bearer(&token);
        ask.header("traceparent", bad).send().await?;
    }
    let twice = stage.get("/echo/last").bearer(&token).header("traceparent", traceparent(true));
    twice.header("traceparent", traceparent(true)).send().await?;
    let spans = collector.spans_with(answered("/echo/last")).await?;
    for span in spans.iter().filter(|span| span.kind == "server") {
        ensure!(span.trace != TRACE && span.parent.is_empty(), "{span:#?}");
    }
    stage.finish(&[])
}
