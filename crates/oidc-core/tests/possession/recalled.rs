//! A presented token is recalled without waiting only where its sender needs to prove nothing.

use http::Method;
use oidc_core::dpop::{DpopChecker, DpopPolicy, LocalReplayMemory};
use oidc_core::verify::Presented;
use serde_json::json;
use std::sync::Arc;

use super::{World, code};

fn checker() -> DpopChecker {
    DpopChecker::new(DpopPolicy::default(), Arc::new(LocalReplayMemory::new(100)))
}

/// The outcome of the two steps, and whether the second was needed.
async fn steps(
    world: &World,
    presented: &Presented<'_>,
    checker: &DpopChecker,
) -> (&'static str, bool) {
    match world.verifier.recall_presented(presented) {
        Ok(_) => ("accepted", false),
        Err(unproven) => {
            (code(world.verifier.verify_presented(unproven, checker).await.map(|_| ())), true)
        }
    }
}

#[tokio::test]
async fn an_unbound_token_is_verified_once() {
    let (world, checker) = (World::new(DpopPolicy::default()), checker());
    let token = world.issuer.access_token("api");
    let presented = Presented::bearer(&token);
    assert_eq!(steps(&world, &presented, &checker).await, ("accepted", true));
    assert_eq!(steps(&world, &presented, &checker).await, ("accepted", false));
    let on_mutual_tls = Presented::bearer(&token).with_certificate(b"a certificate");
    assert_eq!(steps(&world, &on_mutual_tls, &checker).await, ("accepted", false));
    let stats = world.verifier.cache_stats();
    assert_eq!((stats.hits, stats.misses), (2, 1), "each request looks up once");
}

#[tokio::test]
async fn a_remembered_bound_token_is_proved_again() {
    let (world, checker) = (World::new(DpopPolicy::default()), checker());
    let token = world.token();
    for _ in 0..2 {
        let proof = world.proof(&token);
        let presented = Presented::dpop(&token, &proof, &Method::GET, &world.url);
        assert_eq!(steps(&world, &presented, &checker).await, ("accepted", true));
        assert_eq!(steps(&world, &presented, &checker).await, ("proof_replayed", true));
    }
    let stolen = Presented::bearer(&token);
    assert_eq!(steps(&world, &stolen, &checker).await, ("proof_missing", true));
    let certificate_bound = world.bound(json!({"x5t#S256": super::sha256(b"its certificate")}));
    let other = Presented::bearer(&certificate_bound).with_certificate(b"another certificate");
    for _ in 0..2 {
        assert_eq!(steps(&world, &other, &checker).await, ("wrong_certificate", true));
    }
}

#[tokio::test]
async fn a_remembered_token_does_not_pass_with_the_scheme_dpop() {
    let (world, checker) = (World::new(DpopPolicy::default()), checker());
    let token = world.issuer.access_token("api");
    assert_eq!(steps(&world, &Presented::bearer(&token), &checker).await, ("accepted", true));
    let proof = world.proof(&token);
    let presented = Presented::dpop(&token, &proof, &Method::GET, &world.url);
    assert_eq!(steps(&world, &presented, &checker).await, ("not_bound", true));
}
