//! The issuer's public keys (RFC 7517), and their port.
//!
//! | to … | use |
//! |---|---|
//! | fetch an issuer's keys and keep them fresh | [`RemoteKeys`], with a [`KeyPolicy`] |
//! | read an issuer's keys from a file | [`FileKeys`] |
//! | use known keys | [`JwkSet::parse`] → [`StaticKeys`] |
//! | take keys from elsewhere | your own [`KeySource`] |
//! | report whether there are keys | [`KeySource::ready`], [`RemoteKeys::status`] → [`KeyStatus`] |
//! | see the keys that were skipped | [`JwkSet::skipped`] → [`SkippedKey`] |
//!
//! A [`JwkSet`] contains only keys that may verify. Keys that are for encryption, symmetric, weak,
//! malformed or of an unknown kind are skipped when the set is parsed, and their reasons kept.
//! Only [`RemoteKeys`] opens a connection.
//!
//! ```
//! use oidc_core::keys::{JwkSet, KeySource, StaticKeys};
//!
//! let keys = StaticKeys::new(JwkSet::parse(br#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#)?);
//! assert!(keys.current().is_ok_and(|keys| keys.is_empty()), "a symmetric key is skipped");
//! # Ok::<(), oidc_core::keys::InvalidJwkSet>(())
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::foreign_text::quoted;
use crate::issuer::Issuer;
use crate::json;
use crate::misconfigured::IssuerMisconfigured;
use crate::refusal::TokenRefusal;
use crate::token::Algorithm;

mod announced;
mod fetch;
mod file;
mod jwk;
mod remote;
mod roca;

pub(crate) use announced::Announced;
pub use file::{FileKeys, KeysFileError};
pub(crate) use jwk::Jwk;
pub use remote::{KeyPolicy, KeyStatus, RemoteKeys};

/// Limit on the keys of one set; a provider has a handful.
const MAX_KEYS: usize = 100;

/// A set of keys that may verify signatures.
///
/// ```
/// let set = oidc_core::keys::JwkSet::parse(br#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#)?;
/// assert!(set.is_empty());
/// assert_eq!(set.skipped()[0].reason, "symmetric keys never verify here");
/// # Ok::<(), oidc_core::keys::InvalidJwkSet>(())
/// ```
pub struct JwkSet {
    keys: Vec<Jwk>,
    skipped: Vec<SkippedKey>,
    /// The algorithms that the issuer announces for its tokens, if known with the keys.
    announced: Announced,
    digest: [u8; 32],
    generation: u64,
}

/// A key of the document that is not used, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its `kid`, cut and escaped.
    pub kid: Option<String>,
    /// Reason it is not used.
    pub reason: &'static str,
}

/// The document is not a valid JWK Set.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidJwkSet {
    /// Not strict JSON, or not an object.
    #[error("the key set cannot be read: {reason}")]
    Malformed {
        /// The parser's error.
        reason: String,
    },
    /// RFC 7517 §5 requires an array `keys`.
    #[error("the key set has no array `keys`")]
    NoKeys,
    /// More keys than the limit.
    #[error("the key set holds {found} keys, more than {limit}")]
    TooMany {
        /// Number of keys in the document.
        found: usize,
        /// The limit.
        limit: usize,
    },
}

impl JwkSet {
    /// Reads a JWK Set document; keys that cannot be used are skipped.
    ///
    /// One `kid` may name several keys that are for different algorithms (RFC 7517 §4.5). Two different keys under one `kid`
    /// that fit the same algorithm are both skipped, because the `kid` is ambiguous.
    ///
    /// # Errors
    ///
    /// [`InvalidJwkSet`] if the document is no JWK Set (RFC 7517 §5), or has too many keys. A key
    /// that cannot be used is no error: [`JwkSet::skipped`] names the reason.
    pub fn parse(document: &[u8]) -> Result<Self, InvalidJwkSet> {
        let members =
            json::parse_object(document).map_err(|reason| InvalidJwkSet::Malformed { reason })?;
        let Some(Value::Array(entries)) = members.get("keys") else {
            return Err(InvalidJwkSet::NoKeys);
        };
        if entries.len() > MAX_KEYS {
            return Err(InvalidJwkSet::TooMany { found: entries.len(), limit: MAX_KEYS });
        }
        let mut keys: Vec<Jwk> = Vec::new();
        let mut skipped = Vec::new();
        for entry in entries {
            let empty = Map::new();
            let entry = entry.as_object().unwrap_or(&empty);
            match Jwk::parse(entry) {
                Ok(key) if keys.contains(&key) => {}
                Ok(key) => keys.push(key),
                Err(reason) => {
                    let kid = entry.get("kid").and_then(Value::as_str).map(quoted);
                    skipped.push(SkippedKey { kid, reason });
                }
            }
        }
        let (keys, ambiguous) = split_ambiguous(keys);
        let reason = "another, different key has the same kid and fits the same algorithm";
        let named = |key: &Jwk| SkippedKey { kid: key.id().map(quoted), reason };
        skipped.extend(ambiguous.iter().map(named));
        Ok(Self::of(keys, skipped))
    }

    fn of(keys: Vec<Jwk>, skipped: Vec<SkippedKey>) -> Self {
        static GENERATIONS: AtomicU64 = AtomicU64::new(1);
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        let mut prints: Vec<Vec<u8>> = keys.iter().map(Jwk::print).collect();
        prints.sort();
        for print in &prints {
            context.update(print);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        let generation = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        Self { keys, skipped, announced: Announced::default(), digest, generation }
    }

    /// Number of usable keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key can be used.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// A number unique to this set in this process. A result verified with one generation is not
    /// valid under another.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The `kid`s of the usable keys.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(Jwk::id)
    }

    /// The keys that are not used, with reasons.
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// Whether a usable key has this `kid`.
    pub fn contains(&self, kid: &str) -> bool {
        self.kids().any(|id| id == kid)
    }

    /// The usable keys as JWKs, with their public members only.
    #[cfg(feature = "openidconnect")]
    pub(crate) fn to_jwks(&self) -> impl Iterator<Item = Map<String, Value>> {
        self.keys.iter().map(Jwk::to_members)
    }

    /// Whether the keys are the same; announced algorithms are ignored.
    fn same_keys(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// Whether both sets give the same results for every token.
    fn judges_alike(&self, other: &Self) -> bool {
        self.same_keys(other) && self.announced == other.announced
    }

    /// The same keys with these announced algorithms.
    fn announcing(self, announced: Announced) -> Self {
        Self { announced, ..self }
    }

    /// Whether the set has a key that fits none of the announced algorithms.
    fn exceeds(&self, announced: &Announced) -> bool {
        let fits =
            |key: &Jwk| Algorithm::ALL.iter().any(|one| key.fits(*one) && announced.allows(*one));
        !self.keys.iter().all(fits)
    }

    /// Checks that the issuer announces `algorithm` for its tokens, if it announces any.
    pub(crate) fn check_announced(
        &self,
        algorithm: Algorithm,
        issuer: &Issuer,
    ) -> Result<(), TokenRefusal> {
        self.announced.check(algorithm, issuer)
    }

    /// The key for a signature with `algorithm`: the fitting one of this `kid`; without `kid` the
    /// only one that fits, and none when several do.
    pub(crate) fn select(&self, algorithm: Algorithm, kid: Option<&str>) -> Option<&Jwk> {
        // A set has a handful of keys: a linear search is faster than a hash.
        let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm));
        match kid {
            Some(kid) => fitting.find(|key| key.id() == Some(kid)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }
}

/// Keys that `kid` and algorithm tell apart, and those that they do not.
fn split_ambiguous(keys: Vec<Jwk>) -> (Vec<Jwk>, Vec<Jwk>) {
    let confused: Vec<bool> = keys
        .iter()
        .enumerate()
        .map(|(at, key)| {
            let others = keys.iter().enumerate().filter(|(other, _)| *other != at);
            others.into_iter().any(|(_, other)| key.is_confused_with(other))
        })
        .collect();
    let (clear, ambiguous): (Vec<_>, Vec<_>) =
        keys.into_iter().zip(confused).partition(|(_, confused)| !confused);
    let without_mark = |keys: Vec<(Jwk, bool)>| keys.into_iter().map(|(key, _)| key).collect();
    (without_mark(clear), without_mark(ambiguous))
}

impl fmt::Debug for JwkSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwkSet")
            .field("generation", &self.generation)
            .field("keys", &self.keys)
            .field("skipped", &self.skipped)
            .finish()
    }
}

/// There are no keys to verify with.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the issuer's keys are not available: {reason}")]
#[non_exhaustive]
pub struct KeysUnavailable {
    /// Reason there are none.
    pub reason: String,
    /// Wait until the next attempt.
    pub retry_after: Option<Duration>,
    /// The mistake that causes it, if waiting does not help.
    pub mistake: Option<Box<IssuerMisconfigured>>,
}

impl KeysUnavailable {
    /// There are no keys now, for this reason.
    pub fn new(reason: impl Into<String>, retry_after: Option<Duration>) -> Self {
        Self { reason: reason.into(), retry_after, mistake: None }
    }
}

impl From<KeysUnavailable> for TokenRefusal {
    fn from(error: KeysUnavailable) -> Self {
        match error.mistake {
            Some(mistake) => Self::IssuerMisconfigured(mistake),
            None => Self::KeysUnavailable { reason: error.reason, retry_after: error.retry_after },
        }
    }
}

/// Port: source of the issuer's keys.
#[async_trait]
pub trait KeySource: Send + Sync + fmt::Debug {
    /// The keys known now. Never waits.
    ///
    /// # Errors
    ///
    /// [`KeysUnavailable`] when none are known yet, or the known ones are too old.
    fn current(&self) -> Result<Arc<JwkSet>, KeysUnavailable>;

    /// The keys after asking the issuer, if a fetch is due and allowed: there are no keys, or the
    /// current set has no key with the token's `kid`.
    ///
    /// # Errors
    ///
    /// [`KeysUnavailable`] when there are none after that.
    async fn refreshed(&self, unknown_kid: Option<&str>) -> Result<Arc<JwkSet>, KeysUnavailable>;

    /// The same for a token that this program fetched from the issuer itself. Tokens that strangers
    /// present must not use up the fetches that it needs.
    ///
    /// # Errors
    ///
    /// [`KeysUnavailable`] when there are none after that, or the issuer could not be asked for this
    /// one.
    async fn refreshed_for_own(
        &self,
        unknown_kid: Option<&str>,
    ) -> Result<Arc<JwkSet>, KeysUnavailable> {
        self.refreshed(unknown_kid).await
    }

    /// The keys after asking the issuer, if a fetch is allowed, because a token that names no key does
    /// not fit the one of the set with this generation: an issuer whose keys have no `kid` replaces them
    /// without a trace in its tokens. Unless overridden, the keys known now.
    ///
    /// # Errors
    ///
    /// [`KeysUnavailable`] when there are none after that.
    async fn refreshed_after_mismatch(
        &self,
        generation: u64,
    ) -> Result<Arc<JwkSet>, KeysUnavailable> {
        let _ = generation;
        self.current()
    }

    /// [`JwkSet::generation`] of the keys known now; `None` when there are none. Called at each use
    /// of a remembered token.
    fn generation(&self) -> Option<u64> {
        self.current().ok().map(|keys| keys.generation())
    }

    /// Whether tokens can be verified now. An issuer that withdrew all its keys is ready: each of
    /// its tokens is refused.
    fn ready(&self) -> bool {
        self.current().is_ok()
    }
}

/// Fixed keys that never change.
///
/// ```
/// use oidc_core::keys::{JwkSet, KeySource, StaticKeys};
/// let keys = StaticKeys::new(JwkSet::parse(br#"{"keys":[]}"#)?);
/// assert!(keys.ready());
/// # Ok::<(), oidc_core::keys::InvalidJwkSet>(())
/// ```
#[derive(Clone, Debug)]
pub struct StaticKeys {
    keys: Arc<JwkSet>,
}

impl StaticKeys {
    /// Serves `keys` permanently.
    pub fn new(keys: JwkSet) -> Self {
        Self { keys: Arc::new(keys) }
    }
}

#[async_trait]
impl KeySource for StaticKeys {
    fn current(&self) -> Result<Arc<JwkSet>, KeysUnavailable> {
        Ok(Arc::clone(&self.keys))
    }

    async fn refreshed(&self, _unknown_kid: Option<&str>) -> Result<Arc<JwkSet>, KeysUnavailable> {
        self.current()
    }
}
