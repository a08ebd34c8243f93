//! Bounds of one user on a route: beyond them 429, for that user alone.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dev_issuer::Mint;
use e2e::{
    visitor::plain_client,
    wait,
    websocket::{Handshake, WebSocket, connect},
    wire::{Answer, Wire},
};
use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::{
    limits::metric,
    open_streams::reload,
    stage::{Setup, Stage},
};

const PATIENCE: Duration = Duration::from_secs(20);

const ROUTES: &str = "\
quick:
  match: { path: /quick }
  upstream: UPSTREAM
  access: [{ path: /quick/open/**, allow: anyone }, { allow: signed_in }]
  limits: { per_user: { requests_per_second: 2 } }
few:
  match: { path: /few }
  upstream: UPSTREAM
  access: [{ allow: signed_in }]
  limits: { per_user: { concurrent_requests: 2, concurrent_streams: 3 } }
";

async fn stage(name: &str) -> Result<Stage> {
    Setup::new(name).with_routes(ROUTES).trusting_proxies().start().await
}

fn token(stage: &Stage, user: &str) -> Result<String> {
    Ok(stage.issuer.mint(Mint::access(user))?)
}

/// The answer to a request beyond `limit`.
fn refused(answer: &Answer, limit: &str, most: u32) -> Result<()> {
    ensure!(answer.status == 429, "{answer:?}");
    let after: u64 = answer.header("retry-after").parse()?;
    ensure!((1..=2).contains(&after), "{answer:?}");
    let policy = answer.header("ratelimit-policy");
    ensure!(policy.starts_with(&format!("\"{limit}\";q={most}")), "{policy}");
    let problem = answer.json()?;
    ensure!(problem["code"] == "user_limit_reached" && problem["route"].is_string(), "{problem}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_asks_so_often_in_a_second() -> Result<()> {
    let stage = stage("user-limits-rate").await?;
    let (alice, bob) = (token(&stage, "alice")?, token(&stage, "bob")?);
    let cookie = stage.sign_in("alice").await?;
    let began = Instant::now();
    // A person's jobs and browsers count together.
    let ask = async |number: usize| {
        let asked = stage.get("/quick/x");
        let asked = match number % 2 {
            0 => asked.bearer(&alice),
            _ => asked.header("Cookie", &cookie),
        };
        asked.send().await
    };
    let answers = try_join_all((0..60).map(ask)).await?;
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    let most = 2 + 2 * (1 + usize::try_from(began.elapsed().as_secs())?);
    ensure!((2..=most).contains(&served), "{served} of at most {most}");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        refused(answer, "requests_per_second", 2)?;
    }
    ensure!(stage.get("/quick/x").bearer(&bob).send().await?.status == 200, "bob is another user");
    for _ in 0..20 {
        let answer = stage.get("/quick/open/x").send().await?;
        ensure!(answer.status == 200, "callers without an identity are not users: {answer:?}");
    }
    wait::until("alice may ask again", PATIENCE, async || {
        Ok((ask(0).await?.status == 200).then_some(()))
    })
    .await?;
    let line = "doorward_user_limits_reached_total{limit=\"requests_per_second\"}";
    ensure!(metric(&stage.gateway, line).await? >= 1.0);
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_of_a_proxy_counts_as_a_request() -> Result<()> {
    let stage = stage("user-limits-question").await?;
    let alice = token(&stage, "alice")?;
    let ask = async |_| {
        let asked = stage.get("/oauth2/auth").bearer(&alice);
        asked.header("X-Forwarded-Uri", "/quick/x").send().await
    };
    let answers = try_join_all((0..60).map(ask)).await?;
    ensure!(answers.iter().any(|answer| answer.status == 202));
    let beyond: Vec<_> = answers.iter().filter(|answer| answer.status != 202).collect();
    ensure!(!beyond.is_empty());
    for answer in beyond {
        // nginx makes 500 of any other status.
        ensure!(answer.status == 403, "{answer:?}");
        ensure!(answer.header("x-doorward-status") == "429", "{answer:?}");
    }
    stage.finish(&[])
}

/// A request that lasts for `ms`; its head has been sent.
async fn slow(stage: &Stage, token: &str, ms: u32) -> Result<Wire> {
    let mut wire = stage.connect().await?;
    let head = format!(
        "GET /few/slow?ms={ms} HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    wire.send(stage.filled(head.as_bytes())).await;
    Ok(wire)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_requests_at_once() -> Result<()> {
    let stage = stage("user-limits-requests").await?;
    let (alice, bob) = (token(&stage, "alice")?, token(&stage, "bob")?);
    let before = stage.reached().len();
    let mut first = slow(&stage, &alice, 8_000).await?;
    let _second = slow(&stage, &alice, 8_000).await?;
    wait::until("both reach the upstream", PATIENCE, async || {
        Ok((stage.reached().len() == before + 2).then_some(()))
    })
    .await?;
    refused(&stage.get("/few/x").bearer(&alice).send().await?, "concurrent_requests", 2)?;
    ensure!(stage.get("/few/x").bearer(&bob).send().await?.status == 200);
    ensure!(stage.reached().len() == before + 3, "a refused request reaches no upstream");
    assert_eq!(first.answer().await?.status, 200);
    wait::until("a place is free", PATIENCE, async || {
        let answer = stage.get("/few/x").bearer(&alice).send().await?;
        Ok((answer.status == 200).then_some(()))
    })
    .await?;
    stage.finish(&[])
}

/// A WebSocket of the bearer of this token, or the status of the refusal.
async fn socket(stage: &Stage, token: &str) -> Result<Result<WebSocket, u16>> {
    let (origin, bearer) = (stage.origin(), format!("Bearer {token}"));
    let fields = [("origin", &*origin), ("authorization", &*bearer)];
    let asked = connect(stage.world.public_port(), "/few/ws", &fields).await?;
    match asked {
        Handshake::Open(socket) => Ok(Ok(*socket)),
        Handshake::Refused { status, .. } => Ok(Err(status.as_u16())),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_streams_at_once() -> Result<()> {
    let stage = stage("user-limits-streams").await?;
    let (alice, bob) = (token(&stage, "alice")?, token(&stage, "bob")?);
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut socket = socket(&stage, &alice).await?.ok().context("the WebSocket opens")?;
        ensure!(socket.ask("hello").await? == "hello");
        open.push(socket);
    }
    // Only the answer says that this is a stream.
    let url = stage.world.url("/few/sse?n=600&ms=100");
    let events = plain_client()?.get(&url).bearer_auth(&alice).send().await?;
    assert_eq!(events.status(), 200);
    assert_eq!(socket(&stage, &alice).await?.err(), Some(429));
    let another = stage.get("/few/sse?n=2").bearer(&alice).send().await?;
    refused(&another, "concurrent_streams", 3)?;
    // Streams are not requests, and alice's are not bob's.
    ensure!(stage.get("/few/x").bearer(&alice).send().await?.status == 200);
    ensure!(socket(&stage, &bob).await?.is_ok());
    // A reload forgets no open stream.
    reload(&stage, "concurrent_requests: 2", "concurrent_requests: 4").await?;
    assert_eq!(socket(&stage, &alice).await?.err(), Some(429));
    drop(open.pop());
    wait::until("a stream has ended", PATIENCE, async || {
        Ok(socket(&stage, &alice).await?.is_ok().then_some(()))
    })
    .await?;
    stage.finish(&[])
}
