//! Keys of a key set that are accepted, and keys that are skipped.

use std::sync::Arc;

use base64::Engine as _;
use oidc_core::keys::{JwkSet, StaticKeys};
use oidc_core::testing::TestIssuer;
use oidc_core::token::Algorithm;
use oidc_core::{Validation, Verifier};
use serde_json::{Value, json};

use super::{AUDIENCE, B64, changed};

#[tokio::test]
async fn keys_that_must_not_verify_are_not_admitted() {
    let issuer = TestIssuer::new();
    let good = issuer.signing_key().jwk();
    let modulus = issuer.signing_key().modulus().unwrap();
    let even: Vec<u8> = modulus.iter().copied().take(255).chain([0]).collect();
    for (changes, reason) in [
        (json!({"use": "enc"}), "it is for encryption (use)"),
        (json!({"use": "x"}), "its use is not sig"),
        (json!({"use": 1}), "a member that must be a string is not"),
        (json!({"key_ops": ["encrypt"]}), "its key_ops do not include verify"),
        (json!({"alg": "RSA-OAEP"}), "its alg is not a signature known here"),
        (json!({"alg": "HS256"}), "its alg is not a signature known here"),
        (json!({"alg": "ES256"}), "its alg does not fit its kty and crv"),
        (json!({"kty": "oct", "k": "AAAA"}), "symmetric keys never verify here"),
        (json!({"kty": "XYZ"}), "its kty is not known here"),
        (json!({"kty": null}), "it has no kty"),
        (json!({"n": B64.encode(&modulus[..128])}), "its RSA modulus is shorter than 2048 bits"),
        (
            json!({"n": B64.encode([&[0; 128][..], &modulus[..128]].concat())}),
            "its RSA modulus is shorter than 2048 bits",
        ),
        (json!({"n": B64.encode([255; 1025])}), "its RSA modulus is longer than 8192 bits"),
        (json!({"n": B64.encode(&even)}), "its RSA modulus is even"),
        (json!({"e": "AQ"}), "its RSA exponent is not between 65537 and 2^33"),
        (json!({"e": "Aw"}), "its RSA exponent is not between 65537 and 2^33"),
        (json!({"e": "AQAA"}), "its RSA exponent is even"),
        (json!({"e": ""}), "its RSA exponent is even"),
        (json!({"n": null}), "a member of the key is missing"),
        (json!({"n": "%%%"}), "a member of the key is not base64url"),
        (json!({"kty": "EC", "crv": "secp256k1"}), "its crv is not known here"),
        (
            json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
            "its coordinates do not have the curve's length",
        ),
        (
            json!({"kty": "EC", "crv": "P-256", "x": B64.encode([1; 32]), "y": B64.encode([1; 32])}),
            "its point is not on the curve",
        ),
        (json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}), "its x is not an Ed25519 public key"),
        (
            json!({"kty": "OKP", "crv": "X25519", "x": B64.encode([9; 32])}),
            "its crv is not known here",
        ),
    ] {
        let document = json!({"keys": [changed(good.clone(), changes.clone()), null, 1]});
        let set = JwkSet::parse(document.to_string().as_bytes()).unwrap();
        assert!(set.is_empty(), "{changes}");
        assert_eq!(set.skipped()[0].reason, reason, "{changes}");
    }
    // A private member beside the public ones is ignored, as is a leading zero byte.
    let padded = json!({"d": "AAAA", "n": B64.encode([&[0][..], &modulus].concat())});
    let document = json!({"keys": [changed(good, padded)]});
    let set = JwkSet::parse(document.to_string().as_bytes()).unwrap();
    let verifier =
        Verifier::new(Validation::new(issuer.issuer(), AUDIENCE), Arc::new(StaticKeys::new(set)))
            .with_clock(issuer.clock());
    assert!(verifier.access_token(&issuer.access_token(AUDIENCE)).await.is_ok());
}

#[tokio::test]
async fn two_different_keys_under_one_kid_are_both_unusable() {
    let issuer = TestIssuer::new();
    let first = issuer.signing_key().jwk();
    issuer.rotate();
    let second = changed(issuer.signing_key().jwk(), json!({"kid": first["kid"]}));
    let parse = |keys: Value| JwkSet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap();
    assert!(parse(json!([first, second])).is_empty());
    assert_eq!(parse(json!([first, first])).len(), 1);
    let encryption = changed(second.clone(), json!({"use": "enc", "alg": "RSA-OAEP"}));
    assert_eq!(parse(json!([encryption, first])).len(), 1);
    for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, r#"{"keys":[]}x"#] {
        assert!(JwkSet::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn one_kid_may_name_a_key_for_each_algorithm() {
    let issuer = TestIssuer::new();
    let rs256 = issuer.signing_key().jwk();
    let ps256 = changed(rs256.clone(), json!({"alg": "PS256"}));
    let ed = TestIssuer::with_algorithm(Algorithm::Ed25519);
    let ed = changed(ed.signing_key().jwk(), json!({"kid": rs256["kid"]}));
    let parse = |keys: Value| JwkSet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap();
    assert_eq!(parse(json!([rs256, ps256, ed])).len(), 3);
    let set = parse(json!([ps256, ed, rs256]));
    let rules = Validation::new(issuer.issuer(), AUDIENCE);
    let verifier = Verifier::new(rules, Arc::new(StaticKeys::new(set))).with_clock(issuer.clock());
    assert!(verifier.access_token(&issuer.access_token(AUDIENCE)).await.is_ok());
    // A key for any RSA algorithm fits what each of the others is for.
    let any = changed(rs256.clone(), json!({"alg": null}));
    let set = parse(json!([any, ps256, ed]));
    assert_eq!((set.len(), set.skipped().len()), (1, 2));
}

#[tokio::test]
async fn ed25519_is_known_by_both_of_its_names() {
    for algorithm in [Algorithm::Ed25519, Algorithm::EdDSA] {
        let issuer = TestIssuer::with_algorithm(algorithm);
        let rules = || Validation::new(issuer.issuer(), AUDIENCE);
        let verifier = |rules| Verifier::new(rules, issuer.keys()).with_clock(issuer.clock());
        let token = issuer.access_token(AUDIENCE);
        let verified = verifier(rules()).access_token(&token).await.unwrap();
        assert_eq!(verified.algorithm(), Some(algorithm));
        let others = Algorithm::ALL.into_iter().filter(|other| *other != algorithm);
        let refusal = verifier(rules().with_algorithms(others)).access_token(&token).await;
        assert_eq!(refusal.unwrap_err().code(), "algorithm_not_allowed");
    }
}
