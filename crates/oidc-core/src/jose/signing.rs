//! Signing (RFC 7515 §5.1), for client assertions (RFC 7523) and proofs of possession (RFC 9449).
//!
//! A key is read once, from PEM (PKCS#8, PKCS#1, SEC 1) or a private JWK (RFC 7517 §4, RFC 7518 §6),
//! and is bound to one algorithm that fits it.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding,
    RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use thiserror::Error;

use crate::secret::Secret;
use crate::token::Algorithm;

mod jwk;
mod pem;

/// Reason a private key cannot sign. Contains nothing of the key.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidPrivateKey {
    /// The PEM has no private key.
    #[error(
        "missing private key in PEM; give PKCS#8, PKCS#1 or SEC 1 without a passphrase (`openssl pkcs8 -topk8 -nocrypt`)"
    )]
    NotPem,
    /// Not a private JSON Web Key (RFC 7517).
    #[error("invalid private JSON Web Key: {reason}")]
    NotJwk {
        /// The problem with it.
        reason: &'static str,
    },
    /// A key of another kind than the algorithm needs, or a damaged one.
    #[error("the private key cannot sign with {algorithm}, which needs {needed}")]
    Unfit {
        /// The algorithm requested.
        algorithm: Algorithm,
        /// The kind of key it needs.
        needed: &'static str,
    },
    /// An unsupported kind of key, or a damaged one.
    #[error(
        "unsupported private key; use RSA with 2048 bits or more, P-256, P-384, P-521 or Ed25519"
    )]
    UnknownKind,
    /// The cryptographic library failed.
    #[error("the cryptographic library could not make a key or sign with it")]
    Library,
}

/// A private key bound to one algorithm. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SigningKey {
    pair: Arc<Pair>,
    algorithm: Algorithm,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl SigningKey {
    /// A new key for ES256, which stays in this process.
    pub(crate) fn generate() -> Result<Self, InvalidPrivateKey> {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| InvalidPrivateKey::Library)?;
        Ok(Self::new(Pair::Ec(pair), Algorithm::ES256))
    }

    /// Reads PEM. Without `algorithm` the key's kind decides: RS256, ES256, ES384, ES512 or EdDSA.
    pub(crate) fn from_pem(
        pem: &Secret,
        algorithm: Option<Algorithm>,
    ) -> Result<Self, InvalidPrivateKey> {
        let key = pem::private_key(pem)?;
        if let Some(algorithm) = algorithm {
            let unfit = InvalidPrivateKey::Unfit { algorithm, needed: needed(algorithm) };
            return pem::pair(&key, algorithm).map(|pair| Self::new(pair, algorithm)).ok_or(unfit);
        }
        [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::ES512, Algorithm::EdDSA]
            .into_iter()
            .find_map(|algorithm| Some(Self::new(pem::pair(&key, algorithm)?, algorithm)))
            .ok_or(InvalidPrivateKey::UnknownKind)
    }

    /// Reads a private JWK; also its `kid`. Without `alg` the key's kind decides, as in PEM.
    pub(crate) fn from_jwk(jwk: &Secret) -> Result<(Self, Option<String>), InvalidPrivateKey> {
        let (pair, algorithm, key_id) = jwk::read(jwk)?;
        Ok((Self::new(pair, algorithm), key_id))
    }

    fn new(pair: Pair, algorithm: Algorithm) -> Self {
        Self { pair: Arc::new(pair), algorithm }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public half as a JWK with the required members only (RFC 7638 §3.2).
    pub(crate) fn public_jwk(&self) -> Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self.pair.as_ref() {
            Pair::Rsa(pair) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "n": b64(&public.n), "e": b64(&public.e)})
            }
            Pair::Ec(pair) => {
                // The first byte marks an uncompressed point; then x and y follow, of equal length.
                let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                let curve = match self.algorithm {
                    Algorithm::ES384 => "P-384",
                    Algorithm::ES512 => "P-521",
                    _ => "P-256",
                };
                json!({"kty": "EC", "crv": curve, "x": b64(x), "y": b64(y)})
            }
            Pair::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key().as_ref())})
            }
        }
    }

    /// A compact JWS of `claims` (RFC 7515 §7.1).
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> Result<Secret, InvalidPrivateKey> {
        let message = signing_input(header, claims);
        let signature = self.signature(message.as_bytes())?;
        Ok(Secret::from(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, InvalidPrivateKey> {
        let random = SystemRandom::new();
        let failed = |_| InvalidPrivateKey::Library;
        match self.pair.as_ref() {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(rsa_encoding(self.algorithm), &random, message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
            Pair::Ec(pair) => Ok(pair.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
            Pair::Ed(pair) => Ok(pair.try_sign(message).map_err(failed)?.as_ref().to_vec()),
        }
    }
}

/// The signing input: encoded header and payload, joined (RFC 7515 §5.1).
pub(crate) fn signing_input(header: &Value, claims: &Value) -> String {
    let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", encoded(header), encoded(claims))
}

fn ec_algorithm(algorithm: Algorithm) -> Option<&'static EcdsaSigningAlgorithm> {
    match algorithm {
        Algorithm::ES256 => Some(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::ES384 => Some(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::ES512 => Some(&signature::ECDSA_P521_SHA512_FIXED_SIGNING),
        _ => None,
    }
}

fn rsa_encoding(algorithm: Algorithm) -> &'static dyn RsaEncoding {
    match algorithm {
        Algorithm::RS384 => &signature::RSA_PKCS1_SHA384,
        Algorithm::RS512 => &signature::RSA_PKCS1_SHA512,
        Algorithm::PS256 => &signature::RSA_PSS_SHA256,
        Algorithm::PS384 => &signature::RSA_PSS_SHA384,
        Algorithm::PS512 => &signature::RSA_PSS_SHA512,
        _ => &signature::RSA_PKCS1_SHA256,
    }
}

fn needed(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::ES256 => "a key on P-256",
        Algorithm::ES384 => "a key on P-384",
        Algorithm::ES512 => "a key on P-521",
        Algorithm::EdDSA | Algorithm::Ed25519 => "an Ed25519 key",
        _ => "an RSA key of 2048 to 8192 bits",
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, ..)", self.algorithm)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::SigningKey;
    use crate::secret::Secret;

    #[test]
    fn eddsa_signs_as_the_specification_does() {
        // RFC 8037 §A.1, §A.4
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let (key, kid) = SigningKey::from_jwk(&Secret::from(jwk)).unwrap();
        assert_eq!(kid, None);
        let input = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = URL_SAFE_NO_PAD.encode(key.signature(input).unwrap());
        let expected = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        assert_eq!(signature, expected);
    }

    #[test]
    fn es256_signs_what_the_specifications_key_verifies() {
        // RFC 7515 §A.3.1
        let (x, y) = (
            "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        );
        let jwk = format!(
            r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}}"#
        );
        let (key, _) = SigningKey::from_jwk(&Secret::from(jwk)).unwrap();
        let octets = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let point = [vec![4], octets(x), octets(y)].concat();
        let signature = key.signature(b"example").unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(b"example", &signature)
            .unwrap();
    }
}
