//! Public keys of clients and trusted issuers: one in PEM (`BEGIN PUBLIC KEY`), or several as a JWKS
//! ([RFC 7517 §5](https://www.rfc-editor.org/rfc/rfc7517#section-5)).

use std::collections::BTreeMap;
use std::fmt;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

use crate::jws::{self, Claims};

/// The registered text, which is parsed at each use.
#[derive(Clone)]
pub(crate) struct PublicKeys(String);

impl PublicKeys {
    pub(crate) fn new(pem_or_jwks: impl Into<String>) -> Self {
        Self(pem_or_jwks.into())
    }

    /// The claims, if one of these keys signed them.
    pub(crate) fn verify(&self, token: &str) -> Option<Claims> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let algorithm = header.alg;
        if algorithm.family() == AlgorithmFamily::Hmac {
            return None;
        }
        if !self.0.trim_start().starts_with('{') {
            return jws::verify(token, &self.in_pem(algorithm)?, algorithm).ok();
        }
        let fits = |jwk: &Jwk| match (&header.kid, &jwk.common.key_id) {
            (Some(wanted), Some(own)) => wanted == own,
            _ => true,
        };
        let keys: JwkSet = serde_json::from_str(&self.0).ok()?;
        keys.keys.iter().filter(|jwk| fits(jwk)).find_map(|jwk| {
            let key = DecodingKey::from_jwk(jwk).ok()?;
            jws::verify(token, &key, algorithm).ok()
        })
    }

    fn in_pem(&self, algorithm: Algorithm) -> Option<DecodingKey> {
        let pem = self.0.as_bytes();
        match algorithm.family() {
            AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem),
            AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem),
            AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem),
            AlgorithmFamily::Hmac => return None,
        }
        .ok()
    }
}

/// Trusted issuers and their keys.
#[derive(Debug, Default)]
pub(crate) struct TrustedIssuers(pub(crate) BTreeMap<String, PublicKeys>);

impl TrustedIssuers {
    /// The claims of a token that this issuer signed.
    pub(crate) fn verify(&self, issuer: &str, token: &str) -> Option<Claims> {
        self.0.get(issuer)?.verify(token)
    }
}

impl fmt::Debug for PublicKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKeys(..)")
    }
}
