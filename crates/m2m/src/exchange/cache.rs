//! Exchanged tokens of many users, cached while both tokens are valid.
//!
//! Limited in number. The key is a digest of the subject's token and of the request, so that no user
//! gets a token that another user's token was exchanged for. An exchanged token is not kept longer than
//! the subject's token lives.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moka::Expiry;
use moka::future::Cache;
use moka::ops::compute::Op;
use oidc_core::client::TokenEndpoint;
use oidc_core::{Clock, Secret, SystemClock};
use serde::Deserialize;
use tokio::time::Instant;

use super::Exchange;
use super::failures::Failures;
use crate::access_token::AccessToken;
use crate::cache::{Held, Now};
use crate::cache_key::CacheKey;
use crate::source::TokenError;

/// Largest number of exchanged tokens that are kept.
const CAPACITY: u64 = 10_000;
/// Time a token is kept when the subject's token does not state its expiry.
const UNSTATED_LIFE: Duration = Duration::from_secs(60);

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

/// A token, and the time of the last renewal because a service rejected the one before it.
struct Kept {
    held: Held,
    renewed: Option<Instant>,
}

impl Kept {
    /// True if it was rejected and another may be asked for.
    fn is_spent(&self, rejected: Option<&AccessToken>, now: Now) -> bool {
        let pause = self.held.between_renewals();
        rejected.is_some_and(|rejected| *rejected == self.held.token)
            && self.renewed.is_none_or(|at| now.monotonic >= at + pause)
    }
}

impl ExchangedTokens {
    /// Exchanges at this endpoint; keeps 10,000 tokens at most.
    pub fn new(endpoint: TokenEndpoint) -> Self {
        let clock = Arc::new(SystemClock);
        Self { endpoint, clock, kept: kept(CAPACITY), failures: Failures::new(CAPACITY) }
    }

    /// Keeps at most this number of tokens.
    #[must_use]
    pub fn with_capacity(self, tokens: u64) -> Self {
        Self { kept: kept(tokens), failures: Failures::new(tokens), ..self }
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

    async fn answer(
        &self,
        subject_token: &Secret,
        wanted: &Exchange,
        rejected: Option<&AccessToken>,
    ) -> Result<AccessToken, TokenError> {
        // An actor token given as a value has no cache key, so the answer is not cached.
        let Some(parts) = wanted.parts() else {
            return self.ask(None, subject_token, wanted).await;
        };
        let subject = [("subject_token", subject_token.expose())];
        let wanted_parts = parts.iter().map(|(name, value)| (*name, value.as_str()));
        let key = CacheKey::of(subject.into_iter().chain(wanted_parts));

        let now = self.now();
        let good = self.kept.get(&key).await.filter(|kept| kept.held.is_good(now));
        let is_spent = good.as_ref().is_some_and(|kept| kept.is_spent(rejected, now));
        match &good {
            Some(kept) if !is_spent && !kept.held.is_due(now) => {
                return Ok(kept.held.token.clone());
            }
            seen => self.forget(key, seen.as_ref()).await,
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
            Ok(Arc::new(Kept { held, renewed }))
        });
        asked.await.map(|kept| kept.held.token.clone()).map_err(|error| (*error).clone())
    }

    /// Removes the old token, unless another task has replaced it already.
    async fn forget(&self, key: CacheKey, seen: Option<&Arc<Kept>>) {
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

fn kept(tokens: u64) -> Cache<CacheKey, Arc<Kept>> {
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
}

/// Expiry of the subject's token: its `exp`, or [`UNSTATED_LIFE`] from now.
fn subject_end(token: &Secret, now: SystemTime) -> SystemTime {
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

impl fmt::Debug for ExchangedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangedTokens")
            .field("endpoint", &self.endpoint)
            .field("kept", &self.kept.entry_count())
            .finish_non_exhaustive()
    }
}
