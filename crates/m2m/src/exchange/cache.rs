//! Exchanged tokens of many users, cached while both tokens are valid.
//!
//! Limited in number. The key is a digest of the subject's token and of the request, so that no user
//! gets a token that another user's token was exchanged for. An exchanged token is not kept longer than
//! the subject's token lives. One that is about to expire is served while it is exchanged again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use moka::ops::compute::Op;
use oidc_core::client::TokenEndpoint;
use oidc_core::{Clock, Secret, SystemClock};
use tokio::time::Instant;

use super::Exchange;
use super::failures::Failures;
use super::kept::{Kept, cache, subject_end};
use crate::access_token::AccessToken;
use crate::cache::{Held, Now};
use crate::cache_key::CacheKey;
use crate::source::TokenError;

/// Largest number of exchanged tokens that are kept.
const CAPACITY: u64 = 10_000;

/// Exchanges the tokens of a service's callers for tokens for the services that it calls on their
/// behalf (RFC 8693).
///
/// ```no_run
/// # async fn handle(endpoint: oidc_core::client::TokenEndpoint, user_token: oidc_core::Secret) -> Result<(), m2m::TokenError> {
/// use m2m::{Exchange, ExchangedTokens};
///
/// let tokens = ExchangedTokens::new(endpoint);
/// let for_churn = Exchange::new().with_audience("churn");
/// let token = tokens.exchange(&user_token, &for_churn).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ExchangedTokens {
    endpoint: TokenEndpoint,
    clock: Arc<dyn Clock>,
    kept: Cache<CacheKey, Arc<Kept>>,
    /// No request is sent during the back-off after a failure.
    failures: Failures,
}

impl ExchangedTokens {
    /// Exchanges at this endpoint; keeps 10,000 tokens at most.
    pub fn new(endpoint: TokenEndpoint) -> Self {
        let clock = Arc::new(SystemClock);
        Self { endpoint, clock, kept: cache(CAPACITY), failures: Failures::new(CAPACITY) }
    }

    /// Keeps at most this number of tokens.
    #[must_use]
    pub fn with_capacity(self, tokens: u64) -> Self {
        Self { kept: cache(tokens), failures: Failures::new(tokens), ..self }
    }

    /// Takes the time from `clock`.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The token that `wanted` describes, on behalf of the subject of `subject_token`. It is cached
    /// until one of the two is about to expire; callers that ask for the same at once share a request.
    ///
    /// The subject's token is not verified here: verify it before the exchange.
    ///
    /// # Errors
    ///
    /// [`TokenError::Refused`] when the issuer does not exchange it, [`TokenError::Unavailable`] when it
    /// cannot answer. Then the same exchange is not requested again for 1 to 30 s, or as long as the
    /// issuer asks. Only an outage (no connection, status 429 or 503) holds back every exchange.
    pub async fn exchange(
        &self,
        subject_token: &Secret,
        wanted: &Exchange,
    ) -> Result<AccessToken, TokenError> {
        self.answer(subject_token, wanted, None).await
    }

    /// The same after a service answered 401 to `rejected`: another token, or `rejected` again while
    /// the issuer cannot answer or was just asked. Renews once for all callers whose token was
    /// rejected together, and at most once in `min(30 s, life / 2)`. So a service that refuses every
    /// token does not cause a request to the issuer per call.
    ///
    /// # Errors
    ///
    /// As [`ExchangedTokens::exchange`].
    pub async fn exchange_after(
        &self,
        rejected: &AccessToken,
        subject_token: &Secret,
        wanted: &Exchange,
    ) -> Result<AccessToken, TokenError> {
        self.answer(subject_token, wanted, Some(rejected)).await
    }

    /// The token that is kept for the same exchange, without a request to the issuer; one that is about
    /// to expire is exchanged again in the background. `None`: ask [`exchange`](Self::exchange).
    pub async fn current(&self, subject_token: &Secret, wanted: &Exchange) -> Option<AccessToken> {
        let key = key(subject_token, wanted)?;
        let now = self.now();
        let kept = self.kept.get(&key).await.filter(|kept| kept.held.is_good(now))?;
        self.refresh_if_due(key, &kept, subject_token, wanted, now);
        Some(kept.held.token.clone())
    }

    /// Drops the token that is kept for this exchange, because its subject has signed out. An exchange
    /// that is under way may still be kept: call this again after it.
    pub async fn forget(&self, subject_token: &Secret, wanted: &Exchange) {
        if let Some(key) = key(subject_token, wanted) {
            self.kept.invalidate(&key).await;
        }
    }

    async fn answer(
        &self,
        subject_token: &Secret,
        wanted: &Exchange,
        rejected: Option<&AccessToken>,
    ) -> Result<AccessToken, TokenError> {
        // An actor token given as a value has no cache key, so the answer is not cached.
        let Some(key) = key(subject_token, wanted) else {
            return self.ask(None, subject_token, wanted).await;
        };
        let now = self.now();
        let good = self.kept.get(&key).await.filter(|kept| kept.held.is_good(now));
        let is_spent = good.as_ref().is_some_and(|kept| kept.is_spent(rejected, now));
        match &good {
            Some(kept) if !is_spent => {
                self.refresh_if_due(key, kept, subject_token, wanted, now);
                return Ok(kept.held.token.clone());
            }
            seen => self.forget_entry(key, seen.as_ref()).await,
        }
        let before = good.as_ref().and_then(|kept| kept.renewed);
        let renewed = if is_spent { Some(now.monotonic) } else { before };
        let asked = self.kept.try_get_with(key, async {
            let now = || self.now();
            let held = match (self.ask(Some(&key), subject_token, wanted).await, good) {
                (Ok(token), _) => {
                    let end = subject_end(subject_token, now().wall);
                    Held::until(token, end, now())
                }
                (Err(TokenError::Unavailable { retry_after, .. }), Some(kept)) => {
                    let wait = retry_after.unwrap_or(Duration::from_secs(1));
                    kept.held.refreshed_in(wait, now())
                }
                (Err(error), _) => return Err(error),
            };
            Ok(Arc::new(Kept::new(held, renewed)))
        });
        asked.await.map(|kept| kept.held.token.clone()).map_err(|error| (*error).clone())
    }

    /// Exchanges a token that is about to expire again, in a task of its own, unless one does already.
    /// Without a runtime the next caller inside one begins it.
    fn refresh_if_due(
        &self,
        key: CacheKey,
        kept: &Arc<Kept>,
        subject_token: &Secret,
        wanted: &Exchange,
        now: Now,
    ) {
        if !kept.held.is_due(now) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !kept.begin_refresh() {
            return;
        }
        let (tokens, kept) = (self.clone(), Arc::clone(kept));
        let (subject_token, wanted) = (subject_token.clone(), wanted.clone());
        runtime.spawn(async move { tokens.refresh(key, kept, &subject_token, &wanted).await });
    }

    async fn refresh(
        &self,
        key: CacheKey,
        before: Arc<Kept>,
        subject_token: &Secret,
        wanted: &Exchange,
    ) {
        let asked = self.ask(Some(&key), subject_token, wanted).await;
        let now = self.now();
        let next = match asked {
            Ok(token) => {
                let end = subject_end(subject_token, now.wall);
                Some(Held::until(token, end, now))
            }
            Err(TokenError::Refused { .. }) => None,
            Err(error) => {
                let wait = error.retry_after().unwrap_or(Duration::from_secs(1));
                Some(before.held.refreshed_in(wait, now))
            }
        };
        let next = next.map(|held| Arc::new(Kept::new(held, before.renewed)));
        let replaced = self.kept.entry(key).and_compute_with(|entry| {
            // One that was forgotten meanwhile stays forgotten.
            let is_same = entry.is_some_and(|entry| Arc::ptr_eq(entry.value(), &before));
            std::future::ready(match (is_same, next) {
                (true, Some(next)) => Op::Put(next),
                (true, None) => Op::Remove,
                (false, _) => Op::Nop,
            })
        });
        replaced.await;
    }

    /// Removes the old token, unless another task has replaced it already.
    async fn forget_entry(&self, key: CacheKey, seen: Option<&Arc<Kept>>) {
        let now = self.now();
        let forgotten = self.kept.entry(key).and_compute_with(|entry| {
            let entry = entry.map(|entry| entry.into_value());
            let is_old = entry.is_some_and(|it| {
                !it.held.is_good(now) || seen.is_some_and(|seen| Arc::ptr_eq(&it, seen))
            });
            std::future::ready(if is_old { Op::Remove } else { Op::Nop })
        });
        forgotten.await;
    }

    async fn ask(
        &self,
        key: Option<&CacheKey>,
        subject: &Secret,
        wanted: &Exchange,
    ) -> Result<AccessToken, TokenError> {
        if let Some(error) = self.failures.failing(key) {
            return Err(error);
        }
        let asked = async {
            let tokens = self.endpoint.request(wanted.grant(subject.clone()).await?).await?;
            wanted.check(&tokens)?;
            Ok(AccessToken::try_from(tokens)?)
        };
        match asked.await {
            Ok(token) => {
                self.failures.answered(key);
                Ok(token)
            }
            Err(error) => Err(self.failures.failed(key, error)),
        }
    }

    fn now(&self) -> Now {
        Now { wall: self.clock.now(), monotonic: Instant::now() }
    }
}

/// The key of an exchange; `None` if a secret is among its parameters.
fn key(subject_token: &Secret, wanted: &Exchange) -> Option<CacheKey> {
    let parts = wanted.parts()?;
    let subject = [("subject_token", subject_token.expose())];
    let wanted = parts.iter().map(|(name, value)| (*name, value.as_str()));
    Some(CacheKey::of(subject.into_iter().chain(wanted)))
}

impl fmt::Debug for ExchangedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangedTokens")
            .field("endpoint", &self.endpoint)
            .field("kept", &self.kept.entry_count())
            .finish_non_exhaustive()
    }
}
