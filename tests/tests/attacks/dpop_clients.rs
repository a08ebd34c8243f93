//! Programs on the SDK with a DPoP key (RFC 9449): `m2m` fetches the bound token and proves the key at the gateway, with nonces of both.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevClient, Endpoint};
use e2e::{
    grpc::{channel, unary},
    grpc_service::GrpcService,
    visitor::plain_client,
    wait,
};
use futures_util::future::try_join_all;
use http::{Extensions, HeaderMap};
use m2m::{
    CachedTokens, ClientCredentials, IssuerTokens, TokenSource as _, grpc::GrpcBearerLayer,
    middleware::BearerMiddleware,
};
use oidc_core::{
    client::{ClientAuth, TokenEndpoint},
    dpop::DpopKey,
    http::reqwest::{HttpOptions, ReqwestHttp},
    provider::Provider,
};
use reqwest::{Request, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use serde_json::{Value, json};
use tower_layer::Layer as _;

use crate::stage::{Setup, Stage};

const PATIENCE: Duration = Duration::from_secs(20);
const SECRET: &str = "the secret of the job";
const NONCES: &str = "dpop: { nonce: 5m }";

/// A program with its key, and the requests that it has sent.
struct Program {
    key: Arc<DpopKey>,
    tokens: CachedTokens,
    client: ClientWithMiddleware,
    sent: Sent,
}

/// Notes the header of each request, after the token and the proof were added.
#[derive(Debug, Clone, Default)]
struct Sent(Arc<Mutex<Vec<HeaderMap>>>);

#[async_trait::async_trait]
impl Middleware for Sent {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let header = request.headers().clone();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(header);
        next.run(request, extensions).await
    }
}

impl Sent {
    fn all(&self) -> Vec<HeaderMap> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Program {
    fn new(stage: &Stage) -> Result<Self> {
        let key = Arc::new(DpopKey::generate()?);
        let http = Arc::new(ReqwestHttp::new(HttpOptions::default())?);
        let provider = Provider::new(stage.issuer.url().parse()?, http);
        let auth = ClientAuth::SecretBasic(SECRET.into());
        let endpoint = TokenEndpoint::new(provider, "job", auth).with_dpop(Arc::clone(&key));
        let tokens = CachedTokens::new(IssuerTokens::new(endpoint, ClientCredentials::new()));
        Self::with(stage, tokens, key)
    }

    /// With the tokens of another program and this key.
    fn with(stage: &Stage, tokens: CachedTokens, key: Arc<DpopKey>) -> Result<Self> {
        let sent = Sent::default();
        let bearer = BearerMiddleware::new(tokens.clone(), stage.origin().parse()?);
        let client = ClientBuilder::new(plain_client()?)
            .with(bearer.with_dpop(Arc::clone(&key)))
            .with(sent.clone())
            .build();
        Ok(Self { key, tokens, client, sent })
    }
}

async fn stage(name: &str, routes: &str, settings: &'static str) -> Result<Stage> {
    let job = DevClient::confidential("job", SECRET).audience("gateway").require_dpop();
    Setup::new(name)
        .with_issuer(|issuer| issuer.client(job).require_dpop_nonce())
        .with_routes(routes)
        .with_plan(move |plan| plan.with(settings).with_issuer_setting("tokens: { bound: dpop }"))
        .start()
        .await
}

/// Status of an answer, and the code of its refusal.
async fn outcome(answer: Response) -> Result<(u16, String)> {
    let status = answer.status().as_u16();
    let body: Value = serde_json::from_str(&answer.text().await?).unwrap_or_default();
    Ok((status, body["code"].as_str().unwrap_or_default().to_owned()))
}

fn refused(code: &str) -> (u16, String) {
    (401, code.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_the_sdk_proves_its_key_at_the_gateway() -> Result<()> {
    let stage = stage("dpop-sdk", "", NONCES).await?;
    let program = Program::new(&stage)?;
    let url = stage.world.url("/echo/a?x=1");
    for _ in 0..3 {
        assert_eq!(program.client.get(&url).send().await?.status(), 200);
    }
    let sent = program.sent.all();
    assert_eq!(sent.len(), 4, "the first request is sent again with the nonce, the others are not");
    let fetched = stage.issuer.requests(Endpoint::Token);
    assert_eq!(
        fetched, 2,
        "the provider asks for a nonce too; the gateway's refusal is none of the token"
    );
    assert_eq!(program.client.post(&url).body("a=b").send().await?.status(), 200);
    let many = (0..20).map(|number| program.client.get(format!("{url}&n={number}")).send());
    for answer in try_join_all(many).await? {
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(stage.issuer.requests(Endpoint::Token), fetched, "one token for all of them");
    assert_eq!(stage.reached().len(), 24, "no refused request reaches the upstream");
    for seen in stage.upstream.requests() {
        ensure!(
            seen.values("dpop").is_empty() && seen.values("authorization").is_empty(),
            "{seen:?}"
        );
    }
    wait::until("the audit lines", PATIENCE, async || {
        let audit = stage.gateway.audit()?;
        let proven = audit.iter().filter(|line| line["credential"] == json!("dpop")).count();
        Ok((proven == 24).then_some(()))
    })
    .await?;
    stage.finish(&[&secrets(&program).await?])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_sent_opens_nothing_for_others() -> Result<()> {
    let stage = stage("dpop-sdk-stolen", "", NONCES).await?;
    let program = Program::new(&stage)?;
    let url = stage.world.url("/echo/a");
    assert_eq!(program.client.get(&url).send().await?.status(), 200);
    let sent = program.sent.all();
    let [first, second] = sent.as_slice() else { anyhow::bail!("{} requests", sent.len()) };
    let thief = plain_client()?;
    let replay = async |header: &HeaderMap, url: &str| {
        outcome(thief.get(url).headers(header.clone()).send().await?).await
    };
    assert_eq!(replay(second, &url).await?, refused("proof_replayed"));
    assert_eq!(replay(first, &url).await?, refused("proof_nonce_needed"));
    let elsewhere = stage.world.url("/admin");
    assert_eq!(replay(second, &elsewhere).await?, refused("proof_wrong_target"));
    let posted = outcome(thief.post(&url).headers(second.clone()).send().await?).await?;
    assert_eq!(posted, refused("proof_wrong_method"));
    let mut without = second.clone();
    without.remove("dpop");
    assert_eq!(replay(&without, &url).await?, refused("proof_missing"));
    // The whole SDK with the stolen token and a key of the thief's own, which even renews the token once.
    let tokens = program.tokens.clone();
    let other = Program::with(&stage, tokens, Arc::new(DpopKey::generate()?))?;
    assert_eq!(outcome(other.client.get(&url).send().await?).await?, refused("proof_wrong_key"));
    // The program itself goes on.
    assert_eq!(program.client.get(&url).send().await?.status(), 200);
    assert_eq!(stage.reached().len(), 2);
    stage.finish(&[&secrets(&program).await?])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_without_nonces_proves_its_key() -> Result<()> {
    let stage = stage("dpop-sdk-plain", "", "").await?;
    let program = Program::new(&stage)?;
    let url = stage.world.url("/echo/a");
    for _ in 0..2 {
        assert_eq!(program.client.get(&url).send().await?.status(), 200);
    }
    let proofs: Vec<_> =
        program.sent.all().into_iter().map(|header| header["dpop"].clone()).collect();
    ensure!(proofs.len() == 2 && proofs[0] != proofs[1], "one proof was used twice");
    stage.finish(&[&secrets(&program).await?])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_of_the_sdk_proves_its_key_at_each_call() -> Result<()> {
    let service = GrpcService::start().await?;
    let routes = format!(
        "score:\n  match: {{ path: /lab.Score }}\n  upstream: {}\n  access: [{{ allow: signed_in }}]\n",
        service.url()
    );
    let stage = stage("dpop-sdk-grpc", &routes, NONCES).await?;
    let program = Program::new(&stage)?;
    let layer = |key: &Arc<DpopKey>| -> Result<_> {
        let layer = GrpcBearerLayer::new(program.tokens.clone(), stage.origin().parse()?);
        Ok(layer.with_dpop(Arc::clone(key)).layer(channel(stage.world.public_port())?))
    };
    let proving = layer(&program.key)?;
    for _ in 0..3 {
        let call = tonic::Request::new(b"ping".to_vec());
        let answer = unary(proving.clone(), "/lab.Score/Predict", call).await?;
        assert_eq!(answer.into_inner(), b"ping");
    }
    assert_eq!(service.calls().len(), 3);
    let thief = layer(&Arc::new(DpopKey::generate()?))?;
    let call = tonic::Request::new(b"ping".to_vec());
    let status = unary(thief, "/lab.Score/Predict", call).await.err().context("a thief passes")?;
    assert_eq!(status.code(), tonic::Code::Unauthenticated, "{status:?}");
    assert_eq!(service.calls().len(), 3);
    stage.finish(&[&secrets(&program).await?])
}

/// The token and every proof, in the form of cookies.
async fn secrets(program: &Program) -> Result<String> {
    let mut secrets = format!("token={}", program.tokens.token().await?.secret().expose());
    for header in program.sent.all() {
        secrets.push_str("; proof=");
        secrets.push_str(header["dpop"].to_str()?);
    }
    Ok(secrets)
}
