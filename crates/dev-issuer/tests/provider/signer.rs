//! Keys of clients and of other issuers, and tokens signed with them.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dev_issuer::DevIssuer;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

pub(crate) struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    pub(crate) jwk: Value,
}

impl Signer {
    pub(crate) fn p256() -> Self {
        Self::on_curve(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", Algorithm::ES256)
    }

    pub(crate) fn p384() -> Self {
        Self::on_curve(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", Algorithm::ES384)
    }

    pub(crate) fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        Self {
            key: EncodingKey::from_ed_der(pair.to_pkcs8().unwrap().as_ref()),
            algorithm: Algorithm::EdDSA,
            jwk: json!({"kty": "OKP", "crv": "Ed25519", "x": x}),
        }
    }

    fn on_curve(curve: &'static EcdsaSigningAlgorithm, name: &str, algorithm: Algorithm) -> Self {
        let pair = EcdsaKeyPair::generate(curve).unwrap();
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        Self {
            key: EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()),
            algorithm,
            jwk: json!({"kty": "EC", "crv": name, "x": x, "y": y}),
        }
    }

    /// The public half as a JWKS.
    pub(crate) fn jwks(&self) -> String {
        json!({"keys": [self.jwk]}).to_string()
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        jsonwebtoken::encode(&Header::new(self.algorithm), claims, &self.key).unwrap()
    }

    /// A proof of possession for a POST to the token endpoint, changed by `change`.
    pub(crate) fn proof(&self, issuer: &DevIssuer, change: Value) -> String {
        let mut claims = json!({
            "jti": URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()),
            "htm": "POST",
            "htu": format!("{}/protocol/openid-connect/token", issuer.url()),
            "iat": jsonwebtoken::get_current_timestamp(),
        });
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        self.sign_proof("dpop+jwt", &claims)
    }

    pub(crate) fn sign_proof(&self, typ: &str, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.typ = Some(typ.to_owned());
        header.jwk = Some(serde_json::from_value(self.jwk.clone()).unwrap());
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}
