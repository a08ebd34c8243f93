//! RFC 8705 §3: tokens bound to a client certificate.

use oidc_core::dpop::DpopPolicy;
use oidc_core::verify::Presented;
use serde_json::json;

use super::{World, sha256, thumbprint};

const CERTIFICATE: &[u8] = b"the DER of a certificate";

#[tokio::test]
async fn a_bound_token_needs_the_certificate_of_the_connection() {
    let world = World::new(DpopPolicy::default());
    let token = world.bound(json!({"x5t#S256": sha256(CERTIFICATE)}));
    let bearer = Presented::bearer(&token);
    assert_eq!(world.code(&bearer).await, "certificate_missing");
    assert_eq!(world.code(&bearer.clone().with_certificate(b"other")).await, "wrong_certificate");
    assert_eq!(world.code(&bearer.clone().with_certificate(CERTIFICATE)).await, "accepted");
    // Remembered now, and still refused without the proof.
    assert_eq!(world.code(&bearer).await, "certificate_missing");
    assert_eq!(world.code(&bearer.with_certificate(b"other")).await, "wrong_certificate");
}

#[tokio::test]
async fn neither_way_for_bearer_tokens_lets_a_bound_token_pass() {
    let world = World::new(DpopPolicy::default());
    for cnf in [
        json!({"x5t#S256": sha256(CERTIFICATE)}),
        json!({"jkt": sha256(b"key")}),
        json!({"kid": "1"}),
        json!({}),
        json!(null),
    ] {
        let token = world.bound(cnf.clone());
        // Verified once, so that it is remembered if possible.
        let _ = world.code(&Presented::bearer(&token).with_certificate(CERTIFICATE)).await;
        let refusal = world.verifier.access_token(&token).await.unwrap_err();
        assert_eq!(refusal.code(), "sender_constrained", "{cnf}");
        assert!(world.verifier.recall(&token).is_err(), "{cnf}");
    }
}

#[tokio::test]
async fn an_unknown_binding_is_refused_whatever_is_proved() {
    let world = World::new(DpopPolicy::default());
    let digest = sha256(CERTIFICATE);
    for cnf in [json!({"kid": "1"}), json!({"x5t#S256": digest, "jwk": {}}), json!({}), json!("x")]
    {
        let token = world.bound(cnf.clone());
        let presented = Presented::bearer(&token).with_certificate(CERTIFICATE);
        assert_eq!(world.code(&presented).await, "invalid_claim", "{cnf}");
    }
}

#[tokio::test]
async fn a_token_bound_to_both_needs_both() {
    let world = World::new(DpopPolicy::default());
    let cnf = json!({"x5t#S256": sha256(CERTIFICATE), "jkt": thumbprint(&world.key)});
    let token = world.bound(cnf);
    let bearer = Presented::bearer(&token).with_certificate(CERTIFICATE);
    assert_eq!(world.code(&bearer).await, "proof_missing");
    let proof = world.proof(&token);
    assert_eq!(world.dpop(&token, &proof).await, "certificate_missing");
    let both = Presented::dpop(&token, &proof, &http::Method::GET, &world.url);
    assert_eq!(world.code(&both.with_certificate(CERTIFICATE)).await, "accepted");
}

#[tokio::test]
async fn a_certificate_does_no_harm_to_a_token_that_is_not_bound() {
    let world = World::new(DpopPolicy::default());
    let token = world.issuer.access_token("api");
    let presented = Presented::bearer(&token).with_certificate(CERTIFICATE);
    assert_eq!(world.code(&presented).await, "accepted");
}
