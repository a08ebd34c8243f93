//! WebSockets of programs whose token is bound to the key of DPoP proofs (RFC 9449): the handshake has the proof.

use std::time::Duration;

use anyhow::{Result, ensure};
use dev_issuer::Mint;
use e2e::websocket::{Handshake, connect};
use http::Method;
use oidc_core::{Clock as _, SystemClock, dpop::DpopKey};
use tokio::time::timeout;

use crate::{
    dpop::Client,
    stage::{Setup, Stage},
    tokens::code_of,
    websockets_http2::Connection,
};

const PATIENCE: Duration = Duration::from_secs(20);
/// Policy violation (RFC 6455 §7.4.1).
const POLICY_VIOLATION: u16 = 1008;

const ROUTES: &str = "\
free:
  match: { path: /free }
  upstream: UPSTREAM
  streams: until_done
  access: [{ allow: signed_in }]
";

async fn stage(name: &str, settings: &'static str) -> Result<Stage> {
    let setup = Setup::new(name).with_routes(ROUTES);
    setup.with_plan(|plan| plan.with(settings).with_issuer_setting("leeway: 0s")).start().await
}

async fn open(stage: &Stage, path: &str, client: &Client, proof: &str) -> Result<Handshake> {
    let authorization = client.authorization();
    let fields = [("authorization", authorization.as_str()), ("dpop", proof)];
    connect(stage.world.public_port(), path, &fields).await
}

/// The code of the refusal of a handshake.
fn refusal(handshake: &Handshake) -> String {
    let Handshake::Refused { status, body } = handshake else { return "open".to_owned() };
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    format!("{} {}", status.as_u16(), body["code"].as_str().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_opens_one_web_socket() -> Result<()> {
    let stage = stage("dpop-ws", "").await?;
    let client = Client::new(&stage, "alice")?;
    let proof = client.proof(&stage, "/ws")?;
    let mut socket = open(&stage, "/ws", &client, &proof).await?.open()?;
    assert_eq!(socket.ask("hello").await?, "hello");
    let seen = stage.upstream.last("/ws")?;
    ensure!(seen.values("dpop").is_empty() && seen.values("authorization").is_empty(), "{seen:?}");
    assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some("alice"));

    let thief = Client { key: DpopKey::generate()?, token: client.token.clone() };
    let url = stage.world.url("/ws");
    let other = |url: &str, method| client.proof_at(url, &method, None, SystemClock.now());
    for (case, proof, code) in [
        ("replayed", proof.clone(), "401 proof_replayed"),
        ("of a thief", thief.proof(&stage, "/ws")?, "401 proof_wrong_key"),
        ("of another method", other(&url, Method::CONNECT)?, "401 proof_wrong_method"),
        ("of another path", client.proof(&stage, "/echo")?, "401 proof_wrong_target"),
        // The handshake is a request of HTTP, whatever the scheme of the socket's own address.
        (
            "of the socket's scheme",
            other(&url.replacen("http", "ws", 1), Method::GET)?,
            "401 proof_wrong_target",
        ),
    ] {
        let refused = open(&stage, "/ws", &client, &proof).await?;
        assert_eq!(refusal(&refused), code, "{case}");
    }
    // Neither a page's proof in the query nor a second field helps.
    let fields = [("authorization", client.authorization())];
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    let fresh = client.proof(&stage, "/ws")?;
    let path = format!("/ws?dpop={fresh}");
    let refused = connect(stage.world.public_port(), &path, &fields).await?;
    assert_eq!(refusal(&refused), "401 proof_missing");
    assert_eq!(socket.ask("still").await?, "still", "the open socket goes on");
    assert_eq!(stage.reached().iter().filter(|target| target.starts_with("/ws")).count(), 1);
    stage.finish(&[&format!("proof={proof}; token={}", client.token.expose())])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_of_a_bound_token_lives_by_its_route() -> Result<()> {
    let stage = stage("dpop-ws-end", "").await?;
    let order = Mint::access("alice").client("gateway").expires_in(Duration::from_secs(8));
    let client = Client::with(&stage, order)?;
    let mut ends = open(&stage, "/ws", &client, &client.proof(&stage, "/ws")?).await?.open()?;
    let mut stays = open(&stage, "/free/ws", &client, &client.proof(&stage, "/free/ws")?).await?;
    let Handshake::Open(stays) = &mut stays else { anyhow::bail!("{stays:?}") };
    for socket in [&mut ends, stays.as_mut()] {
        assert_eq!(socket.ask("hello").await?, "hello");
    }
    // No further proof is asked for; the end of the token closes it.
    assert_eq!(timeout(PATIENCE, ends.closing_code()).await?, Some(POLICY_VIOLATION));
    assert_eq!(stays.ask("still").await?, "still");
    let again = open(&stage, "/ws", &client, &client.proof(&stage, "/ws")?).await?;
    assert_eq!(refusal(&again), "401 expired");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_learns_the_nonce_from_its_refusal() -> Result<()> {
    let stage = stage("dpop-ws-nonce", "dpop: { nonce: 5m }").await?;
    let client = Client::new(&stage, "alice")?;
    let handshake = |proof: &str| {
        let ask = stage.get("/ws").header("Connection", "Upgrade").header("Upgrade", "websocket");
        let ask = ask.header("Sec-WebSocket-Version", "13");
        let ask = ask.header("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==");
        ask.header("Authorization", client.authorization()).header("DPoP", proof)
    };
    let answer = handshake(&client.proof(&stage, "/ws")?).send().await?;
    assert_eq!((answer.status, code_of(&answer).as_str()), (401, "proof_nonce_needed"));
    let nonce = answer.header("dpop-nonce").to_owned();
    let url = stage.world.url("/ws");
    let proof = client.proof_at(&url, &Method::GET, Some(&nonce), SystemClock.now())?;
    let mut socket = open(&stage, "/ws", &client, &proof).await?.open()?;
    assert_eq!(socket.ask("hello").await?, "hello");
    assert_eq!(refusal(&open(&stage, "/ws", &client, &proof).await?), "401 proof_replayed");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_the_proof_is_for_get_and_counts_once() -> Result<()> {
    let stage = stage("dpop-ws-http2", "").await?;
    let order = Mint::access("alice").client("gateway").expires_in(Duration::from_secs(10));
    let client = Client::with(&stage, order)?;
    let connection = Connection::open(&stage).await?;
    let (authorization, proof) = (client.authorization(), client.proof(&stage, "/ws")?);
    let with = |proof| [("authorization", authorization.as_str()), ("dpop", proof)];
    let mut socket = connection.socket("/ws", &with(&proof)).await?;
    assert_eq!(socket.ask("hello").await?.1, b"hello");
    let url = stage.world.url("/ws");
    let connect = client.proof_at(&url, &Method::CONNECT, None, SystemClock.now())?;
    for (case, proof) in [("replayed", proof.as_str()), ("of CONNECT", &connect)] {
        let status = connection.status("/ws", Some("websocket"), &with(proof)).await?;
        assert_eq!(status, 401, "{case}");
    }
    assert_eq!(connection.status("/ws", Some("websocket"), &with("")).await?, 401);
    assert_eq!(socket.ask("still").await?.1, b"still");
    socket.closed_with(POLICY_VIOLATION).await?;
    stage.finish(&[])
}
