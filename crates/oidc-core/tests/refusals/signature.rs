//! Signatures: absent, altered, by another key, with another algorithm.

use base64::Engine as _;
use oidc_core::testing::TestIssuer;
use oidc_core::token::Algorithm;
use serde_json::{Value, json};

use super::{AUDIENCE, B64, World, changed, forged};

fn hmac(header: &Value, payload: &str, key: &[u8]) -> String {
    let message = format!("{}.{}", B64.encode(header.to_string()), B64.encode(payload));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    let tag = aws_lc_rs::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", B64.encode(tag.as_ref()))
}

#[tokio::test]
async fn a_good_token_of_every_algorithm_passes() {
    for algorithm in Algorithm::ALL {
        let world = World::with(TestIssuer::with_algorithm(algorithm), |v| v);
        let token = world.issuer.access_token(AUDIENCE);
        let verified = world.verifier.access_token(&token).await.unwrap();
        assert_eq!(verified.algorithm(), Some(algorithm));
        assert_eq!(verified.subject(), oidc_core::testing::SUBJECT);
        assert_eq!(verified.key_id(), Some(world.issuer.signing_key().id()));
    }
}

#[tokio::test]
async fn unsigned_tokens_are_refused() {
    let world = World::new();
    let good = world.issuer.access_token(AUDIENCE);
    assert_eq!(world.code(&good).await, "accepted");
    for alg in ["none", "None", "NONE", "nOnE", "", "null"] {
        for signature in [&b""[..], b"x"] {
            let token = forged(&json!({"alg": alg, "typ": "JWT"}), &world.payload(), signature);
            assert!(world.check(&token).await.is_err(), "{alg}");
        }
        let token = forged(&json!({"alg": alg, "typ": "JWT"}), &world.payload(), b"x");
        assert_eq!(world.code(&token).await, "algorithm_not_allowed", "{alg}");
    }
    let (message, _) = good.rsplit_once('.').unwrap();
    assert_eq!(world.code(&format!("{message}.")).await, "malformed");
    assert_eq!(world.code(message).await, "malformed");
}

#[tokio::test]
async fn an_altered_token_is_refused() {
    for algorithm in [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA] {
        let world = World::with(TestIssuer::with_algorithm(algorithm), |v| v);
        let good = world.issuer.access_token(AUDIENCE);
        let parts: Vec<&str> = good.split('.').collect();
        let mut signature = B64.decode(parts[2]).unwrap();
        for at in [0, signature.len() / 2, signature.len() - 1] {
            signature[at] ^= 1;
            let token = format!("{}.{}.{}", parts[0], parts[1], B64.encode(&signature));
            assert_eq!(world.code(&token).await, "bad_signature");
            signature[at] ^= 1;
        }
        let payload = world.payload().replace("alice", "admin");
        let token = format!("{}.{}.{}", parts[0], B64.encode(payload), parts[2]);
        assert_eq!(world.code(&token).await, "bad_signature");
        for cut in [
            vec![],
            signature[1..].to_vec(),
            [&signature[..], &[0]].concat(),
            vec![0; signature.len()],
        ] {
            let token = format!("{}.{}.{}", parts[0], parts[1], B64.encode(&cut));
            assert!(world.check(&token).await.is_err());
        }
        assert_eq!(world.code(&good).await, "accepted");
    }
}

#[tokio::test]
async fn a_public_key_is_never_a_password() {
    let world = World::new();
    let key = world.issuer.signing_key();
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": key.id()});
    let modulus = key.modulus().unwrap();
    let jwk = key.jwk().to_string();
    let pem =
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", B64.encode(&modulus));
    for password in
        [&modulus[..], jwk.as_bytes(), pem.as_bytes(), pem.trim_start().as_bytes(), b"", b"secret"]
    {
        let token = hmac(&header, &world.payload(), password);
        assert_eq!(world.code(&token).await, "algorithm_not_allowed");
        let token =
            hmac(&changed(header.clone(), json!({"alg": "RS256"})), &world.payload(), password);
        assert_eq!(world.code(&token).await, "bad_signature");
    }
}

#[tokio::test]
async fn an_algorithm_is_bound_to_its_key() {
    let world = World::new();
    let key = world.issuer.signing_key();
    let message = |alg: &str| {
        let header = changed(world.issuer.header(), json!({"alg": alg}));
        format!("{}.{}", B64.encode(header.to_string()), B64.encode(world.payload()))
    };
    // The signature is right for the algorithm that the header names; the key is for RS256.
    for algorithm in [Algorithm::PS256, Algorithm::RS384, Algorithm::RS512] {
        let message = message(algorithm.as_str());
        let token = format!("{message}.{}", B64.encode(key.sign(algorithm, message.as_bytes())));
        assert_eq!(world.code(&token).await, "unknown_key", "{algorithm}");
    }
    for alg in ["ES256", "EdDSA", "ES512"] {
        let token = format!("{}.{}", message(alg), B64.encode([1; 64]));
        assert_eq!(world.code(&token).await, "unknown_key", "{alg}");
    }
    let message = message("RS256");
    let token = format!("{message}.{}", B64.encode(key.sign(Algorithm::RS256, message.as_bytes())));
    assert_eq!(world.code(&token).await, "accepted");
}

#[tokio::test]
async fn an_algorithm_outside_the_allow_list_is_refused() {
    let es = TestIssuer::with_algorithm(Algorithm::ES256);
    let world = World::with(es, |v| v.with_algorithms([Algorithm::RS256, Algorithm::EdDSA]));
    assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "algorithm_not_allowed");
    let world = World::with(TestIssuer::new(), |v| v.with_algorithms([Algorithm::RS256]));
    assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
}

#[tokio::test]
async fn a_key_of_another_issuer_with_the_same_kid_does_not_verify() {
    let ours = World::with(TestIssuer::with_algorithm(Algorithm::ES256), |v| v);
    let other = TestIssuer::with_algorithm(Algorithm::ES256);
    assert_eq!(ours.issuer.signing_key().id(), other.signing_key().id());
    assert_eq!(ours.code(&other.access_token(AUDIENCE)).await, "bad_signature");
    assert_eq!(ours.code(&ours.issuer.access_token(AUDIENCE)).await, "accepted");
}

#[tokio::test]
async fn ecdsa_signatures_are_of_fixed_form_and_never_zero() {
    for (algorithm, size) in
        [(Algorithm::ES256, 64), (Algorithm::ES384, 96), (Algorithm::ES512, 132)]
    {
        let world = World::with(TestIssuer::with_algorithm(algorithm), |v| v);
        let good = world.issuer.access_token(AUDIENCE);
        let (message, signature) = good.rsplit_once('.').unwrap();
        let signature = B64.decode(signature).unwrap();
        assert_eq!(signature.len(), size);
        let (r, s) = signature.split_at(size / 2);
        let integer = |part: &[u8]| {
            let part: Vec<u8> = part.iter().copied().skip_while(|octet| *octet == 0).collect();
            let part = if part.first().is_some_and(|octet| *octet > 127) {
                [&[0][..], &part].concat()
            } else {
                part
            };
            [&[2, part.len() as u8][..], &part].concat()
        };
        let body = [integer(r), integer(s)].concat();
        let der = [&[0x30, body.len() as u8][..], &body].concat();
        for bad in [
            vec![0; size],
            [&[0; 1][..], &vec![0; size - 2], &[1]].concat(),
            der,
            vec![0; 8],
            [&signature[..], &[0; 32]].concat(),
            [&[0; 16][..], r, &[0; 16], s].concat(),
            vec![0xff; size],
        ] {
            assert_eq!(
                world.code(&format!("{message}.{}", B64.encode(bad))).await,
                "bad_signature"
            );
        }
        assert_eq!(world.code(&good).await, "accepted");
    }
}
