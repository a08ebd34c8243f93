//! Failed exchanges, and the wait before each next attempt.
//!
//! An outage of the issuer concerns every user. Any other failure, such as a refused token, concerns the
//! user whose token was presented; other users' exchanges go on.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache;
use tokio::time::Instant;

use crate::cache::Failure;
use crate::cache_key::CacheKey;
use crate::source::TokenError;

/// Longest time that one user's failure is kept.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// The last failures. Clones share them.
#[derive(Clone)]
pub(super) struct Failures {
    outage: Arc<Mutex<Option<(Failure, Instant)>>>,
    of_one: Cache<CacheKey, (Failure, Instant)>,
}

impl Failures {
    /// Keeps the failures of at most this number of exchanges, and the issuer's last outage.
    pub(super) fn new(capacity: u64) -> Self {
        let of_one = Cache::builder().max_capacity(capacity).time_to_live(KEPT).build();
        Self { outage: Arc::default(), of_one }
    }

    /// The failure for which this exchange is not tried yet. Without a key only an outage counts.
    pub(super) fn failing(&self, key: Option<&CacheKey>) -> Option<TokenError> {
        let left = |(failure, at): &(Failure, Instant)| failure.left_after(at.elapsed());
        let outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let outage = outage.as_ref().and_then(left);
        let of_one = || key.and_then(|key| self.of_one.get(key)).as_ref().and_then(left);
        outage.or_else(of_one).map(|failure| failure.error)
    }

    /// Records that the issuer answered this exchange.
    pub(super) fn answered(&self, key: Option<&CacheKey>) {
        *self.outage.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(key) = key {
            self.of_one.invalidate(key);
        }
    }

    /// Records a failure; returns it with the wait before the next attempt.
    pub(super) fn failed(&self, key: Option<&CacheKey>, error: TokenError) -> TokenError {
        let before = |last: Option<&(Failure, Instant)>| last.map_or(0, |(last, _)| last.failures);
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        if error.is_outage() {
            let failure = Failure::after(before(outage.as_ref()), error);
            return outage.insert((failure, Instant::now())).0.error.clone();
        }
        // A refusal is an answer: the issuer is there again.
        if matches!(error, TokenError::Refused { .. }) {
            *outage = None;
        }
        drop(outage);
        let Some(key) = key else { return error };
        let failure = Failure::after(before(self.of_one.get(key).as_ref()), error);
        let error = failure.error.clone();
        self.of_one.insert(*key, (failure, Instant::now()));
        error
    }
}

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failures").finish_non_exhaustive()
    }
}
