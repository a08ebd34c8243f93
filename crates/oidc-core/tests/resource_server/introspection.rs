//! RFC 7662 at the layer: tokens that only the issuer can read.

use oidc_core::client::{ClientAuth, TokenEndpoint};
use oidc_core::dpop::{DpopKey, DpopPolicy};
use oidc_core::resource_server::VerifyLayer;
use oidc_core::testing::Fault;
use oidc_core::verify::Introspection;
use oidc_core::{Secret, Validation};
use serde_json::{Value, json};

use super::dpop::proven;
use super::{World, bearer, seen};

const OPAQUE: &str = "2YotnFZFEjr1zCsicMWpAA";

fn layer(world: &World) -> VerifyLayer {
    let endpoint = format!("{}/introspect", world.issuer.issuer());
    world.issuer.set_metadata("introspection_endpoint", json!(endpoint));
    let auth = ClientAuth::SecretBasic(Secret::from("hunter2").into());
    let endpoint =
        TokenEndpoint::new(world.issuer.provider(), "api", auth).with_clock(world.issuer.clock());
    let validation = Validation::new(world.issuer.issuer(), "api");
    let introspection = Introspection::new(endpoint, validation);
    VerifyLayer::new(world.verifier().with_introspection(introspection)).with_realm("api")
}

fn active(world: &World, more: Value) {
    let mut claims = world.issuer.claims("api");
    claims["active"] = json!(true);
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.issuer.answer("/introspect", 200, claims.to_string());
}

#[tokio::test]
async fn an_opaque_token_passes_if_the_issuer_says_so() {
    let world = World::new();
    let layer = layer(&world).require_scopes(["score"]);
    active(&world, json!({"scope": "score"}));
    assert_eq!(seen(&layer, bearer(OPAQUE)).await.body, oidc_core::testing::SUBJECT);
    // A token that can be read here is not introspected.
    let token = world.token(json!({"scope": "score"}));
    assert_eq!(seen(&layer, bearer(&token)).await.status, 200);
    assert_eq!(world.issuer.requests("/introspect"), 1);
}

#[tokio::test]
async fn inactive_is_401_and_an_issuer_outage_is_503() {
    let world = World::new();
    let layer = layer(&world);
    world.issuer.answer("/introspect", 200, r#"{"active":false}"#);
    let found = seen(&layer, bearer(OPAQUE)).await;
    assert_eq!((found.status, found.code().as_str()), (401, "inactive"));
    assert!(found.challenges[0].starts_with(r#"Bearer realm="api", error="invalid_token""#));
    world.issuer.fail_on("/introspect", Fault::Down);
    let found = seen(&layer, bearer("another")).await;
    assert_eq!((found.status, found.code().as_str()), (503, "introspection_unavailable"));
    assert_eq!(found.challenges, [""; 0]);
}

#[tokio::test]
async fn a_bound_opaque_token_needs_its_proof_too() {
    let world = World::new();
    let key = DpopKey::generate().unwrap();
    let public = "https://api.example".parse().unwrap();
    let layer = layer(&world).with_dpop(DpopPolicy::default(), public);
    active(&world, json!({"cnf": {"jkt": key.thumbprint()}, "token_type": "DPoP"}));
    assert_eq!(seen(&layer, bearer(OPAQUE)).await.code(), "proof_missing");
    let request = || proven(&world, &key, OPAQUE, None, "https://api.example/models");
    assert_eq!(seen(&layer, request()).await.status, 200);
    let stranger = DpopKey::generate().unwrap();
    let request = proven(&world, &stranger, OPAQUE, None, "https://api.example/models");
    assert_eq!(seen(&layer, request).await.code(), "proof_wrong_key");
}

#[tokio::test]
async fn an_opaque_token_without_iss_has_its_issuer() {
    let world = World::new();
    let layer = layer(&world);
    let mut answer = world.issuer.claims("api");
    answer["active"] = json!(true);
    answer.as_object_mut().unwrap().remove("iss");
    world.issuer.answer("/introspect", 200, answer.to_string());
    let (parts, _) = bearer(OPAQUE).into_parts();
    let identity = layer.identify(&parts).await.unwrap().unwrap();
    assert_eq!(identity.issuer(), world.issuer.issuer().as_str());
}
