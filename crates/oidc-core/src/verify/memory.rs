//! Tokens of one kind that were verified before, by the digests of their bytes.
//!
//! Bounded by bytes; the least recently used are evicted first. An entry holds its issuer and the
//! generation of its keys; the code that reads it must check these and the times again.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{self, Digest};
use moka::policy::EvictionPolicy;

use crate::verify::{CacheStats, Verified};

/// Memory limit for remembered tokens unless set otherwise, in bytes.
pub(super) const DEFAULT_LIMIT: u64 = 8 * 1024 * 1024;

/// Key of an entry: SHA-256 of the signing input, and SHA-256 of the signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place([[u8; 32]; 2]);

/// Hashes a part of the digest only: it is as evenly distributed as the whole, and only verified
/// tokens are kept.
impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if let Some(part) = self.0.as_flattened().first_chunk() {
            state.write_u64(u64::from_ne_bytes(*part));
        }
    }
}

impl Place {
    pub(super) fn of(token: &str) -> Self {
        // Text without a dot is not a token, and never remembered.
        let (signed, signature) = token.rsplit_once('.').unwrap_or((token, ""));
        let mut place = Self([[0; 32]; 2]);
        for (octets, part) in place.0.iter_mut().zip([signed, signature]) {
            octets.copy_from_slice(digest::digest(&digest::SHA256, part.as_bytes()).as_ref());
        }
        place
    }

    /// SHA-256 of the signing input. Most signature checks use it, so those bytes are hashed once.
    pub(super) fn signed(&self) -> Option<Digest> {
        let [signed, _] = &self.0;
        Digest::import_less_safe(signed, &digest::SHA256).ok()
    }
}

pub(super) struct Entry<T> {
    pub(super) token: Arc<Verified<T>>,
    /// Index of the token's issuer in the verifier.
    pub(super) issuer: usize,
    /// Generation of the keys it was verified with.
    pub(super) generation: u64,
    weight: u32,
}

impl<T> Entry<T> {
    pub(super) fn new(
        token: Arc<Verified<T>>,
        issuer: usize,
        generation: u64,
        octets: usize,
    ) -> Self {
        // Parsed JSON takes about four times its text; the rest is the entry itself.
        let weight = u32::try_from(512 + 4 * octets).unwrap_or(u32::MAX);
        Self { token, issuer, generation, weight }
    }
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { token: Arc::clone(&self.token), ..*self }
    }
}

/// Clones share the memory.
pub(super) struct Memory<T> {
    tokens: moka::sync::Cache<Place, Entry<T>>,
    max_bytes: u64,
    counts: Arc<Counts>,
}

impl<T> Clone for Memory<T> {
    fn clone(&self) -> Self {
        let Self { tokens, max_bytes, counts } = self;
        Self { tokens: tokens.clone(), max_bytes: *max_bytes, counts: Arc::clone(counts) }
    }
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl<T: Send + Sync + 'static> Memory<T> {
    pub(super) fn new(max_bytes: u64) -> Self {
        let tokens = moka::sync::Cache::builder()
            .max_capacity(max_bytes)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|_, entry: &Entry<T>| entry.weight)
            .build();
        Self { tokens, max_bytes, counts: Arc::default() }
    }

    /// A memory with this limit; none with a limit of 0.
    pub(super) fn bounded(max_bytes: u64) -> Option<Self> {
        (max_bytes > 0).then(|| Self::new(max_bytes))
    }

    /// An empty memory with the same limit.
    pub(super) fn emptied(&self) -> Self {
        Self::new(self.max_bytes)
    }

    /// Also remembers the tokens of `other` whose issuer has an index here.
    pub(super) fn take_over(&self, other: &Self, index: impl Fn(usize) -> Option<usize>) {
        for (place, entry) in &other.tokens {
            if let Some(issuer) = index(entry.issuer) {
                self.tokens.insert(*place, Entry { issuer, ..entry });
            }
        }
    }

    pub(super) fn get(&self, place: &Place) -> Option<Entry<T>> {
        self.tokens.get(place)
    }

    pub(super) fn hit(&self) {
        self.counts.hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn insert(&self, place: Place, entry: Entry<T>) {
        self.counts.misses.fetch_add(1, Ordering::Relaxed);
        self.tokens.insert(place, entry);
    }

    pub(super) fn forget(&self, place: &Place) {
        self.tokens.invalidate(place);
    }

    pub(super) fn forget_all(&self) {
        self.tokens.invalidate_all();
    }

    pub(super) fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.counts.hits.load(Ordering::Relaxed),
            misses: self.counts.misses.load(Ordering::Relaxed),
            entries: self.tokens.entry_count(),
            bytes: self.tokens.weighted_size(),
        }
    }
}
