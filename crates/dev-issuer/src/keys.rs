//! The provider's keys: the one that signs, those that signed before, and what stands beside them in a
//! real JWKS (an encryption key, a key of a kind few readers know).
//!
//! Keys are made when the provider starts and stay in this process; none is written anywhere.

mod rsa;

use std::fmt;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde_json::{Value, json};

use crate::keys::rsa::RsaKey;
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

/// A key that signs or has signed, under its name.
pub(crate) struct SigningKey {
    pub(crate) id: String,
    rsa: Arc<RsaKey>,
}

pub(crate) struct Keys {
    ring: Shared<Ring>,
    stranger: Shared<Option<Arc<SigningKey>>>,
    encryption: &'static SigningKey,
    refresh_secret: [u8; 32],
}

struct Ring {
    current: Arc<SigningKey>,
    old: Vec<Arc<SigningKey>>,
}

/// Nothing is ever encrypted for it, so one serves all providers of a process.
static ENCRYPTION: OnceLock<SigningKey> = OnceLock::new();

impl Keys {
    pub(crate) async fn obtain() -> Result<Self, KeyError> {
        let encryption = tokio::task::spawn_blocking(encryption_key);
        let current = Arc::new(SigningKey::obtain_aside().await?);
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
        let fresh = Arc::new(SigningKey::obtain_aside().await?);
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
        let key = Arc::new(SigningKey::obtain()?);
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
        let mut keys = vec![self.encryption.to_jwk("enc", "RSA-OAEP"), post_quantum_jwk()];
        let signing = ring.old.iter().chain([&ring.current]);
        keys.extend(signing.map(|key| key.to_jwk("sig", "RS256")));
        json!({ "keys": keys })
    }
}

/// Only keys this provider never took out of use itself: what it removed must not come back in it.
impl Drop for Keys {
    fn drop(&mut self) {
        let ring = self.ring.lock();
        let stranger = self.stranger.lock();
        for key in std::iter::once(&ring.current).chain(&ring.old).chain(stranger.as_ref()) {
            Arc::clone(&key.rsa).leave_behind();
        }
    }
}

impl SigningKey {
    async fn obtain_aside() -> Result<Self, KeyError> {
        tokio::task::spawn_blocking(Self::obtain).await.map_err(KeyError::Interrupted)?
    }

    fn obtain() -> Result<Self, KeyError> {
        let id = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        Ok(Self { id, rsa: RsaKey::obtain()? })
    }

    pub(crate) fn signs(&self) -> &EncodingKey {
        &self.rsa.signs
    }

    pub(crate) fn verifies(&self) -> &DecodingKey {
        &self.rsa.verifies
    }

    pub(crate) fn public_pem(&self) -> &str {
        &self.rsa.public_pem
    }

    fn to_jwk(&self, used_for: &str, algorithm: &str) -> Value {
        json!({
            "kid": self.id, "kty": "RSA", "alg": algorithm, "use": used_for,
            "n": self.rsa.modulus, "e": self.rsa.exponent,
        })
    }
}

fn encryption_key() -> Result<&'static SigningKey, KeyError> {
    if let Some(key) = ENCRYPTION.get() {
        return Ok(key);
    }
    let key = SigningKey::obtain()?;
    Ok(ENCRYPTION.get_or_init(|| key))
}

/// A key of a kind that most readers do not know yet, and must skip.
fn post_quantum_jwk() -> Value {
    json!({
        "kid": "dev-ml-dsa", "kty": "AKP", "alg": "ML-DSA-44", "use": "sig",
        "pub": URL_SAFE_NO_PAD.encode([0x5a_u8; 1312]),
    })
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
