//! RFC 9449 §7 and §9, RFC 8705 §3: bound tokens at the layer.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderValue, Request};
use oidc_core::Secret;
use oidc_core::dpop::{DpopKey, DpopPolicy};
use oidc_core::resource_server::ClientCertificate;
use serde_json::json;

use super::{Body, World, answer, bearer, challenges, request, seen};

const ALGORITHMS: &str =
    r#"algs="RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519""#;

fn dpop(world: &World, key: &DpopKey, token: &str, nonce: Option<&str>) -> Request<Body> {
    proven(world, key, token, nonce, "https://api.example/v1/models")
}

pub(super) fn proven(
    world: &World,
    key: &DpopKey,
    token: &str,
    nonce: Option<&str>,
    url: &str,
) -> Request<Body> {
    let now = oidc_core::Clock::now(world.issuer.clock().as_ref());
    let url = url.parse().unwrap();
    let proof = key.proof(&http::Method::GET, &url, Some(&Secret::from(token)), nonce, now);
    let mut request = request(&[&format!("DPoP {token}")]);
    let proof = HeaderValue::from_str(proof.unwrap().expose()).unwrap();
    request.headers_mut().insert("dpop", proof);
    request
}

#[tokio::test]
async fn a_client_of_this_crate_passes_with_its_proofs() {
    let world = World::new();
    let public = "https://api.example/v1".parse().unwrap();
    let layer = world.layer().with_dpop(DpopPolicy::default(), public);
    let key = DpopKey::generate().unwrap();
    let token = world.token(json!({"cnf": {"jkt": key.thumbprint()}}));
    assert_eq!(seen(&layer, dpop(&world, &key, &token, None)).await.status, 200);

    let found = seen(&layer, bearer(&token)).await;
    assert_eq!(
        found.challenges,
        [format!(
            r#"DPoP realm="api", error="invalid_token", error_description="the token is bound to a DPoP key; send it with the scheme DPoP and a proof", {ALGORITHMS}"#
        )]
    );
    let stranger = DpopKey::generate().unwrap();
    let found = seen(&layer, dpop(&world, &stranger, &token, None)).await;
    assert_eq!(
        found.challenges,
        [format!(
            r#"DPoP realm="api", error="invalid_token", error_description="the proof is made with another key than the one the token is bound to", {ALGORITHMS}"#
        )]
    );
    let plain = world.token(json!({}));
    let found = seen(&layer, dpop(&world, &key, &plain, None)).await;
    assert_eq!((found.status, found.code().as_str()), (401, "not_bound"));
    assert_eq!(seen(&layer, bearer(&plain)).await.status, 200);
}

#[tokio::test]
async fn an_invalid_proof_is_refused_by_code() {
    let world = World::new();
    let policy = DpopPolicy::default().with_algorithms([oidc_core::token::Algorithm::ES256]);
    let layer = world.layer().with_dpop(policy, "https://api.example/v1".parse().unwrap());
    let key = DpopKey::generate().unwrap();
    let token = world.token(json!({"cnf": {"jkt": key.thumbprint()}}));
    let elsewhere = proven(&world, &key, &token, None, "https://evil.test/v1/models");
    let found = seen(&layer, elsewhere).await;
    assert_eq!(
        found.challenges,
        [
            r#"DPoP realm="api", error="invalid_dpop_proof", error_description="the proof is for 'https://evil.test/v1/models', and the request went to https://api.example/v1/models", algs="ES256""#
        ]
    );
    let found = seen(&layer, request(&[&format!("DPoP {token}")])).await;
    assert_eq!((found.status, found.code().as_str()), (401, "proof_missing"));
    // The host in the request is ignored.
    let mut elsewhere = proven(&world, &key, &token, None, "https://evil.test/v1/models");
    elsewhere.headers_mut().insert("host", HeaderValue::from_static("evil.test"));
    elsewhere.headers_mut().insert("x-forwarded-host", HeaderValue::from_static("evil.test"));
    assert_eq!(seen(&layer, elsewhere).await.code(), "proof_wrong_target");
}

#[tokio::test]
async fn without_credentials_both_schemes_are_offered() {
    let world = World::new();
    let policy = DpopPolicy::default().with_algorithms([oidc_core::token::Algorithm::ES256]);
    let layer = world.layer().with_dpop(policy, "https://api.example".parse().unwrap());
    assert_eq!(
        seen(&layer, request(&[])).await.challenges,
        [r#"Bearer realm="api""#, r#"DPoP realm="api", algs="ES256""#]
    );
}

#[tokio::test]
async fn a_client_gets_the_nonce_and_the_next_one_in_time() {
    let world = World::new();
    let policy = DpopPolicy::default().with_nonces(Duration::from_secs(60));
    let layer = world.layer().with_dpop(policy, "https://api.example/v1".parse().unwrap());
    let key = DpopKey::generate().unwrap();
    let token = world.token(json!({"cnf": {"jkt": key.thumbprint()}}));

    let first = answer(&layer, dpop(&world, &key, &token, None)).await;
    assert_eq!(first.status(), 401);
    assert_eq!(
        challenges(&first),
        [format!(
            r#"DPoP realm="api", error="use_dpop_nonce", error_description="the proof needs the nonce of this server; repeat the request with it", {ALGORITHMS}"#
        )]
    );
    let nonce = first.headers()["dpop-nonce"].to_str().unwrap();
    let second = answer(&layer, dpop(&world, &key, &token, Some(nonce))).await;
    assert_eq!(second.status(), 200);
    assert_eq!(second.headers()["dpop-nonce"], nonce);

    world.issuer.clock().advance(Duration::from_secs(60));
    let third = answer(&layer, dpop(&world, &key, &token, Some(nonce))).await;
    assert_eq!(third.status(), 200);
    assert_ne!(third.headers()["dpop-nonce"], nonce);
    // A bearer token needs no nonce.
    let plain = answer(&layer, bearer(&world.token(json!({})))).await;
    assert!(plain.headers().get("dpop-nonce").is_none());
}

#[tokio::test]
async fn a_token_bound_to_a_certificate_needs_it_on_the_connection() {
    let world = World::new();
    let layer = world.layer();
    let der = b"the DER of a certificate";
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    let token = world.token(json!({"cnf": {"x5t#S256": URL_SAFE_NO_PAD.encode(digest)}}));
    let with = |der: &'static [u8]| {
        let mut request = bearer(&token);
        request.extensions_mut().insert(ClientCertificate(Bytes::from_static(der)));
        request
    };
    assert_eq!(seen(&layer, with(der)).await.status, 200);
    let found = seen(&layer, bearer(&token)).await;
    assert_eq!(
        found.challenges,
        [
            r#"Bearer realm="api", error="invalid_token", error_description="the token is bound to a client certificate; connect with that certificate (mutual TLS)""#
        ]
    );
    let found = seen(&layer, with(b"another")).await;
    assert_eq!((found.status, found.code().as_str()), (401, "wrong_certificate"));
}

#[tokio::test]
async fn where_no_proofs_are_accepted_none_is_asked_for() {
    let world = World::new();
    let key = DpopKey::generate().unwrap();
    let token = world.token(json!({"cnf": {"jkt": key.thumbprint()}}));
    let found = seen(&world.layer(), bearer(&token)).await;
    assert_eq!(
        found.challenges,
        [
            r#"Bearer realm="api", error="invalid_token", error_description="the token is bound to a DPoP key, and proofs are not accepted here""#
        ]
    );
    // The scheme is unsupported there, so the request counts as without credentials.
    let found = seen(&world.layer(), dpop(&world, &key, &token, None)).await;
    assert_eq!(found.challenges, [r#"Bearer realm="api""#]);
}
