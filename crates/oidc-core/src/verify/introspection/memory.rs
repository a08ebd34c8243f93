//! Answers remembered by the digest of their token: bounded by bytes, each with its own lifetime,
//! and fetched once for all concurrent callers.
//!
//! Valid and invalid tokens have separate memories. A flood of invalid tokens, which cost nothing
//! to make, therefore evicts no valid ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest;
use moka::policy::EvictionPolicy;
use tokio::time::Instant;

use crate::refusal::TokenRefusal;
use crate::token::AccessToken;
use crate::verify::{CacheStats, Verified};

/// Limit on lifetimes, so that a sum of times never overflows.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// SHA-256 of a token, so that the memory of this process contains no token.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Place([u8; 32]);

impl Place {
    pub(super) fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }
}

/// The verdict on a token, and its lifetime.
#[derive(Clone)]
pub(super) struct Verdict {
    pub(super) outcome: Result<Arc<Verified<AccessToken>>, TokenRefusal>,
    until: Instant,
    /// Generation of the keys that signed the answer; `None` if answers are unsigned.
    generation: Option<u64>,
    weight: u32,
}

impl Verdict {
    pub(super) fn new(
        outcome: Result<Arc<Verified<AccessToken>>, TokenRefusal>,
        age: Duration,
        token_bytes: usize,
    ) -> Self {
        // Parsed JSON takes about four times its text. An opaque token's text is not JSON.
        let text = match &outcome {
            Ok(verified) => token_bytes.max(256 + 32 * verified.iter().len()),
            Err(_) => 0,
        };
        let weight = u32::try_from(512 + 4 * text).unwrap_or(u32::MAX);
        Self { outcome, until: Instant::now() + age.min(LONGEST), generation: None, weight }
    }

    /// Depends on keys of this generation, and expires with them.
    #[must_use]
    pub(super) fn signed(self, generation: Option<u64>) -> Self {
        Self { generation, ..self }
    }

    fn is_over(&self, generation: Option<u64>) -> bool {
        self.until <= Instant::now() || self.generation.is_some() && self.generation != generation
    }
}

/// The memory for invalid tokens is this fraction of that for valid ones.
const REFUSED_PART: u64 = 4;

/// Clones share the memory.
#[derive(Clone)]
pub(super) struct Memory {
    accepted: moka::sync::Cache<Place, Verdict>,
    /// Tokens under introspection, and invalid ones.
    asked: moka::future::Cache<Place, Verdict>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Memory {
    pub(super) fn new(max_bytes: u64) -> Self {
        let accepted = moka::sync::Cache::builder()
            .max_capacity(max_bytes)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|_, verdict: &Verdict| verdict.weight)
            .build();
        let asked = moka::future::Cache::builder()
            .max_capacity((max_bytes / REFUSED_PART).max(1))
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|_, verdict: &Verdict| verdict.weight)
            .build();
        Self { accepted, asked, counts: Arc::default() }
    }

    /// The verdict at `place`, from memory or from `ask`, which runs once for all concurrent
    /// callers; and whether it came without asking. `generation` is that of the current keys for
    /// signed answers.
    pub(super) async fn verdict(
        &self,
        place: Place,
        generation: Option<u64>,
        ask: impl Future<Output = Verdict>,
    ) -> (Verdict, bool) {
        if let Some(verdict) = self.accepted.get(&place) {
            if !verdict.is_over(generation) {
                self.counts.hits.fetch_add(1, Ordering::Relaxed);
                return (verdict, true);
            }
            self.accepted.invalidate(&place);
        }
        let asked = AtomicBool::new(false);
        let ask = async {
            asked.store(true, Ordering::Relaxed);
            ask.await
        };
        let is_over = |verdict: &Verdict| verdict.is_over(generation);
        let entry = self.asked.entry(place.clone()).or_insert_with_if(ask, is_over).await;
        let (verdict, asked) = (entry.into_value(), asked.load(Ordering::Relaxed));
        if asked && verdict.outcome.is_ok() {
            self.accepted.insert(place.clone(), verdict.clone());
            self.asked.invalidate(&place).await;
        }
        let count = if asked { &self.counts.misses } else { &self.counts.hits };
        count.fetch_add(1, Ordering::Relaxed);
        (verdict, !asked)
    }

    pub(super) fn clear(&self) {
        self.accepted.invalidate_all();
        self.asked.invalidate_all();
    }

    pub(super) fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.counts.hits.load(Ordering::Relaxed),
            misses: self.counts.misses.load(Ordering::Relaxed),
            entries: self.accepted.entry_count() + self.asked.entry_count(),
            bytes: self.accepted.weighted_size() + self.asked.weighted_size(),
        }
    }
}
