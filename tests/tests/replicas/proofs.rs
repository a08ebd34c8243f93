//! Used DPoP proofs: one counts once among replicas, whichever replica it reaches first.

use anyhow::Result;
use dev_issuer::{DevClient, DevIssuer, Mint, User};
use e2e::{World, replicas::CHOICE, valkey::Valkey, visitor::plain_client};
use http::Method;
use oidc_core::{Clock as _, Secret, SystemClock, dpop::DpopKey};
use serde_json::{Value, json};
use url::Url;

use crate::stage::Stage;

const SECRET: &str = "the gateway's secret before replicas and proofs";

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_counts_once_among_replicas() -> Result<()> {
    let world = World::new("proofs")?;
    let client = DevClient::confidential("gateway", SECRET)
        .audience("gateway")
        .redirect_uri(world.url("/oauth2/callback"));
    let issuer = DevIssuer::builder().user(User::new("alice", "alice")).client(client);
    let issuer = issuer.start("127.0.0.1:0").await?;
    let mut valkey = Valkey::start(world.folder()).await?;
    let nonces = |plan: e2e::gateway::Plan| plan.with("dpop: { nonce: 5m }");
    let stage = Stage::with_issuer(world, issuer.url(), SECRET, &valkey.store(), nonces).await?;

    let key = DpopKey::generate()?;
    let cnf = json!({ "jkt": key.thumbprint() });
    let token = issuer.mint(Mint::access("alice").client("gateway").claim("cnf", cnf))?;
    let token = Secret::from(token);
    let url = stage.world.url("/api");
    let prove = |nonce: Option<&str>| -> Result<Secret> {
        let url: Url = url.parse()?;
        Ok(key.proof(&Method::GET, &url, Some(&token), nonce, SystemClock.now())?)
    };
    let ask = async |replica: usize, proof: &Secret| -> Result<(u16, String, String)> {
        let request = plain_client()?.get(&url).header(CHOICE, replica.to_string());
        let request = request.header("authorization", format!("DPoP {}", token.expose()));
        let answer = request.header("dpop", proof.expose()).send().await?;
        let nonce = answer.headers().get("dpop-nonce").and_then(|value| value.to_str().ok());
        let (status, nonce) = (answer.status().as_u16(), nonce.unwrap_or_default().to_owned());
        let body: Value = serde_json::from_str(&answer.text().await?).unwrap_or_default();
        Ok((status, body["code"].as_str().unwrap_or_default().to_owned(), nonce))
    };
    let (status, code, nonce) = ask(0, &prove(None)?).await?;
    assert_eq!((status, &*code), (401, "proof_nonce_needed"));
    for (first, second) in [(0, 1), (1, 0), (0, 0)] {
        // The nonce of one replica counts at the other.
        let proof = prove(Some(&nonce))?;
        let (status, code, _) = ask(first, &proof).await?;
        assert_eq!(status, 200, "{code}");
        let (status, code, _) = ask(second, &proof).await?;
        assert_eq!((status, &*code), (401, "proof_replayed"), "{first} then {second}");
    }
    // What cannot be recorded is refused for now, and never let through.
    valkey.kill();
    let (status, code, _) = ask(0, &prove(Some(&nonce))?).await?;
    assert_eq!((status, &*code), (503, "proof_memory_unavailable"));
    valkey.start_again().await?;
    e2e::wait::until("the store", std::time::Duration::from_secs(30), async || {
        Ok((ask(0, &prove(Some(&nonce))?).await?.0 == 200).then_some(()))
    })
    .await?;
    stage.finish(&[])
}
