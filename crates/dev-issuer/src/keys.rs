//! The provider's keys: the one that signs, those that signed before, and what stands beside them in a
//! real JWKS (an encryption key, a key of a kind few readers know).
//!
//! Keys are made when the provider starts and live as long as it does; none is written anywhere.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde_json::{Value, json};

use crate::shared::Shared;

/// A key could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The generator gave up.
    #[error("cannot generate an RSA key")]
    Generation(#[source] aws_lc_rs::error::Unspecified),
    /// The new key could not be read back.
    #[error("cannot read the RSA key that was just generated")]
    Encoding(#[source] jsonwebtoken::errors::Error),
    /// The thread that made it died.
    #[error("the task that generates keys ended early")]
    Interrupted(#[source] tokio::task::JoinError),
}

/// An RSA key that signs or has signed.
pub(crate) struct SigningKey {
    pub(crate) id: String,
    pub(crate) signs: EncodingKey,
    pub(crate) verifies: DecodingKey,
    pub(crate) public_pem: String,
    public: PublicParts,
}

#[derive(Clone)]
struct PublicParts {
    modulus: String,
    exponent: String,
}

pub(crate) struct Keys {
    ring: Shared<Ring>,
    stranger: Shared<Option<Arc<SigningKey>>>,
    encryption: &'static EncryptionKey,
    refresh_secret: [u8; 32],
}

struct Ring {
    current: Arc<SigningKey>,
    old: Vec<Arc<SigningKey>>,
}

struct EncryptionKey {
    id: String,
    public: PublicParts,
}

/// Nothing is ever decrypted with it, so one serves all providers of a process.
static ENCRYPTION: OnceLock<EncryptionKey> = OnceLock::new();

impl Keys {
    pub(crate) async fn generate() -> Result<Self, KeyError> {
        let encryption = tokio::task::spawn_blocking(EncryptionKey::shared);
        let current = Arc::new(SigningKey::generate_aside().await?);
        Ok(Self {
            ring: Shared::new(Ring { current, old: Vec::new() }),
            stranger: Shared::new(None),
            encryption: encryption.await.map_err(KeyError::Interrupted)??,
            refresh_secret: rand::random(),
        })
    }

    pub(crate) fn current(&self) -> Arc<SigningKey> {
        Arc::clone(&self.ring.lock().current)
    }

    /// The published key with this `kid`.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<SigningKey>> {
        let ring = self.ring.lock();
        std::iter::once(&ring.current).chain(&ring.old).find(|key| key.id == id).cloned()
    }

    pub(crate) async fn rotate(&self) -> Result<String, KeyError> {
        let fresh = Arc::new(SigningKey::generate_aside().await?);
        let id = fresh.id.clone();
        let mut ring = self.ring.lock();
        let former = std::mem::replace(&mut ring.current, fresh);
        ring.old.push(former);
        Ok(id)
    }

    pub(crate) fn remove_old(&self) {
        self.ring.lock().old.clear();
    }

    /// A key that is never published: it signs what no verifier may accept.
    pub(crate) fn stranger(&self) -> Result<Arc<SigningKey>, KeyError> {
        let mut stranger = self.stranger.lock();
        if let Some(key) = stranger.as_ref() {
            return Ok(Arc::clone(key));
        }
        let key = Arc::new(SigningKey::generate()?);
        *stranger = Some(Arc::clone(&key));
        Ok(key)
    }

    /// What refresh tokens are signed with (HS512, as Keycloak's): nobody else reads them.
    pub(crate) fn refresh_secret(&self) -> &[u8] {
        &self.refresh_secret
    }

    /// The JWKS ([RFC 7517 §5](https://www.rfc-editor.org/rfc/rfc7517#section-5)).
    pub(crate) fn jwk_set(&self) -> Value {
        let ring = self.ring.lock();
        let mut keys = vec![self.encryption.to_jwk(), post_quantum_jwk()];
        keys.extend(ring.old.iter().chain([&ring.current]).map(|key| key.to_jwk()));
        json!({ "keys": keys })
    }
}

impl SigningKey {
    async fn generate_aside() -> Result<Self, KeyError> {
        tokio::task::spawn_blocking(Self::generate).await.map_err(KeyError::Interrupted)?
    }

    fn generate() -> Result<Self, KeyError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(KeyError::Generation)?;
        let private = pair.as_der().map_err(KeyError::Generation)?;
        let public_der = pair.public_key().as_der().map_err(KeyError::Generation)?;
        let public = PublicParts::of(&pair);
        let private_pem = pem("PRIVATE KEY", private.as_ref());
        Ok(Self {
            id: key_id(),
            signs: EncodingKey::from_rsa_pem(private_pem.as_bytes()).map_err(KeyError::Encoding)?,
            verifies: DecodingKey::from_rsa_components(&public.modulus, &public.exponent)
                .map_err(KeyError::Encoding)?,
            public_pem: pem("PUBLIC KEY", public_der.as_ref()),
            public,
        })
    }

    fn to_jwk(&self) -> Value {
        json!({
            "kid": self.id, "kty": "RSA", "alg": "RS256", "use": "sig",
            "n": self.public.modulus, "e": self.public.exponent,
        })
    }
}

impl EncryptionKey {
    fn shared() -> Result<&'static Self, KeyError> {
        if let Some(key) = ENCRYPTION.get() {
            return Ok(key);
        }
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(KeyError::Generation)?;
        let key = Self { id: key_id(), public: PublicParts::of(&pair) };
        Ok(ENCRYPTION.get_or_init(|| key))
    }

    fn to_jwk(&self) -> Value {
        json!({
            "kid": self.id, "kty": "RSA", "alg": "RSA-OAEP", "use": "enc",
            "n": self.public.modulus, "e": self.public.exponent,
        })
    }
}

impl PublicParts {
    fn of(pair: &KeyPair) -> Self {
        let public = pair.public_key();
        Self {
            modulus: URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero()),
            exponent: URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero()),
        }
    }
}

/// A key of a kind that most readers do not know yet, and must skip.
fn post_quantum_jwk() -> Value {
    json!({
        "kid": "dev-ml-dsa", "kty": "AKP", "alg": "ML-DSA-44", "use": "sig",
        "pub": URL_SAFE_NO_PAD.encode([0x5a_u8; 1312]),
    })
}

fn key_id() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text + &format!("-----END {label}-----\n")
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("current", &self.current().id).finish_non_exhaustive()
    }
}
