//! gRPC calls with tokens that are bound to the key of DPoP proofs (RFC 9449): each call has its own proof.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dev_issuer::Mint;
use e2e::{
    grpc::{channel, streaming, unary},
    grpc_service::GrpcService,
};
use http::Method;
use oidc_core::{Clock as _, SystemClock, dpop::DpopKey};
use serde_json::json;
use tokio::time::timeout;
use tonic::{Code, Request, Status, transport::Channel};

use crate::{
    dpop::Client,
    stage::{Setup, Stage},
};

const PATIENCE: Duration = Duration::from_secs(20);
const PREDICT: &str = "/lab.Score/Predict";
const WATCH: &str = "/lab.Score/Watch";

struct Lab {
    stage: Stage,
    service: GrpcService,
    channel: Channel,
}

impl Lab {
    async fn new(name: &str, settings: &'static str) -> Result<Self> {
        let service = GrpcService::start().await?;
        let routes = format!(
            "score:\n  match: {{ path: /lab.Score }}\n  upstream: {}\n  access: [{{ allow: {{ roles: [admin] }} }}]\n",
            service.url()
        );
        let setup = Setup::new(name).with_routes(&routes);
        let stage = setup
            .with_plan(|plan| plan.with(settings).with_issuer_setting("leeway: 0s"))
            .start()
            .await?;
        let channel = channel(stage.world.public_port())?;
        Ok(Self { stage, service, channel })
    }

    fn proof(&self, client: &Client, path: &str, nonce: Option<&str>) -> Result<String> {
        let url = self.stage.world.url(path);
        client.proof_at(&url, &Method::POST, nonce, SystemClock.now())
    }

    /// The message of the answer and the nonce beside it, or the status.
    async fn call(
        &self,
        authorization: &str,
        proof: Option<&str>,
    ) -> Result<(Vec<u8>, String), Status> {
        let answer = unary(self.channel.clone(), PREDICT, with(authorization, proof)).await?;
        let nonce = answer.metadata().get("dpop-nonce").and_then(|nonce| nonce.to_str().ok());
        let nonce = nonce.unwrap_or_default().to_owned();
        Ok((answer.into_inner(), nonce))
    }
}

fn with(authorization: &str, proof: Option<&str>) -> Request<Vec<u8>> {
    let mut call = Request::new(b"ping".to_vec());
    let fields = [("authorization", Some(authorization)), ("dpop", proof)];
    for (name, value) in fields {
        if let Some(value) = value.and_then(|value| value.parse().ok()) {
            call.metadata_mut().insert(name, value);
        }
    }
    call
}

/// A field of a status that came in the head.
fn field<'s>(status: &'s Status, name: &str) -> &'s str {
    status.metadata().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Whether the call is refused with a challenge that has this error.
fn challenged(status: &Status, error: &str) -> bool {
    let challenge = field(status, "www-authenticate");
    status.code() == Code::Unauthenticated
        && !status.message().is_empty()
        && challenge.starts_with("DPoP realm=")
        && challenge.contains(&format!("error=\"{error}\""))
        && challenge.contains("algs=\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_call_passes_with_its_own_proof_only() -> Result<()> {
    let lab = Lab::new("dpop-grpc", "").await?;
    let client = Client::new(&lab.stage, "alice")?;
    let authorization = client.authorization();
    let proof = lab.proof(&client, PREDICT, None)?;
    assert_eq!(lab.call(&authorization, Some(&proof)).await?.0, b"ping");
    let (path, seen) = lab.service.calls().pop().context("no call")?;
    assert_eq!(
        (path.as_str(), &seen["x-forwarded-preferred-username"]),
        (PREDICT, &"alice".parse()?)
    );
    ensure!(!seen.contains_key("dpop") && !seen.contains_key("authorization"), "{seen:?}");

    let thief = Client { key: DpopKey::generate()?, token: client.token.clone() };
    let get =
        client.proof_at(&lab.stage.world.url(PREDICT), &Method::GET, None, SystemClock.now())?;
    let bearer = format!("Bearer {}", client.token.expose());
    let fresh = || lab.proof(&client, PREDICT, None);
    for (case, authorization, proof, error) in [
        ("replayed", &authorization, Some(proof), "invalid_dpop_proof"),
        ("of another method", &authorization, Some(get), "invalid_dpop_proof"),
        (
            "of another call",
            &authorization,
            Some(lab.proof(&client, "/lab.Score/Other", None)?),
            "invalid_dpop_proof",
        ),
        (
            "of a thief",
            &authorization,
            Some(lab.proof(&thief, PREDICT, None)?),
            "invalid_dpop_proof",
        ),
        ("missing", &authorization, None, "invalid_dpop_proof"),
        ("beside a bearer token", &bearer, Some(fresh()?), "invalid_token"),
    ] {
        let status = lab.call(authorization, proof.as_deref()).await.err().context(case)?;
        assert!(challenged(&status, error), "{case}: {status:?}");
    }
    // A caller without the role has proven the key, and is not asked for another proof.
    let bob = Client::new(&lab.stage, "bob")?;
    let proof = lab.proof(&bob, PREDICT, None)?;
    let status = lab.call(&bob.authorization(), Some(&proof)).await.err().context("bob passes")?;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(lab.service.calls().len(), 1);
    lab.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_refusal_is_a_head_with_status_and_challenge() -> Result<()> {
    let lab = Lab::new("dpop-grpc-head", "dpop: { nonce: 5m }").await?;
    let client = Client::new(&lab.stage, "alice")?;
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", lab.stage.gateway.port())).await?;
    let (sender, connection) = h2::client::handshake(stream).await?;
    tokio::spawn(connection);
    let mut sender = sender.ready().await?;
    let request = http::Request::post(lab.stage.world.url(PREDICT))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", client.authorization())
        .header("dpop", lab.proof(&client, PREDICT, None)?)
        .body(())?;
    // The client still has its messages to send.
    let (answer, _sending) = sender.send_request(request, false)?;
    let (head, body) = timeout(PATIENCE, answer).await??.into_parts();
    assert_eq!((head.status.as_u16(), &head.headers["grpc-status"]), (200, &"16".parse()?));
    ensure!(body.is_end_stream(), "a body follows the head");
    ensure!(head.headers.contains_key("dpop-nonce"), "{:?}", head.headers);
    let challenges: Vec<_> = head.headers.get_all("www-authenticate").iter().collect();
    ensure!(challenges.len() == 1, "{challenges:?}");
    lab.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_client_learns_the_nonce_from_the_status() -> Result<()> {
    let lab = Lab::new("dpop-grpc-nonce", "dpop: { nonce: 5m }").await?;
    let client = Client::new(&lab.stage, "alice")?;
    let authorization = client.authorization();
    let proof = lab.proof(&client, PREDICT, None)?;
    let status = lab.call(&authorization, Some(&proof)).await.err().context("no nonce needed")?;
    assert!(challenged(&status, "use_dpop_nonce"), "{status:?}");
    let nonce = field(&status, "dpop-nonce").to_owned();
    let proof = lab.proof(&client, PREDICT, Some(&nonce))?;
    let (message, next) = lab.call(&authorization, Some(&proof)).await?;
    assert_eq!(message, b"ping");
    assert!(!next.is_empty(), "the next nonce comes with the answer");
    let status = lab.call(&authorization, Some(&proof)).await.err().context("replayed")?;
    assert!(challenged(&status, "invalid_dpop_proof"), "{status:?}");
    lab.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_stream_needs_one_proof_and_ends_with_its_token() -> Result<()> {
    let lab = Lab::new("dpop-grpc-stream", "").await?;
    let order = Mint::access("alice").client("gateway").expires_in(Duration::from_secs(8));
    let client = Client::with(&lab.stage, order)?;
    let proof = lab.proof(&client, WATCH, None)?;
    let watch = || with(&client.authorization(), Some(&proof));
    let mut open = streaming(lab.channel.clone(), WATCH, watch()).await?.into_inner();
    assert_eq!(open.message().await?.as_deref(), Some(&b"ping"[..]));
    // Its proof opens nothing more, and the stream goes on.
    let status = streaming(lab.channel.clone(), WATCH, watch()).await.err().context("replayed")?;
    assert!(challenged(&status, "invalid_dpop_proof"), "{status:?}");
    assert_eq!(open.message().await?.as_deref(), Some(&b"ping"[..]));
    let end = timeout(PATIENCE, async {
        loop {
            match open.message().await {
                Ok(Some(_)) => {}
                end => return end,
            }
        }
    });
    let end = end.await.context("the stream goes on")?;
    assert!(end.is_err(), "a stream that was ended looks complete");
    // A new stream with the same token is refused, whatever its proof.
    let proof = lab.proof(&client, WATCH, None)?;
    let call = with(&client.authorization(), Some(&proof));
    let status = streaming(lab.channel.clone(), WATCH, call).await.err().context("expired")?;
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    assert_eq!(lab.service.calls().len(), 1);
    let logged = lab.stage.gateway.audit()?;
    let opened = |line: &&serde_json::Value| {
        line["credential"] == json!("dpop") && line["status"] == json!(200)
    };
    ensure!(logged.iter().any(|line| opened(&line)), "{logged:?}");
    lab.stage.finish(&[])
}
