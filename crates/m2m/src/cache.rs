//! Tokens kept in memory: one request however many tasks ask, refreshed ahead, and the last good token while the issuer is down.
//!
//! A token is refreshed in the background when less than `min(30 s, life / 2)`, shortened by jitter, is left; callers meanwhile get
//! the present one and wait for nobody. Failures are backed off from 1 s to 30 s.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use oidc_core::{Clock, SystemClock};
use tokio::sync::Mutex as AsyncMutex;

use crate::source::{AccessToken, TokenError, TokenSource};

/// The most that is left of a token's life when its refresh begins.
const MARGIN: Duration = Duration::from_secs(30);
/// How long a token without an expiry is believed.
const UNSTATED_LIFE: Duration = Duration::from_secs(60);
/// The first and the longest wait after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A [`TokenSource`] that remembers.
#[derive(Debug, Clone)]
pub struct CachedTokens {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    source: Box<dyn TokenSource>,
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
    /// Held by whoever asks the issuer.
    asking: AsyncMutex<()>,
}

#[derive(Debug, Default)]
struct Kept {
    token: Option<AccessToken>,
    refresh_at: Option<SystemTime>,
    failures: u32,
    not_before: Option<SystemTime>,
    last_error: Option<TokenError>,
    refreshing: bool,
}

impl CachedTokens {
    /// Remembers the tokens of a source.
    pub fn new(source: impl TokenSource + 'static) -> Self {
        Self::with_clock(source, Arc::new(SystemClock))
    }

    /// Remembers the tokens of a source by this clock.
    pub fn with_clock(source: impl TokenSource + 'static, clock: Arc<dyn Clock>) -> Self {
        let source = Box::new(source);
        let (kept, asking) = (Mutex::default(), AsyncMutex::default());
        Self { shared: Arc::new(Shared { source, clock, kept, asking }) }
    }
}

// === impl TokenSource ===

#[async_trait]
impl TokenSource for CachedTokens {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        let now = self.shared.clock.now();
        if let Some((token, due)) = self.shared.usable(now) {
            if due && self.shared.claim_refresh(now) {
                let shared = Arc::clone(&self.shared);
                // Detached: a caller that goes away does not end it. Its failure is kept and logged.
                drop(tokio::spawn(async move { shared.ask_in_background().await }));
            }
            return Ok(token);
        }
        self.shared.ask_and_wait().await
    }
}

impl Shared {
    /// The token that is good now, and whether a refresh is due.
    fn usable(&self, now: SystemTime) -> Option<(AccessToken, bool)> {
        let kept = self.kept();
        let token =
            kept.token.as_ref().filter(|token| token.expires_at.is_none_or(|at| at > now))?;
        let due = kept.refresh_at.is_some_and(|at| at <= now);
        Some((token.clone(), due))
    }

    /// Whether this caller is the one to refresh.
    fn claim_refresh(&self, now: SystemTime) -> bool {
        let mut kept = self.kept();
        if kept.refreshing || kept.not_before.is_some_and(|at| at > now) {
            return false;
        }
        kept.refreshing = true;
        true
    }

    async fn ask_in_background(&self) {
        let _asking = self.asking.lock().await;
        if let Err(error) = self.ask().await {
            tracing::warn!(%error, "a token could not be refreshed; the present one is still used");
        }
        self.kept().refreshing = false;
    }

    /// One caller asks, the others wait for its answer.
    async fn ask_and_wait(&self) -> Result<AccessToken, TokenError> {
        let _asking = self.asking.lock().await;
        let now = self.clock.now();
        if let Some((token, _)) = self.usable(now) {
            return Ok(token);
        }
        {
            let kept = self.kept();
            if let (Some(at), Some(error)) = (kept.not_before, &kept.last_error)
                && at > now
            {
                return Err(error.clone());
            }
        }
        self.ask().await
    }

    async fn ask(&self) -> Result<AccessToken, TokenError> {
        let answer = self.source.token().await;
        let now = self.clock.now();
        let mut kept = self.kept();
        match &answer {
            Ok(token) => {
                kept.refresh_at = Some(refresh_at(token, now));
                kept.token = Some(token.clone());
                kept.failures = 0;
                kept.not_before = None;
                kept.last_error = None;
            }
            Err(error) => {
                kept.failures = kept.failures.saturating_add(1);
                kept.not_before = Some(now + pause(kept.failures, error));
                kept.last_error = Some(error.clone());
            }
        }
        answer
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refresh_at(token: &AccessToken, now: SystemTime) -> SystemTime {
    let expires_at = token.expires_at.unwrap_or(now + UNSTATED_LIFE);
    let life = expires_at.duration_since(now).unwrap_or_default();
    let margin = MARGIN.min(life / 2).mul_f64(rand::random_range(0.8..=1.0));
    expires_at.checked_sub(margin).unwrap_or(now)
}

fn pause(failures: u32, error: &TokenError) -> Duration {
    let (first, longest) = BACKOFF;
    let step = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
    let asked = match error {
        TokenError::Unavailable { retry_after, .. } => retry_after.unwrap_or_default(),
        TokenError::Refused { .. } => Duration::ZERO,
    };
    step.mul_f64(rand::random_range(0.75..=1.0)).max(asked)
}
