//! Keys on elliptic curves: P-256 and P-384 for ECDSA, Ed25519 for EdDSA. Fast to generate, so each
//! provider generates its own.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde_json::{Value, json};

use crate::algorithm::Algorithm;
use crate::keys::{KeyError, pem};

pub(super) struct EllipticKey {
    pub(super) signs: EncodingKey,
    pub(super) verifies: DecodingKey,
    pub(super) public_pem: String,
    /// `kty`, `crv` and the point.
    pub(super) jwk: Value,
}

impl EllipticKey {
    /// A key for this algorithm; `None` for RSA algorithms.
    pub(super) fn generate(algorithm: Algorithm) -> Option<Result<Self, KeyError>> {
        match algorithm {
            Algorithm::ES256 => Some(Self::on_curve("P-256")),
            Algorithm::ES384 => Some(Self::on_curve("P-384")),
            Algorithm::EdDSA => Some(Self::edwards()),
            _ => None,
        }
    }

    fn on_curve(curve: &str) -> Result<Self, KeyError> {
        let algorithm = match curve {
            "P-384" => &ECDSA_P384_SHA384_FIXED_SIGNING,
            _ => &ECDSA_P256_SHA256_FIXED_SIGNING,
        };
        let pair = EcdsaKeyPair::generate(algorithm).map_err(KeyError::Generation)?;
        let private = pair.to_pkcs8v1().map_err(KeyError::Generation)?;
        let public: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(KeyError::Generation)?;
        // A byte that means "uncompressed", then x and y.
        let point = pair.public_key().as_ref();
        let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
        Ok(Self {
            signs: EncodingKey::from_ec_der(private.as_ref()),
            verifies: DecodingKey::from_ec_der(point),
            public_pem: pem("PUBLIC KEY", public.as_ref()),
            jwk: json!({ "kty": "EC", "crv": curve, "x": encoded(x), "y": encoded(y) }),
        })
    }

    fn edwards() -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(KeyError::Generation)?;
        let private = pair.to_pkcs8().map_err(KeyError::Generation)?;
        let public: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(KeyError::Generation)?;
        let x = pair.public_key().as_ref();
        Ok(Self {
            signs: EncodingKey::from_ed_der(private.as_ref()),
            verifies: DecodingKey::from_ed_der(x),
            public_pem: pem("PUBLIC KEY", public.as_ref()),
            jwk: json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded(x) }),
        })
    }
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
