//! Used proofs (RFC 9449 §11.1): the memory, its limit per key, and a full memory.

use std::sync::Arc;

use http::Method;
use oidc_core::Verifier;
use oidc_core::dpop::{
    DpopPolicy, LocalReplayMemory, ProofRefusal, ProofUse, ReplayMemory, ReplayMemoryUnavailable,
    UsedProof,
};
use oidc_core::testing::TestKey;
use oidc_core::token::Algorithm;
use oidc_core::verify::Presented;
use serde_json::json;

use super::World;

#[tokio::test]
async fn proofs_of_one_key_cannot_push_out_those_of_another() {
    let policy = DpopPolicy::default().with_memory(640).with_memory_per_key(64);
    let victim = World::new(policy);
    let mut attacker = World::new(DpopPolicy::default());
    attacker.issuer = victim.issuer.clone();
    attacker.verifier = victim.verifier.clone();
    attacker.key = Arc::new(TestKey::nth(8, Algorithm::ES256));
    let (token, foreign) = (victim.token(), attacker.token());
    let stolen = victim.proof(&token);
    assert_eq!(victim.dpop(&token, &stolen).await, "accepted");
    let mut accepted = 0;
    for _ in 0..500 {
        match attacker.dpop(&foreign, &attacker.proof(&foreign)).await {
            "accepted" => accepted += 1,
            code => assert_eq!(code, "proof_memory_unavailable"),
        }
    }
    assert_eq!(accepted, 64, "its own allowance");
    assert_eq!(victim.dpop(&token, &stolen).await, "proof_replayed");
    assert_eq!(victim.dpop(&token, &victim.proof(&token)).await, "accepted");
    let proof = attacker.proof(&foreign);
    let presented = Presented::dpop(&foreign, &proof, &Method::GET, &attacker.url);
    let refusal = attacker.verifier.presented(&presented).await.unwrap_err();
    assert!(refusal.is_unavailable() && refusal.retry_after().is_some(), "{refusal}");
}

#[tokio::test]
async fn a_proof_that_does_not_hold_takes_no_room() {
    let memory = Arc::new(LocalReplayMemory::new(10));
    let mut world = World::new(DpopPolicy::default());
    let shared = Arc::clone(&memory);
    world.verifier = world.verifier.with_dpop_memory(DpopPolicy::default(), shared);
    let token = world.token();
    let stranger = TestKey::nth(9, Algorithm::ES256);
    let mut other_key = world.header();
    other_key["jwk"] = stranger.jwk();
    let mut old = world.claims(&token);
    old["iat"] = json!(world.issuer.now() - 3600);
    let mut elsewhere = world.claims(&token);
    elsewhere["ath"] = json!("another");
    for proof in [
        world.sign(&other_key, &world.claims(&token)),
        world.sign(&world.header(), &old),
        world.sign(&world.header(), &elsewhere),
        format!("{}A", world.proof(&token)),
    ] {
        assert_ne!(world.dpop(&token, &proof).await, "accepted");
    }
    assert!(memory.is_empty());
    assert_eq!(world.dpop(&token, &world.proof(&token)).await, "accepted");
    assert_eq!(memory.len(), 1);
}

#[tokio::test]
async fn clones_and_verifiers_with_one_memory_share_used_proofs() {
    let memory = Arc::new(LocalReplayMemory::new(100));
    let mut here = World::new(DpopPolicy::default());
    let with = |verifier: Verifier| {
        let shared = Arc::clone(&memory);
        verifier.with_dpop_memory(DpopPolicy::default(), shared)
    };
    here.verifier = with(here.verifier.clone());
    let there = with(here.verifier.clone());
    let clone = here.verifier.clone();
    let token = here.token();
    let proof = here.proof(&token);
    assert_eq!(here.dpop(&token, &proof).await, "accepted");
    for verifier in [there, clone] {
        let presented = Presented::dpop(&token, &proof, &Method::GET, &here.url);
        let refusal = verifier.presented(&presented).await.unwrap_err();
        assert_eq!(refusal, ProofRefusal::Replayed.into());
    }
}

/// A memory shared with other processes, and unavailable.
#[derive(Debug)]
struct Away;

#[async_trait::async_trait]
impl ReplayMemory for Away {
    async fn remember(&self, _: &UsedProof) -> Result<ProofUse, ReplayMemoryUnavailable> {
        tokio::task::yield_now().await;
        let (reason, retry_after) = ("connection refused".to_owned(), None);
        Err(ReplayMemoryUnavailable { reason, retry_after })
    }
}

#[tokio::test]
async fn without_its_memory_no_proof_passes() {
    let mut world = World::new(DpopPolicy::default());
    world.verifier = world.verifier.with_dpop_memory(DpopPolicy::default(), Arc::new(Away));
    let token = world.token();
    assert_eq!(world.dpop(&token, &world.proof(&token)).await, "proof_memory_unavailable");
}
