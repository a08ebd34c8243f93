//! The client's side of a proof of possession (RFC 9449 §4): the key, and the proofs signed with
//! it.

use std::time::{SystemTime, UNIX_EPOCH};

use http::Method;
use serde_json::{Value, json};
use url::Url;

use super::{PROOF_TYPE, access_token_hash, target_uri, thumbprint};
use crate::jose::{InvalidPrivateKey, SigningKey};
use crate::secret::Secret;
use crate::token::Algorithm;

/// The key that a client's tokens are bound to (RFC 9449). Cheap to clone.
///
/// ```
/// use std::time::SystemTime;
/// use oidc_core::Secret;
/// use oidc_core::dpop::DpopKey;
///
/// # let now = SystemTime::UNIX_EPOCH;
/// let key = DpopKey::generate()?;
/// let url = "https://api.example/models".parse()?;
/// let token = Secret::from("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU");
/// let proof = key.proof(&http::Method::GET, &url, Some(&token), None, now)?;
/// // Send `Authorization: DPoP <token>` and `DPoP: <proof>`.
/// assert_eq!(proof.expose().split('.').count(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DpopKey {
    key: SigningKey,
    public: Value,
    thumbprint: String,
}

impl DpopKey {
    /// A new ES256 key that stays in this process.
    ///
    /// # Errors
    /// [`InvalidPrivateKey::Library`] if the random number generator fails.
    pub fn generate() -> Result<Self, InvalidPrivateKey> {
        Self::new(SigningKey::generate()?)
    }

    /// Reads a private key in PEM (PKCS#8, PKCS#1, SEC 1).
    ///
    /// # Errors
    /// If the PEM has no private key, or `algorithm` needs a key of another kind.
    pub fn from_pem(pem: &Secret, algorithm: Algorithm) -> Result<Self, InvalidPrivateKey> {
        Self::new(SigningKey::from_pem(pem, Some(algorithm))?)
    }

    /// Reads a private JWK (RFC 7517); without `alg` its kind decides: RS256, ES256, ES384, ES512 or
    /// EdDSA.
    ///
    /// # Errors
    /// If it is not a JWK, or only a public one.
    pub fn from_jwk(jwk: &Secret) -> Result<Self, InvalidPrivateKey> {
        Self::new(SigningKey::from_jwk(jwk)?.0)
    }

    fn new(key: SigningKey) -> Result<Self, InvalidPrivateKey> {
        let public = key.public_jwk();
        let thumbprint =
            public.as_object().and_then(thumbprint).ok_or(InvalidPrivateKey::UnknownKind)?;
        Ok(Self { key, public, thumbprint })
    }

    /// The key's SHA-256 thumbprint (RFC 7638), as `cnf.jkt` of a bound token and `dpop_jkt` of an
    /// authorization request hold it.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The algorithm of the proofs.
    pub fn algorithm(&self) -> Algorithm {
        self.key.algorithm()
    }

    /// Makes a proof for one request (RFC 9449 §4.2), the value of its `DPoP` header.
    /// `access_token` is the token sent with it, `nonce` the server's latest. Each proof has its
    /// own `jti`.
    ///
    /// # Errors
    /// [`InvalidPrivateKey::Library`] if signing fails.
    pub fn proof(
        &self,
        method: &Method,
        url: &Url,
        access_token: Option<&Secret>,
        nonce: Option<&str>,
        now: SystemTime,
    ) -> Result<Secret, InvalidPrivateKey> {
        let header = json!({
            "typ": PROOF_TYPE,
            "alg": self.key.algorithm().as_str(),
            "jwk": self.public,
        });
        let mut claims = json!({
            "jti": crate::random::text(),
            "htm": method.as_str(),
            "htu": target_uri(url),
            "iat": now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        });
        if let Some(members) = claims.as_object_mut() {
            members.extend(
                access_token
                    .map(|token| ("ath".to_owned(), json!(access_token_hash(token.expose())))),
            );
            members.extend(nonce.map(|nonce| ("nonce".to_owned(), json!(nonce))));
        }
        self.key.sign(&header, &claims)
    }
}
