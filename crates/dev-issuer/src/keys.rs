//! The provider's keys: the current signing keys, the former ones, and the other keys of a real JWKS (an
//! encryption key, and a key of a kind that few readers support).
//!
//! Keys are generated when the provider starts and stay in this process; none is stored.

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

/// Reason a key could not be generated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The generator failed.
    #[error("cannot generate a key")]
    Generation(#[source] aws_lc_rs::error::Unspecified),
    /// The new key could not be parsed.
    #[error("cannot read the key that was just generated")]
    Encoding(#[source] jsonwebtoken::errors::Error),
    /// The task that generates it ended early.
    #[error("the task that generates keys ended early")]
    Interrupted(#[source] tokio::task::JoinError),
}

/// A present or former signing key, with its `kid`.
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
    unpublished: Shared<Option<Arc<SigningKey>>>,
    encryption: &'static SigningKey,
    /// The algorithm of the first of the ring's keys, and those of the others.
    algorithms: (Algorithm, Vec<Algorithm>),
    refresh_secret: [u8; 32],
}

struct Ring {
    /// Signs unless another algorithm is requested.
    first: Arc<SigningKey>,
    /// One for each other algorithm.
    others: Vec<Arc<SigningKey>>,
    /// Former keys that are still published.
    old: Vec<Arc<SigningKey>>,
    /// True if the current keys still sign, but are not published.
    withdrawn: bool,
}

/// Encryption key in the JWKS. Nothing is encrypted for it, so all providers of a process share it.
static ENCRYPTION: OnceLock<SigningKey> = OnceLock::new();

impl Keys {
    /// A ring with one key for `algorithm`, and one for each of the others.
    pub(crate) async fn obtain(
        algorithm: Algorithm,
        others: impl IntoIterator<Item = Algorithm>,
    ) -> Result<Self, KeyError> {
        let mut more = Vec::new();
        for other in others {
            if other != algorithm && !more.contains(&other) {
                more.push(other);
            }
        }
        let encryption = tokio::task::spawn_blocking(encryption_key);
        let (first, others) = SigningKey::obtain_all(algorithm, more.clone()).await?;
        Ok(Self {
            ring: Shared::new(Ring { first, others, old: Vec::new(), withdrawn: false }),
            unpublished: Shared::new(None),
            encryption: encryption.await.map_err(KeyError::Interrupted)??,
            algorithms: (algorithm, more),
            refresh_secret: rand::random(),
        })
    }

    /// Default signature algorithm of tokens.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithms.0
    }

    /// Every algorithm that there is a key for.
    pub(crate) fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        std::iter::once(self.algorithms.0).chain(self.algorithms.1.iter().copied())
    }

    pub(crate) fn current(&self) -> Arc<SigningKey> {
        Arc::clone(&self.ring.lock().first)
    }

    /// The current key for this algorithm; the first one where there is none for it.
    pub(crate) fn signing_with(&self, algorithm: Algorithm) -> Arc<SigningKey> {
        let ring = self.ring.lock();
        let own = ring.others.iter().find(|key| key.algorithm == algorithm);
        Arc::clone(own.unwrap_or(&ring.first))
    }

    /// The published key with this `kid`.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<SigningKey>> {
        self.ring.lock().published().find(|key| key.id == id).cloned()
    }

    /// The published keys.
    pub(crate) fn published(&self) -> Vec<Arc<SigningKey>> {
        self.ring.lock().published().cloned().collect()
    }

    pub(crate) async fn rotate(&self) -> Result<String, KeyError> {
        let (algorithm, more) = self.algorithms.clone();
        let (first, others) = SigningKey::obtain_all(algorithm, more).await?;
        let id = first.id.clone();
        let mut ring = self.ring.lock();
        let former = [std::mem::replace(&mut ring.first, first)]
            .into_iter()
            .chain(std::mem::replace(&mut ring.others, others));
        if !std::mem::take(&mut ring.withdrawn) {
            ring.old.extend(former);
        }
        Ok(id)
    }

    pub(crate) fn remove_old(&self) {
        self.ring.lock().old.clear();
    }

    pub(crate) fn withdraw(&self) {
        let mut ring = self.ring.lock();
        ring.old.clear();
        ring.withdrawn = true;
    }

    /// A key that is never published: it signs tokens that no verifier may accept.
    pub(crate) fn unpublished(&self) -> Result<Arc<SigningKey>, KeyError> {
        let mut unpublished = self.unpublished.lock();
        if let Some(key) = unpublished.as_ref() {
            return Ok(Arc::clone(key));
        }
        let key = Arc::new(SigningKey::obtain(self.algorithm())?);
        *unpublished = Some(Arc::clone(&key));
        Ok(key)
    }

    /// Secret that refresh tokens are signed with (HS512, as Keycloak's): only this provider reads them.
    pub(crate) fn refresh_secret(&self) -> &[u8] {
        &self.refresh_secret
    }

    /// The JWKS ([RFC 7517 §5](https://www.rfc-editor.org/rfc/rfc7517#section-5)).
    pub(crate) fn jwk_set(&self) -> Value {
        let ring = self.ring.lock();
        let mut keys =
            vec![self.encryption.to_jwk("enc", "RSA-OAEP".to_owned()), post_quantum_jwk()];
        keys.extend(ring.published().map(|key| key.to_jwk("sig", key.algorithm.to_string())));
        json!({ "keys": keys })
    }
}

impl Ring {
    fn published(&self) -> impl Iterator<Item = &Arc<SigningKey>> {
        let current = std::iter::once(&self.first).chain(&self.others);
        self.old.iter().chain(current.filter(|_| !self.withdrawn))
    }
}

/// Keeps the RSA keys for the next provider of this process, but not those that were removed or
/// withdrawn, so that these do not return.
impl Drop for Keys {
    fn drop(&mut self) {
        let ring = self.ring.lock();
        let unpublished = self.unpublished.lock();
        for key in ring.published().chain(unpublished.as_ref()) {
            if let Material::Rsa(rsa) = &key.material {
                Arc::clone(rsa).reuse_later();
            }
        }
    }
}

impl SigningKey {
    /// A key for `algorithm`, and one for each of `others`, generated on a blocking thread.
    async fn obtain_all(
        algorithm: Algorithm,
        others: Vec<Algorithm>,
    ) -> Result<(Arc<Self>, Vec<Arc<Self>>), KeyError> {
        let key = |algorithm| Self::obtain(algorithm).map(Arc::new);
        let obtained = tokio::task::spawn_blocking(move || {
            Ok((key(algorithm)?, others.into_iter().map(key).collect::<Result<_, _>>()?))
        });
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

/// A key of a kind that most readers do not support yet, and must skip.
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
