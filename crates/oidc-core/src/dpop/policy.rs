//! Limits for checking proofs.

use std::time::Duration;

use super::replay::LocalReplayMemory;
use super::server_nonce::NonceIssuer;
use crate::token::Algorithm;

/// Limits for checking DPoP proofs. Every rule of RFC 9449 §4.3 always applies.
///
/// ```
/// use std::time::Duration;
/// use oidc_core::dpop::DpopPolicy;
/// use oidc_core::token::Algorithm;
///
/// let policy = DpopPolicy::default()
///     .with_algorithms([Algorithm::ES256, Algorithm::EdDSA])
///     .with_max_age(Duration::from_secs(30))
///     .with_nonces(Duration::from_secs(60));
/// assert!(policy.asks_for_nonces());
/// ```
#[derive(Clone, Debug)]
pub struct DpopPolicy {
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) max_age: Duration,
    pub(super) leeway: Duration,
    memory: usize,
    memory_per_key: Option<usize>,
    pub(super) nonces: Option<NonceIssuer>,
}

impl Default for DpopPolicy {
    fn default() -> Self {
        Self {
            algorithms: Algorithm::ALL.to_vec(),
            max_age: Duration::from_secs(60),
            leeway: Duration::from_secs(10),
            memory: 100_000,
            memory_per_key: None,
            nonces: None,
        }
    }
}

impl DpopPolicy {
    /// Accepts proofs signed with these algorithms only; any of [`Algorithm::ALL`] unless set, all
    /// of them asymmetric.
    #[must_use]
    pub fn with_algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Sets the maximum age of a proof by its `iat`; 60 s unless set, 5 min at most.
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age.min(Duration::from_secs(300));
        self
    }

    /// Sets the allowed clock difference; 10 s unless set, 1 min at most.
    #[must_use]
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway.min(Duration::from_secs(60));
        self
    }

    /// Number of proofs this process remembers, to refuse a second use: 100 000 unless set, about
    /// 25 MB. A proof is kept until it expires. When the memory is full, new proofs are refused for
    /// now, so set it above the number that arrive within the accepted age.
    #[must_use]
    pub fn with_memory(mut self, proofs: usize) -> Self {
        self.memory = proofs.max(1);
        self
    }

    /// Number of remembered proofs per key, so that a client can use up its own share only; a tenth
    /// of the memory unless set.
    #[must_use]
    pub fn with_memory_per_key(mut self, proofs: usize) -> Self {
        self.memory_per_key = Some(proofs.max(1));
        self
    }

    /// Requires a nonce of this server in each proof (RFC 9449 §9), new after `lifetime` (1 s to 5
    /// min); the previous one is still accepted. The nonce then replaces `iat`, so that a client's
    /// clock does not matter. The key that makes the nonces belongs to this process.
    #[must_use]
    pub fn with_nonces(mut self, lifetime: Duration) -> Self {
        self.nonces = Some(NonceIssuer::new(lifetime, &rand::random()));
        self
    }

    /// Like [`DpopPolicy::with_nonces`], with a random key that all processes behind one address
    /// share, so that each accepts the nonces of the others.
    #[must_use]
    pub fn with_shared_nonces(mut self, lifetime: Duration, key: &[u8; 32]) -> Self {
        self.nonces = Some(NonceIssuer::new(lifetime, key));
        self
    }

    /// Whether proofs need a nonce of this server.
    pub fn asks_for_nonces(&self) -> bool {
        self.nonces.is_some()
    }

    /// The memory of this process, sized by the policy.
    pub(crate) fn local_memory(&self) -> LocalReplayMemory {
        let memory = LocalReplayMemory::new(self.memory);
        match self.memory_per_key {
            Some(proofs) => memory.with_proofs_per_key(proofs),
            None => memory,
        }
    }

    /// Longest time a proof can be valid.
    pub(super) fn lifetime(&self) -> Duration {
        let by_time = self.max_age + 2 * self.leeway;
        self.nonces.as_ref().map_or(by_time, |nonces| by_time.max(2 * nonces.lifetime()))
    }
}
