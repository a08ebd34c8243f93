//! The provider's keys: the one that signs, those that signed before, and what stands beside them in a
//! real JWKS (an encryption key, a key of a kind few readers know).
//!
//! Keys are made when the provider starts and stay in this process; none is written anywhere.

mod elliptic;
mod rsa;

use std::fmt;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde_json::{Value, json};

use crate::algorithm::Algorithm;
use crate::keys::elliptic::EllipticKey;
use crate::keys::rsa::RsaKey;
use crate::shared::Shared;

/// A key could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The generator gave up.
    #[error("cannot generate a key")]
    Generation(#[source] aws_lc_rs::error::Unspecified),
    /// The new key could not be read back.
    #[error("cannot read the key that was just generated")]
    Encoding(#[source] jsonwebtoken::errors::Error),
    /// The thread that made it died.
    #[error("the task that generates keys ended early")]
    Interrupted(#[source] tokio::task::JoinError),
}

/// A key that signs or has signed, under its name.
pub(crate) struct SigningKey {
    pub(crate) id: String,
    algorithm: Algorithm,
    material: Material,
}

enum Material {
    Rsa(Arc<RsaKey>),
    Elliptic(EllipticKey),
}

pub(crate) struct Keys {
    ring: Shared<Ring>,
    stranger: Shared<Option<Arc<SigningKey>>>,
    encryption: &'static SigningKey,
    algorithm: Algorithm,
    refresh_secret: [u8; 32],
}

struct Ring {
    current: Arc<SigningKey>,
    old: Vec<Arc<SigningKey>>,
}

/// Nothing is ever encrypted for it, so one serves all providers of a process.
static ENCRYPTION: OnceLock<SigningKey> = OnceLock::new();

impl Keys {
    /// A ring with one key for this algorithm.
    pub(crate) async fn obtain(algorithm: Algorithm) -> Result<Self, KeyError> {
        let encryption = tokio::task::spawn_blocking(encryption_key);
        let current = Arc::new(SigningKey::obtain_aside(algorithm).await?);
        Ok(Self {
            ring: Shared::new(Ring { current, old: Vec::new() }),
            stranger: Shared::new(None),
            encryption: encryption.await.map_err(KeyError::Interrupted)??,
            algorithm,
            refresh_secret: rand::random(),
        })
    }

    /// What tokens are signed with.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
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
        let fresh = Arc::new(SigningKey::obtain_aside(self.algorithm).await?);
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
        let key = Arc::new(SigningKey::obtain(self.algorithm)?);
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
        let mut keys =
            vec![self.encryption.to_jwk("enc", "RSA-OAEP".to_owned()), post_quantum_jwk()];
        let signing = ring.old.iter().chain([&ring.current]);
        keys.extend(signing.map(|key| key.to_jwk("sig", key.algorithm.to_string())));
        json!({ "keys": keys })
    }
}

/// Only keys this provider never took out of use itself: what it removed must not come back in it.
impl Drop for Keys {
    fn drop(&mut self) {
        let ring = self.ring.lock();
        let stranger = self.stranger.lock();
        for key in std::iter::once(&ring.current).chain(&ring.old).chain(stranger.as_ref()) {
            if let Material::Rsa(rsa) = &key.material {
                Arc::clone(rsa).leave_behind();
            }
        }
    }
}

impl SigningKey {
    async fn obtain_aside(algorithm: Algorithm) -> Result<Self, KeyError> {
        let obtained = tokio::task::spawn_blocking(move || Self::obtain(algorithm));
        obtained.await.map_err(KeyError::Interrupted)?
    }

    fn obtain(algorithm: Algorithm) -> Result<Self, KeyError> {
        let id = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let material = match EllipticKey::generate(algorithm) {
            Some(key) => Material::Elliptic(key?),
            None => Material::Rsa(RsaKey::obtain()?),
        };
        Ok(Self { id, algorithm, material })
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn signs(&self) -> &EncodingKey {
        match &self.material {
            Material::Rsa(key) => &key.signs,
            Material::Elliptic(key) => &key.signs,
        }
    }

    pub(crate) fn verifies(&self) -> &DecodingKey {
        match &self.material {
            Material::Rsa(key) => &key.verifies,
            Material::Elliptic(key) => &key.verifies,
        }
    }

    pub(crate) fn public_pem(&self) -> &str {
        match &self.material {
            Material::Rsa(key) => &key.public_pem,
            Material::Elliptic(key) => &key.public_pem,
        }
    }

    fn to_jwk(&self, used_for: &str, algorithm: String) -> Value {
        let mut jwk = match &self.material {
            Material::Rsa(key) => json!({ "kty": "RSA", "n": key.modulus, "e": key.exponent }),
            Material::Elliptic(key) => key.jwk.clone(),
        };
        if let Some(members) = jwk.as_object_mut() {
            members.insert("kid".to_owned(), json!(self.id));
            members.insert("alg".to_owned(), json!(algorithm));
            members.insert("use".to_owned(), json!(used_for));
        }
        jwk
    }
}

fn encryption_key() -> Result<&'static SigningKey, KeyError> {
    if let Some(key) = ENCRYPTION.get() {
        return Ok(key);
    }
    let key = SigningKey::obtain(Algorithm::RS256)?;
    Ok(ENCRYPTION.get_or_init(|| key))
}

/// A key of a kind that most readers do not know yet, and must skip.
fn post_quantum_jwk() -> Value {
    json!({
        "kid": "dev-ml-dsa", "kty": "AKP", "alg": "ML-DSA-44", "use": "sig",
        "pub": URL_SAFE_NO_PAD.encode([0x5a_u8; 1312]),
    })
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
