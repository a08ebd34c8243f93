//! One exchanged token in memory, and the memory of all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moka::Expiry;
use moka::future::Cache;
use oidc_core::Secret;
use serde::Deserialize;
use tokio::time::Instant;

use crate::access_token::AccessToken;
use crate::cache::{Held, Now};
use crate::cache_key::CacheKey;

/// Time a token is kept when the subject's token does not state its expiry.
const UNSTATED_LIFE: Duration = Duration::from_secs(60);

/// A token, and the time of the last renewal because a service rejected the one before it.
pub(super) struct Kept {
    pub(super) held: Held,
    pub(super) renewed: Option<Instant>,
    /// A task exchanges it again before it expires.
    refreshing: AtomicBool,
}

impl Kept {
    pub(super) fn new(held: Held, renewed: Option<Instant>) -> Self {
        Self { held, renewed, refreshing: AtomicBool::new(false) }
    }

    /// True if it was rejected and another may be asked for.
    pub(super) fn is_spent(&self, rejected: Option<&AccessToken>, now: Now) -> bool {
        let pause = self.held.between_renewals();
        rejected.is_some_and(|rejected| *rejected == self.held.token)
            && self.renewed.is_none_or(|at| now.monotonic >= at + pause)
    }

    /// True for the one caller that is to exchange it again.
    pub(super) fn begin_refresh(&self) -> bool {
        !self.refreshing.swap(true, Ordering::Relaxed)
    }
}

/// A memory for at most this number of tokens.
pub(super) fn cache(tokens: u64) -> Cache<CacheKey, Arc<Kept>> {
    Cache::builder().max_capacity(tokens).expire_after(UntilTheEnd).build()
}

/// Drops tokens from memory after they expire. Whether a token may still be served is checked
/// separately.
struct UntilTheEnd;

impl Expiry<CacheKey, Arc<Kept>> for UntilTheEnd {
    fn expire_after_create(
        &self,
        _: &CacheKey,
        kept: &Arc<Kept>,
        _: std::time::Instant,
    ) -> Option<Duration> {
        kept.held.left(Instant::now())
    }

    fn expire_after_update(
        &self,
        _: &CacheKey,
        kept: &Arc<Kept>,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        kept.held.left(Instant::now())
    }
}

/// Expiry of the subject's token: its `exp`, or [`UNSTATED_LIFE`] from now.
pub(super) fn subject_end(token: &Secret, now: SystemTime) -> SystemTime {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let payload = token.expose().split('.').nth(1);
    let claims = payload
        .and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok())
        .and_then(|octets| serde_json::from_slice::<Claims>(&octets).ok());
    let exp = claims.and_then(|claims| Duration::try_from_secs_f64(claims.exp).ok());
    exp.and_then(|exp| SystemTime::UNIX_EPOCH.checked_add(exp)).unwrap_or(now + UNSTATED_LIFE)
}
