//! Keys from the provider's `jwks_uri`.
//!
//! Readers take a snapshot and never wait. The set is fetched again in the background before it is
//! old, and when a token names an unknown `kid`. A token bucket limits the latter: a flood of
//! invalid tokens costs the provider one fetch, and a rotation during a flood is noticed when the
//! bucket allows the next fetch. While the provider is down, the last good set is served, up to a
//! limit. A key that the provider removed is distrusted at the next fetch, so within
//! [`KeyPolicy::max_age`]. The same holds when it removed all keys: an answer without a usable key
//! replaces the set too, and is fetched again soon.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tracing::{Instrument as _, field};

use super::fetch::fetch;
use super::{JwkSet, KeySource, KeysUnavailable};
use crate::fresh::{Attempt, Failure, Fresh, Policy, Retry, Standing, Ticket};
use crate::observer::Event;
use crate::provider::Provider;

/// Limits for fetching and keeping keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyPolicy {
    /// Time a removed key may still be trusted while the provider answers. 5 min; 60 s at least.
    pub max_age: Duration,
    /// Time the last good set is served while the provider does not answer. 1 h.
    pub max_stale: Duration,
    /// Longest time a caller waits for a fetch. 3 s.
    pub wait: Duration,
    /// Number of fetches in a row that unknown `kid`s may cause without finding a new key. 1: a
    /// rotation is noticed at once, and other unknown `kid`s cause no further fetch.
    pub unknown_kid_burst: u32,
    /// Time until unknown `kid`s may cause one more fetch; invalid tokens can hide a rotation for
    /// as long. 10 s.
    pub unknown_kid_refill: Duration,
    /// Pauses between failed fetches.
    pub retry: Retry,
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(5 * 60),
            max_stale: Duration::from_secs(60 * 60),
            wait: Duration::from_secs(3),
            unknown_kid_burst: 1,
            unknown_kid_refill: Duration::from_secs(10),
            retry: Retry::default(),
        }
    }
}

impl KeyPolicy {
    /// Sets the time a removed key may still be trusted; 60 s at least.
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age.max(Duration::from_secs(60));
        self
    }

    /// Sets the time the last good set is served while the provider does not answer.
    #[must_use]
    pub fn with_max_stale(mut self, max_stale: Duration) -> Self {
        self.max_stale = max_stale;
        self
    }

    /// Sets the longest time a caller waits for a fetch.
    #[must_use]
    pub fn with_wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Sets the number of fetches unknown `kid`s may cause: `burst` in a row, one more each
    /// `refill`.
    #[must_use]
    pub fn with_unknown_kid_limit(mut self, burst: u32, refill: Duration) -> Self {
        self.unknown_kid_burst = burst;
        self.unknown_kid_refill = refill;
        self
    }
}

/// State of the keys, for readiness and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyStatus {
    /// Fetched within the policy.
    Ready {
        /// Number of usable keys; 0 when the provider withdrew all of them.
        keys: usize,
        /// Age of the set.
        age: Duration,
    },
    /// The last fetch failed; the previous set is still served.
    Stale {
        /// Age of the set.
        age: Duration,
        /// Reason the fetch failed.
        reason: String,
    },
    /// No token can be verified.
    Unavailable {
        /// Reason.
        reason: String,
        /// Wait until the next attempt.
        retry_after: Option<Duration>,
    },
}

/// The provider's keys, kept fresh. A cheap handle: clones share the keys and the one task.
///
/// Constructing it does no I/O and works while the provider is down.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
/// use oidc_core::keys::RemoteKeys;
/// use oidc_core::provider::Provider;
///
/// let http = Arc::new(ReqwestHttp::new(HttpOptions::default())?);
/// let keys = RemoteKeys::new(Provider::new("https://id.example/realms/lab".parse()?, http));
/// keys.start();
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct RemoteKeys {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    provider: Provider,
    policy: KeyPolicy,
    keys: Fresh<JwkSet>,
    /// For tokens that strangers present.
    bucket: Mutex<Bucket>,
    /// For tokens that this program fetched itself.
    own_bucket: Mutex<Bucket>,
}

/// Number of fetches unknown `kid`s may still cause.
#[derive(Debug)]
struct Bucket {
    tokens: u32,
    counted_at: Instant,
}

impl RemoteKeys {
    /// Keys of `provider`, with the default policy.
    pub fn new(provider: Provider) -> Self {
        Self::build(provider, KeyPolicy::default())
    }

    /// Replaces the policy; keys fetched before are dropped.
    #[must_use]
    pub fn with_policy(self, policy: KeyPolicy) -> Self {
        Self::build(self.inner.provider.clone(), policy)
    }

    fn build(provider: Provider, policy: KeyPolicy) -> Self {
        let (source, observed) = (provider.clone(), provider.clone());
        let keys = Fresh::new(
            Policy {
                max_age: policy.max_age.max(Duration::from_secs(60)),
                max_stale: Some(policy.max_stale),
                wait: policy.wait,
                retry: policy.retry,
            },
            Box::new(move |previous| {
                let provider = source.clone();
                let issuer = provider.issuer();
                let span = tracing::debug_span!("keys.fetch", %issuer, outcome = field::Empty);
                Box::pin(async move { fetch(&provider, previous).await }.instrument(span))
            }),
            Box::new(move |Attempt { outcome, changed, took }| {
                let issuer = observed.issuer();
                observed.observe(&Event::KeysFetched { issuer, outcome, changed, took });
            }),
        );
        let full =
            || Mutex::new(Bucket { tokens: policy.unknown_kid_burst, counted_at: Instant::now() });
        let (bucket, own_bucket) = (full(), full());
        Self { inner: Arc::new(Inner { provider, policy, keys, bucket, own_bucket }) }
    }

    /// Begins to fetch now instead of at first use. Does nothing outside a Tokio runtime.
    pub fn start(&self) {
        if let Err(failure) = self.inner.keys.start() {
            tracing::debug!(reason = failure.reason, "keys are not fetched yet");
        }
    }

    /// Fetches now, even while backing off.
    ///
    /// # Errors
    ///
    /// [`KeysUnavailable`] when this attempt fails; the known keys stay in use.
    pub async fn refresh_now(&self) -> Result<Arc<JwkSet>, KeysUnavailable> {
        Ok(self.inner.keys.refresh().await?)
    }

    /// Distrusts all keys at once, then fetches.
    ///
    /// # Errors
    ///
    /// [`KeysUnavailable`] when this attempt fails; then there are no keys until a later one succeeds.
    pub async fn purge(&self) -> Result<Arc<JwkSet>, KeysUnavailable> {
        Ok(self.inner.keys.purge().await?)
    }

    /// Current state of the keys.
    pub fn status(&self) -> KeyStatus {
        match self.inner.keys.standing() {
            Standing::Fresh { value, age } => KeyStatus::Ready { keys: value.len(), age },
            Standing::Stale { age, failure, .. } => {
                KeyStatus::Stale { age, reason: failure.reason }
            }
            Standing::None(Failure { reason, retry_after, .. }) => {
                KeyStatus::Unavailable { reason, retry_after }
            }
        }
    }

    /// Number of fetches begun, for metrics.
    pub fn fetches(&self) -> u64 {
        self.inner.keys.fetches()
    }

    /// A fetch to wait for because a key is missing: a fetch already scheduled or, if the bucket
    /// allows it, a new one.
    fn ask(&self, bucket: &Mutex<Bucket>) -> Option<Ticket> {
        let policy = &self.inner.policy;
        // Held from the check to the request, so that concurrent callers spend one permit together.
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pending) = self.inner.keys.pending() {
            return Some(pending);
        }
        while bucket.tokens < policy.unknown_kid_burst
            && bucket.counted_at.elapsed() >= policy.unknown_kid_refill
        {
            bucket.tokens += 1;
            bucket.counted_at += policy.unknown_kid_refill;
        }
        if bucket.tokens == policy.unknown_kid_burst {
            bucket.counted_at = Instant::now();
        }
        bucket.tokens = bucket.tokens.checked_sub(1)?;
        Some(self.inner.keys.request())
    }

    /// Returns the permit of a fetch that found the missing key, so that the next rotation is
    /// noticed at once too.
    fn give_back(&self, bucket: &Mutex<Bucket>) {
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.tokens = (bucket.tokens + 1).min(self.inner.policy.unknown_kid_burst);
    }

    /// The keys after a search for this one, as far as the bucket allows a fetch. While fetches fail, it
    /// cannot be known whether the issuer has the key.
    async fn search(
        &self,
        unknown_kid: Option<&str>,
        bucket: &Mutex<Bucket>,
    ) -> Result<Arc<JwkSet>, KeysUnavailable> {
        let keys = &self.inner.keys;
        let fetches = keys.fetches();
        let mut current = keys.value().await?;
        // Twice, because a fetch in progress may have been answered before the key was published.
        for _ in 0..2 {
            if has(&current, unknown_kid) || keys.failing() || keys.asked_since(fetches) {
                break;
            }
            let Some(ticket) = self.ask(bucket) else { break };
            if keys.wait(ticket).await.is_err() {
                break;
            }
            current = keys.current()?;
            if has(&current, unknown_kid) {
                self.give_back(bucket);
            }
        }
        if !has(&current, unknown_kid) && keys.failing() {
            let reason = "the issuer's keys cannot be fetched, and those known lack the token's";
            return Err(KeysUnavailable::new(reason, Some(keys.hasten())));
        }
        Ok(current)
    }
}

#[async_trait]
impl KeySource for RemoteKeys {
    fn generation(&self) -> Option<u64> {
        self.inner.keys.look(JwkSet::generation)
    }

    fn current(&self) -> Result<Arc<JwkSet>, KeysUnavailable> {
        Ok(self.inner.keys.current()?)
    }

    async fn refreshed(&self, unknown_kid: Option<&str>) -> Result<Arc<JwkSet>, KeysUnavailable> {
        self.search(unknown_kid, &self.inner.bucket).await
    }

    async fn refreshed_for_own(
        &self,
        unknown_kid: Option<&str>,
    ) -> Result<Arc<JwkSet>, KeysUnavailable> {
        self.search(unknown_kid, &self.inner.own_bucket).await
    }

    async fn refreshed_after_mismatch(
        &self,
        generation: u64,
    ) -> Result<Arc<JwkSet>, KeysUnavailable> {
        let keys = &self.inner.keys;
        let current = keys.current()?;
        if current.generation() != generation || keys.failing() {
            return Ok(current);
        }
        let bucket = &self.inner.bucket;
        let Some(ticket) = self.ask(bucket) else { return Ok(current) };
        let _ = keys.wait(ticket).await;
        let newer = keys.current()?;
        if newer.generation() != generation {
            self.give_back(bucket);
        }
        Ok(newer)
    }
}

/// Whether the key of a token may be among these. Without `kid`, a key is missing only if the set is empty.
fn has(keys: &JwkSet, kid: Option<&str>) -> bool {
    kid.map_or(!keys.is_empty(), |kid| keys.contains(kid))
}

impl From<Failure> for KeysUnavailable {
    fn from(failure: Failure) -> Self {
        let Failure { reason, retry_after, mistake, .. } = failure;
        Self { reason, retry_after, mistake }
    }
}
