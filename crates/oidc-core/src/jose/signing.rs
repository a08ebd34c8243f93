//! Signing, for client assertions (RFC 7523).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, crypto};
use serde_json::Value;
use thiserror::Error;

use super::{install_crypto_provider, jsonwebtoken_algorithm};
use crate::algorithm::Algorithm;
use crate::refusal::bounded;
use crate::secret::Secret;

/// Why a private key cannot sign.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidPrivateKey {
    /// Not a PEM file with a private key of the kind that the algorithm needs.
    #[error(
        "the private key cannot be read for {algorithm}: {reason}; give a PEM file in PKCS#8 form (`openssl pkcs8 -topk8 -nocrypt`)"
    )]
    Unreadable {
        /// What it was to sign with.
        algorithm: Algorithm,
        /// What the reader says.
        reason: String,
    },
    /// Verification only.
    #[error("signing with {algorithm} is not supported; use ES256, ES384, EdDSA, PS256 or RS256")]
    Unsupported {
        /// What it was to sign with.
        algorithm: Algorithm,
    },
}

/// A private key bound to one algorithm.
#[derive(Clone)]
pub(crate) struct SigningKey {
    key: EncodingKey,
    algorithm: Algorithm,
    wire: jsonwebtoken::Algorithm,
}

impl SigningKey {
    pub(crate) fn from_pem(pem: &Secret, algorithm: Algorithm) -> Result<Self, InvalidPrivateKey> {
        install_crypto_provider();
        let wire = jsonwebtoken_algorithm(algorithm)
            .ok_or(InvalidPrivateKey::Unsupported { algorithm })?;
        let unreadable = |error: jsonwebtoken::errors::Error| InvalidPrivateKey::Unreadable {
            algorithm,
            reason: bounded(&error.to_string()),
        };
        let pem = pem.expose().as_bytes();
        let key = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 | Algorithm::ES512 => EncodingKey::from_ec_pem(pem),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
            _ => EncodingKey::from_rsa_pem(pem),
        }
        .map_err(unreadable)?;
        // Keys are parsed when they sign: sign once now, so that a bad one fails here.
        crypto::sign(b"probe", &key, wire).map_err(unreadable)?;
        Ok(Self { key, algorithm, wire })
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// A compact JWS of `claims`.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> Result<Secret, InvalidPrivateKey> {
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature =
            crypto::sign(message.as_bytes(), &self.key, self.wire).map_err(|error| {
                InvalidPrivateKey::Unreadable {
                    algorithm: self.algorithm,
                    reason: error.to_string(),
                }
            })?;
        Ok(Secret::from(format!("{message}.{signature}")))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, ..)", self.algorithm)
    }
}
