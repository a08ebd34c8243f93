//! Used proofs, so that none is accepted twice (RFC 9449 §11.1): the port, and the memory of this
//! process.
//!
//! Only a proof with valid signature, token and binding is remembered. One key can only use up its
//! own share, and no unexpired proof is dropped to make room: when the memory is full, the new
//! proof is refused for now.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::digest::{Context, SHA256};
use thiserror::Error;
use tokio::time::Instant;

/// Limit on lifetimes, so that a sum of times never overflows.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A valid proof in the form in which it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedProof {
    jkt: String,
    digest: [u8; 32],
    lifetime: Duration,
}

impl UsedProof {
    /// The proof `jti` by the key with the thumbprint `jkt`, valid for at most `lifetime` from now.
    pub fn new(jkt: impl Into<String>, jti: &str, lifetime: Duration) -> Self {
        let jkt = jkt.into();
        let mut context = Context::new(&SHA256);
        // The length, so that no two different pairs give the same input.
        context.update(&(jkt.len() as u64).to_be_bytes());
        context.update(jkt.as_bytes());
        context.update(jti.as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        Self { jkt, digest, lifetime }
    }

    /// The thumbprint of the key (RFC 7638), base64url. The limit per key uses it.
    pub fn jkt(&self) -> &str {
        &self.jkt
    }

    /// SHA-256 of key and `jti`, different for every proof.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Shortest time to remember it. After this the proof has expired.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }
}

/// Whether a proof was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofUse {
    /// It was not used before; it is remembered now.
    First,
    /// It was used before.
    Repeated,
}

/// The proof cannot be checked for a second use or remembered now.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the proof cannot be remembered: {reason}")]
pub struct ReplayMemoryUnavailable {
    /// Reason.
    pub reason: String,
    /// Wait before another attempt.
    pub retry_after: Option<Duration>,
}

/// Port: the memory for used proofs. Either the memory of this process ([`LocalReplayMemory`]), or
/// one that several processes share.
///
/// `testing::replay_memory_conforms` (feature `test-util`) checks an adapter.
#[async_trait]
pub trait ReplayMemory: Send + Sync + fmt::Debug {
    /// Remembers a proof for [`UsedProof::lifetime`], by a monotonic clock. If several callers
    /// remember the same proof, even concurrently, exactly one gets [`ProofUse::First`].
    ///
    /// # Errors
    /// [`ReplayMemoryUnavailable`] when the memory cannot look up or store the proof. The proof is
    /// then refused, and no unexpired proof is dropped for it.
    async fn remember(&self, proof: &UsedProof) -> Result<ProofUse, ReplayMemoryUnavailable>;
}

/// Remembers used proofs in this process. Clones share the memory.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), oidc_core::dpop::ReplayMemoryUnavailable> {
/// use std::time::Duration;
/// use oidc_core::dpop::{LocalReplayMemory, ProofUse, ReplayMemory, UsedProof};
///
/// let memory = LocalReplayMemory::new(100_000).with_proofs_per_key(10_000);
/// let jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
/// let proof = UsedProof::new(jkt, "e1j3V_bKic8", Duration::from_secs(80));
/// assert_eq!(memory.remember(&proof).await?, ProofUse::First);
/// assert_eq!(memory.remember(&proof).await?, ProofUse::Repeated);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct LocalReplayMemory {
    proofs: usize,
    per_key: usize,
    used: Arc<Mutex<Used>>,
}

#[derive(Default)]
struct Used {
    proofs: HashSet<[u8; 32]>,
    /// Number of proofs per key.
    of_key: HashMap<Arc<str>, usize>,
    /// In order of expiry.
    ends: BTreeSet<(Instant, [u8; 32], Arc<str>)>,
}

impl LocalReplayMemory {
    /// Room for this many proofs, a tenth of it for one key.
    pub fn new(proofs: usize) -> Self {
        let proofs = proofs.max(1);
        Self { proofs, per_key: (proofs / 10).max(1), used: Arc::default() }
    }

    /// Sets the limit of remembered proofs per key.
    #[must_use]
    pub fn with_proofs_per_key(self, proofs: usize) -> Self {
        Self { per_key: proofs.clamp(1, self.proofs), ..self }
    }

    /// Number of remembered proofs.
    pub fn len(&self) -> usize {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).proofs.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn remembered(
        &self,
        proof: &UsedProof,
        now: Instant,
    ) -> Result<ProofUse, ReplayMemoryUnavailable> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.forget_ended(now);
        if used.proofs.contains(&proof.digest) {
            return Ok(ProofUse::Repeated);
        }
        let full = |reason: String, retry_after| {
            Err(ReplayMemoryUnavailable { reason, retry_after: Some(retry_after) })
        };
        if used.of_key.get(proof.jkt.as_str()).is_some_and(|count| *count >= self.per_key) {
            let reason = format!("{} proofs of this key still count", self.per_key);
            return full(reason, Duration::from_secs(1));
        }
        if used.proofs.len() >= self.proofs {
            let reason = format!("{} proofs of all keys still count", self.proofs);
            return full(reason, used.room_in(now));
        }
        used.insert(proof, now);
        Ok(ProofUse::First)
    }
}

impl Used {
    fn insert(&mut self, proof: &UsedProof, now: Instant) {
        let jkt = match self.of_key.get_key_value(proof.jkt.as_str()) {
            Some((jkt, _)) => Arc::clone(jkt),
            None => Arc::from(proof.jkt.as_str()),
        };
        *self.of_key.entry(Arc::clone(&jkt)).or_default() += 1;
        self.proofs.insert(proof.digest);
        self.ends.insert((now + proof.lifetime.min(LONGEST), proof.digest, jkt));
    }

    fn forget_ended(&mut self, now: Instant) {
        while self.ends.first().is_some_and(|(ends_at, ..)| *ends_at < now) {
            let Some((_, digest, jkt)) = self.ends.pop_first() else { break };
            self.proofs.remove(&digest);
            if let Some(count) = self.of_key.get_mut(&jkt) {
                *count -= 1;
                if *count == 0 {
                    self.of_key.remove(&jkt);
                }
            }
        }
    }

    /// Time until the next proof expires.
    fn room_in(&self, now: Instant) -> Duration {
        let next = self.ends.first().map(|(ends_at, ..)| ends_at.saturating_duration_since(now));
        next.unwrap_or_default() + Duration::from_secs(1)
    }
}

#[async_trait]
impl ReplayMemory for LocalReplayMemory {
    async fn remember(&self, proof: &UsedProof) -> Result<ProofUse, ReplayMemoryUnavailable> {
        self.remembered(proof, Instant::now())
    }
}

impl fmt::Debug for LocalReplayMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalReplayMemory")
            .field("proofs", &self.proofs)
            .field("per_key", &self.per_key)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "test-util"))]
mod tests;
