//! Key pairs made for one run, in every common form of a private key.

use aws_lc_rs::encoding::{AsBigEndian, AsDer, EcPrivateKeyBin, EcPrivateKeyRfc5915Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
    KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use oidc_core::Secret;
use pkcs1::RsaPrivateKey;
use pkcs1::der::Decode as _;
use serde_json::{Value, json};

/// One key pair.
pub(crate) struct Pair {
    /// PKCS#8 in PEM, and the older form where there is one.
    pub(crate) pems: Vec<Secret>,
    jwk: Value,
    private_members: Vec<&'static str>,
}

impl Pair {
    pub(crate) fn p256() -> Self {
        Self::on_curve(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256")
    }

    pub(crate) fn p384() -> Self {
        Self::on_curve(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384")
    }

    pub(crate) fn p521() -> Self {
        Self::on_curve(&ECDSA_P521_SHA512_FIXED_SIGNING, "P-521")
    }

    fn on_curve(curve: &'static EcdsaSigningAlgorithm, name: &str) -> Self {
        let pair = EcdsaKeyPair::generate(curve).unwrap();
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let d: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().unwrap();
        let sec1: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().unwrap();
        Self {
            pems: vec![
                pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref()),
                pem("EC PRIVATE KEY", sec1.as_ref()),
            ],
            jwk: json!({"kty": "EC", "crv": name, "x": b64(x), "y": b64(y), "d": b64(d.as_ref())}),
            private_members: vec!["d"],
        }
    }

    pub(crate) fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let x = b64(pair.public_key().as_ref());
        let seed = pair.seed().unwrap();
        let d = b64(seed.as_be_bytes().unwrap().as_ref());
        Self {
            pems: vec![
                pem("PRIVATE KEY", pair.to_pkcs8().unwrap().as_ref()),
                pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref()),
            ],
            jwk: json!({"kty": "OKP", "crv": "Ed25519", "x": x, "d": d}),
            private_members: vec!["d"],
        }
    }

    pub(crate) fn rsa() -> Self {
        let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8 = AsDer::as_der(&pair).unwrap();
        // PKCS#8 wraps PKCS#1 in 26 bytes at this size.
        let pkcs1 = &pkcs8.as_ref()[26..];
        let key = RsaPrivateKey::from_der(pkcs1).unwrap();
        let jwk = json!({
            "kty": "RSA",
            "n": b64(key.modulus.as_bytes()),
            "e": b64(key.public_exponent.as_bytes()),
            "d": b64(key.private_exponent.as_bytes()),
            "p": b64(key.prime1.as_bytes()),
            "q": b64(key.prime2.as_bytes()),
            "dp": b64(key.exponent1.as_bytes()),
            "dq": b64(key.exponent2.as_bytes()),
            "qi": b64(key.coefficient.as_bytes()),
        });
        Self {
            pems: vec![pem("PRIVATE KEY", pkcs8.as_ref()), pem("RSA PRIVATE KEY", pkcs1)],
            jwk,
            private_members: vec!["d", "p", "q", "dp", "dq", "qi"],
        }
    }

    /// The private JWK with these members changed; `null` removes one.
    pub(crate) fn private_jwk(&self, change: &Value) -> Secret {
        let mut jwk = self.jwk.clone();
        let members = jwk.as_object_mut().unwrap();
        members.extend(change.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        Secret::from(jwk.to_string())
    }

    /// The public half as a JWKS, under this `kid`.
    pub(crate) fn jwks(&self, kid: &str) -> String {
        let mut jwk = self.jwk.clone();
        let members = jwk.as_object_mut().unwrap();
        members.retain(|name, _| !self.private_members.contains(&name.as_str()));
        members.insert("kid".to_owned(), json!(kid));
        json!({"keys": [jwk]}).to_string()
    }
}

fn b64(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

fn pem(label: &str, der: &[u8]) -> Secret {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    Secret::from(format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")))
}
