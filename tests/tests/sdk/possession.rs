//! Tokens that are invalid without a key: bound by DPoP proofs (RFC 9449).

use std::sync::Arc;

use anyhow::Result;
use http::Method;
use oidc_core::client::TokenType;
use oidc_core::dpop::{DpopKey, DpopPolicy};
use oidc_core::verify::Presented;
use oidc_core::{Clock as _, Secret, SystemClock, Verifier};
use url::Url;

use crate::lab::{Lab, client_credentials, secret};

const API: &str = "https://churn.example/score";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_bound_by_dpop_needs_its_key_at_each_request() -> Result<()> {
    let lab = Lab::common().await?;
    let key = Arc::new(DpopKey::generate()?);
    let endpoint = lab.endpoint("job-dpop", secret("job-dpop"))?;
    let refusal = endpoint.request(client_credentials(None)).await.unwrap_err();
    assert!(refusal.to_string().contains("DPoP proof is missing"), "{refusal}");

    let tokens = endpoint.with_dpop(Arc::clone(&key)).request(client_credentials(None)).await?;
    assert_eq!(tokens.token_type, TokenType::DPoP);
    let token = tokens.access_token;
    let verifier = lab.verifier("churn")?.with_dpop(DpopPolicy::default());
    assert_eq!(
        verifier.access_token(token.expose()).await.unwrap_err().code(),
        "sender_constrained"
    );

    let proof = prove(&key, &token)?;
    assert_eq!(present(&verifier, &token, &proof).await?, "accepted");
    assert_eq!(present(&verifier, &token, &proof).await?, "proof_replayed", "a proof counts once");
    let thief = DpopKey::generate()?;
    let forged = prove(&thief, &token)?;
    assert_eq!(present(&verifier, &token, &forged).await?, "proof_wrong_key");
    let bearer = verifier.presented(&Presented::bearer(token.expose())).await.unwrap_err();
    assert_eq!(bearer.code(), "proof_missing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_token_is_not_taken_for_a_bound_one() -> Result<()> {
    let lab = Lab::common().await?;
    let key = DpopKey::generate()?;
    let token = lab.job()?.request(client_credentials(Some("churn"))).await?.access_token;
    let verifier = lab.verifier("churn")?.with_dpop(DpopPolicy::default());
    let proof = prove(&key, &token)?;
    assert_eq!(present(&verifier, &token, &proof).await?, "not_bound");
    verifier.presented(&Presented::bearer(token.expose())).await?;
    Ok(())
}

fn prove(key: &DpopKey, token: &Secret) -> Result<Secret> {
    Ok(key.proof(&Method::GET, &API.parse::<Url>()?, Some(token), None, SystemClock.now())?)
}

async fn present(verifier: &Verifier, token: &Secret, proof: &Secret) -> Result<&'static str> {
    let url: Url = API.parse()?;
    let presented = Presented::dpop(token.expose(), proof.expose(), &Method::GET, &url);
    let outcome = verifier.presented(&presented).await;
    Ok(outcome.map_or_else(|refusal| refusal.code(), |_| "accepted"))
}
