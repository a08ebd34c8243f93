//! Keys of the test issuer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::token::Algorithm;

/// A key pair with a `kid`.
pub struct TestKey {
    id: String,
    algorithm: Algorithm,
    pair: Pair,
}

enum Pair {
    Rsa(Arc<RsaKeyPair>),
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
}

impl TestKey {
    /// The `n`th key for `algorithm` in this process. RSA keys are slow to make, so they are shared.
    pub fn nth(n: usize, algorithm: Algorithm) -> Self {
        let pair = match algorithm {
            Algorithm::ES256 => ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            Algorithm::ES384 => ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            Algorithm::ES512 => ec(&signature::ECDSA_P521_SHA512_FIXED_SIGNING, "P-521"),
            Algorithm::EdDSA | Algorithm::Ed25519 => Pair::Ed(Ed25519KeyPair::generate().unwrap()),
            _ => Pair::Rsa(rsa(n)),
        };
        Self { id: format!("{algorithm}-{n}"), algorithm, pair }
    }

    /// `kid`
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The algorithm it is published for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public key as JWK.
    pub fn jwk(&self) -> Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "n": b64(&public.n), "e": b64(&public.e)})
            }
            Pair::Ec(pair, curve) => {
                let point = pair.public_key().as_ref();
                let (x, y) = point.split_at(1).1.split_at(point.len() / 2);
                json!({"kty": "EC", "crv": curve, "x": b64(x), "y": b64(y)})
            }
            Pair::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key().as_ref())})
            }
        };
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.algorithm.as_str());
        jwk
    }

    /// The RSA modulus, for attacks that use it as a password.
    pub fn modulus(&self) -> Option<Vec<u8>> {
        match &self.pair {
            Pair::Rsa(pair) => Some(RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key()).n),
            _ => None,
        }
    }

    /// A signature with any algorithm that fits the key.
    pub fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let encoding: &dyn signature::RsaEncoding = match algorithm {
                    Algorithm::RS384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::RS512 => &signature::RSA_PKCS1_SHA512,
                    Algorithm::PS256 => &signature::RSA_PSS_SHA256,
                    Algorithm::PS384 => &signature::RSA_PSS_SHA384,
                    Algorithm::PS512 => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut out).unwrap();
                out
            }
            Pair::Ec(pair, _) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

fn ec(algorithm: &'static signature::EcdsaSigningAlgorithm, curve: &'static str) -> Pair {
    Pair::Ec(EcdsaKeyPair::generate(algorithm).unwrap(), curve)
}

fn rsa(n: usize) -> Arc<RsaKeyPair> {
    static KEYS: Mutex<BTreeMap<usize, Arc<RsaKeyPair>>> = Mutex::new(BTreeMap::new());
    let mut keys = KEYS.lock().unwrap();
    Arc::clone(
        keys.entry(n).or_insert_with(|| Arc::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())),
    )
}
