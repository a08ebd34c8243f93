//! A key pair made for one scenario: the private half for the library, the public half for Keycloak.

use anyhow::{Context as _, Result};
use aws_lc_rs::{
    rsa,
    signature::{KeyPair as _, RsaKeyPair},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use oidc_core::Secret;
use oidc_core::token::Algorithm;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

/// A fresh private key and its public half.
pub(crate) struct TestKey {
    pub(crate) algorithm: Algorithm,
    pub(crate) pem: Secret,
    /// The public key as a JWK with `kid`, `use` and `alg`.
    pub(crate) public: Value,
}

/// The `kid` of every key made here.
pub(crate) const KID: &str = "key-of-this-test";

impl TestKey {
    pub(crate) fn generate(algorithm: Algorithm) -> Result<Self> {
        let key = match algorithm {
            Algorithm::ES256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
            Algorithm::EdDSA => KeyPair::generate_for(&PKCS_ED25519)?,
            _ => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?,
        };
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let point = key.public_key_raw();
        let mut public = match algorithm {
            Algorithm::ES256 => {
                // RFC 7518 §6.2.1: the two halves of the uncompressed point.
                let (x, y) = point.get(1..).context("no point")?.split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) })
            }
            Algorithm::EdDSA => json!({ "kty": "OKP", "crv": "Ed25519", "x": text(point) }),
            _ => {
                let pair = RsaKeyPair::from_pkcs8(&key.serialize_der())?;
                let public: &rsa::PublicKey = pair.public_key();
                let modulus = public.modulus().big_endian_without_leading_zero();
                let exponent = public.exponent().big_endian_without_leading_zero();
                json!({ "kty": "RSA", "n": text(modulus), "e": text(exponent) })
            }
        };
        public["kid"] = json!(KID);
        public["use"] = json!("sig");
        public["alg"] = json!(algorithm.as_str());
        Ok(Self { algorithm, pem: Secret::from(key.serialize_pem()), public })
    }

    /// Client attributes with which Keycloak accepts only this key and algorithm.
    pub(crate) fn client_attributes(&self) -> Value {
        json!({
            "use.jwks.string": "true",
            "jwks.string": json!({ "keys": [self.public] }).to_string(),
            "token.endpoint.auth.signing.alg": self.algorithm.as_str(),
        })
    }
}
