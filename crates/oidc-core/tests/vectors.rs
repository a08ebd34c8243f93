//! Published vectors: the Wycheproof project's JSON Web Signature and JSON Web Key files, which
//! include the examples of RFC 7520 §4. Those of RFC 7515 and RFC 8037 are in the module `jose`.
//!
//! Their payloads are not Claims Sets, so the test checks whether the refusal comes before or after
//! the signature check: a vector with a valid signature gets as far as the payload.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

use std::sync::Arc;

use oidc_core::keys::{JwkSet, StaticKeys};
use oidc_core::{TokenRefusal, Validation, Verifier};
use serde_json::{Value, json};

/// Labelled valid, but the JWK names an `alg` that does not exist or is another than the token's.
const WRONG_ALG_IN_JWK: [u64; 4] = [346, 347, 350, 351];

/// Labelled valid, but with `?` inside base64url.
const NOT_BASE64URL: [u64; 2] = [372, 373];

fn vectors(file: &str) -> Value {
    let path = format!("{}/tests/data/wycheproof/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn keys(group: &Value) -> JwkSet {
    let key = group.get("public").unwrap_or(&group["private"]);
    let set = if key.get("keys").is_some() { key.clone() } else { json!({"keys": [key]}) };
    JwkSet::parse(set.to_string().as_bytes()).unwrap()
}

/// Whether the signature was accepted.
async fn verifies(keys: JwkSet, token: &str) -> bool {
    let validation = Validation::new("https://issuer.test".parse().unwrap(), "no-service");
    let verifier = Verifier::new(validation, Arc::new(StaticKeys::new(keys)));
    match verifier.access_token(token).await {
        Ok(_) => panic!("a vector must not pass as a token"),
        Err(TokenRefusal::Malformed { part: "payload", .. }) => true,
        Err(
            TokenRefusal::Malformed { .. }
            | TokenRefusal::AlgorithmNotAllowed { .. }
            | TokenRefusal::HeaderNotAllowed { .. }
            | TokenRefusal::UnknownKey { .. }
            | TokenRefusal::BadSignature
            | TokenRefusal::TooLarge { .. },
        ) => false,
        // A payload that happens to be JSON is refused for its type.
        Err(TokenRefusal::WrongType { .. } | TokenRefusal::InvalidClaim { .. }) => true,
        Err(other) => panic!("unexpected: {other}"),
    }
}

/// Whether the group's keys are symmetric.
fn is_symmetric(group: &Value) -> bool {
    let private = &group["private"];
    private["kty"] == "oct"
        || private["keys"].as_array().is_some_and(|keys| keys.iter().any(|key| key["kty"] == "oct"))
}

async fn run(file: &str) -> (usize, usize) {
    let (mut good, mut bad) = (0, 0);
    for group in vectors(file)["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            let id = test["tcId"].as_u64().unwrap();
            let Some(token) = test["jws"].as_str() else { continue };
            let comment = &test["comment"];
            let labelled_good = test["result"] == "valid";
            let unscored = file.contains("signature") && WRONG_ALG_IN_JWK.contains(&id);
            let not_base64url = file.contains("signature") && NOT_BASE64URL.contains(&id);
            let expected = labelled_good && !is_symmetric(group) && !unscored && !not_base64url;
            let found = verifies(keys(group), token).await;
            assert_eq!(found, expected, "{file} {id} {comment} ({})", group["comment"]);
            if expected { good += 1 } else { bad += 1 }
        }
    }
    (good, bad)
}

#[tokio::test]
async fn json_web_signature_vectors() {
    let (good, bad) = run("json_web_signature_test.json").await;
    assert_eq!(good + bad, 401);
    assert!(good >= 20, "{good} good signatures among the vectors");
}

#[tokio::test]
async fn json_web_key_vectors() {
    let (good, bad) = run("json_web_key_test.json").await;
    assert_eq!(good + bad, 26);
}

/// Their keys name `alg: PS256` and the like. The signatures are valid, which the test shows by
/// removing `alg`.
#[tokio::test]
async fn rfc_7520_examples_verify_with_keys_that_name_no_alg() {
    let mut found = 0;
    for group in vectors("json_web_signature_test.json")["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            if !WRONG_ALG_IN_JWK.contains(&test["tcId"].as_u64().unwrap()) {
                continue;
            }
            let mut key = group.get("public").unwrap_or(&group["private"]).clone();
            key.as_object_mut().unwrap().remove("alg");
            let set = JwkSet::parse(json!({"keys": [key]}).to_string().as_bytes()).unwrap();
            assert!(verifies(set, test["jws"].as_str().unwrap()).await, "{}", test["tcId"]);
            found += 1;
        }
    }
    assert_eq!(found, WRONG_ALG_IN_JWK.len());
}
