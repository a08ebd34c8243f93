//! Verification of tokens: rules ([`Validation`]), keys ([`KeySource`]) and time ([`Clock`]) together.
//!
//! An access token once verified is remembered by the digest of its bytes; the next request with it
//! skips the mathematics and the parsing, never the rules of time, and not after a change of keys.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest;
use tokio::time::Instant;
use tracing::{Instrument as _, Span, field};

use crate::clock::{Clock, SystemClock};
use crate::dpop::{DpopChecker, DpopPolicy};
use crate::jose::{MAX_TOKEN_BYTES, UnverifiedJws, VerifiedJws};
use crate::keys::{JwkSet, KeySource};
use crate::observer::{Event, Observer};
use crate::refusal::{TokenRefusal, quoted};
use crate::tokens::{AccessToken, IdToken, LogoutToken, Verified};
use crate::validation::{IdTokenExpectations, Validation};

/// Memory for remembered tokens unless set otherwise, in bytes.
const DEFAULT_CACHE: u64 = 8 * 1024 * 1024;

/// Verifies tokens of one issuer for one purpose.
///
/// ```
/// # use std::sync::Arc;
/// # #[cfg(feature = "test-util")]
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use oidc_core::{Validation, Verifier, testing::TestIssuer};
///
/// let issuer = TestIssuer::new();
/// let verifier = Verifier::new(Validation::new(issuer.issuer(), "hub"), issuer.keys())
///     .with_clock(issuer.clock());
///
/// let token = verifier.access_token(&issuer.access_token("hub")).await?;
/// assert_eq!(token.subject(), "248289761001");
///
/// let refusal = verifier.access_token(&issuer.access_token("elsewhere")).await.unwrap_err();
/// assert_eq!(refusal.code(), "wrong_audience");
/// # Ok(()) }
/// # #[cfg(feature = "test-util")]
/// # fn main() {
/// #     let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// #     runtime.block_on(run()).unwrap();
/// # }
/// # #[cfg(not(feature = "test-util"))]
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct Verifier {
    validation: Validation,
    keys: Arc<dyn KeySource>,
    clock: Arc<dyn Clock>,
    remembered: Option<Remembered>,
    observer: Option<Observer>,
    dpop: Option<Arc<DpopChecker>>,
}

/// Figures about remembered tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Requests answered from memory.
    pub hits: u64,
    /// Requests that had to be verified.
    pub misses: u64,
    /// Tokens remembered.
    pub entries: u64,
    /// Memory they are counted with, in bytes.
    pub bytes: u64,
}

#[derive(Clone)]
struct Remembered {
    tokens: moka::sync::Cache<[u8; 32], Entry>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Clone)]
struct Entry {
    token: Arc<Verified<AccessToken>>,
    generation: u64,
    weight: u32,
}

impl Verifier {
    /// Verifies by `validation` with `keys`.
    pub fn new(validation: Validation, keys: Arc<dyn KeySource>) -> Self {
        let remembered = Some(Remembered::new(DEFAULT_CACHE));
        Self {
            validation,
            keys,
            clock: Arc::new(SystemClock),
            remembered,
            observer: None,
            dpop: None,
        }
    }

    /// Takes the time from `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Tells `observer` of each token that is verified, refused or served from memory. What is fetched
    /// for it is told by [`Provider::with_observer`](crate::Provider::with_observer).
    #[must_use]
    pub fn with_observer(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Bounds the memory for remembered tokens, in bytes; 0 remembers none. 8 MiB unless set.
    #[must_use]
    pub fn with_cache(mut self, max_bytes: u64) -> Self {
        self.remembered = (max_bytes > 0).then(|| Remembered::new(max_bytes));
        self
    }

    /// Accepts tokens that are bound to the key of DPoP proofs (RFC 9449), by [`Verifier::presented`].
    #[must_use]
    pub fn with_dpop(mut self, policy: DpopPolicy) -> Self {
        self.dpop = Some(Arc::new(DpopChecker::new(policy)));
        self
    }

    /// The nonce that the next DPoP proof must have, for the header `DPoP-Nonce` (RFC 9449 §9);
    /// `None` if none is asked for. New at intervals: ask for each answer.
    pub fn dpop_nonce(&self) -> Option<String> {
        self.dpop.as_ref()?.nonce(self.clock.now())
    }

    /// The algorithms that DPoP proofs may be signed with, separated by spaces, for the challenge
    /// (RFC 9449 §7.1); `None` if proofs are not accepted.
    pub fn dpop_algorithms(&self) -> Option<String> {
        Some(self.dpop.as_ref()?.algorithms())
    }

    pub(crate) fn dpop(&self) -> Option<&DpopChecker> {
        self.dpop.as_deref()
    }

    /// The time by the clock of this verifier.
    pub(crate) fn now(&self) -> std::time::SystemTime {
        self.clock.now()
    }

    /// The rules.
    pub fn validation(&self) -> &Validation {
        &self.validation
    }

    /// The keys.
    pub fn keys(&self) -> &Arc<dyn KeySource> {
        &self.keys
    }

    /// An access token that was verified before and still is good. Never waits; `None` says only
    /// that [`Verifier::access_token`] must look.
    pub fn cached(&self, token: &str) -> Option<Arc<Verified<AccessToken>>> {
        self.remembered(token).filter(|token| !is_bound(token))
    }

    /// A token that was verified before and still is good, bound or not.
    fn remembered(&self, token: &str) -> Option<Arc<Verified<AccessToken>>> {
        let remembered = self.remembered.as_ref()?;
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let digest = digest_of(token);
        let entry = remembered.tokens.get(&digest)?;
        let generation = self.keys.current().ok()?.generation();
        let timely = self.validation.check_times(&entry.token, self.clock.now()).is_ok();
        if entry.generation != generation || !timely {
            remembered.tokens.invalidate(&digest);
            return None;
        }
        remembered.counts.hits.fetch_add(1, Ordering::Relaxed);
        if let Some(observer) = &self.observer {
            observer(&Event::TokenRemembered { issuer: self.validation.issuer() });
        }
        Some(entry.token)
    }

    /// Verifies an access token that proves itself (RFC 6750), from memory when it was verified
    /// before. One that is bound to a key or certificate is refused: [`Verifier::presented`] takes it.
    pub async fn access_token(
        &self,
        token: &str,
    ) -> Result<Arc<Verified<AccessToken>>, TokenRefusal> {
        let verified = self.without_possession(token).await?;
        if is_bound(&verified) {
            self.observe_unproved(TokenRefusal::SenderConstrained.code());
            return Err(TokenRefusal::SenderConstrained);
        }
        Ok(verified)
    }

    /// Tells the observer that a good token came from somebody who may not use it.
    pub(crate) fn observe_unproved(&self, code: &'static str) {
        if let Some(observer) = &self.observer {
            let issuer = Some(self.validation.issuer());
            observer(&Event::TokenRefused { issuer, code, took: Duration::ZERO });
        }
    }

    /// Verifies an access token up to the question who may present it.
    pub(crate) async fn without_possession(
        &self,
        token: &str,
    ) -> Result<Arc<Verified<AccessToken>>, TokenRefusal> {
        if let Some(verified) = self.remembered(token) {
            return Ok(verified);
        }
        self.watched(async {
            let (jws, generation) = self.open(token).await?;
            let verified = Arc::new(self.validation.access_token(jws, self.clock.now())?);
            if let Some(remembered) = &self.remembered {
                remembered.insert(token, &verified, generation);
            }
            Ok(verified)
        })
        .await
    }

    /// Verifies an ID token; its audience is the client's id.
    pub async fn id_token(
        &self,
        token: &str,
        expected: &IdTokenExpectations,
    ) -> Result<Verified<IdToken>, TokenRefusal> {
        self.watched(async {
            let (jws, _) = self.open(token).await?;
            self.validation.id_token(jws, expected, self.clock.now())
        })
        .await
    }

    /// Verifies a logout token; its audience is the client's id. Refuse a second use of its `jti`.
    pub async fn logout_token(&self, token: &str) -> Result<Verified<LogoutToken>, TokenRefusal> {
        self.watched(async {
            let (jws, _) = self.open(token).await?;
            self.validation.logout_token(jws, self.clock.now())
        })
        .await
    }

    /// Verifies a signed answer to an authorization request (JARM §2.4); its audience is the client's id.
    #[cfg(feature = "login")]
    pub(crate) async fn authorization_response(
        &self,
        token: &str,
    ) -> Result<Verified<crate::callback::AuthorizationResponse>, TokenRefusal> {
        self.watched(async {
            let (jws, _) = self.open(token).await?;
            self.validation.authorization_response(jws, self.clock.now())
        })
        .await
    }

    /// Figures about remembered tokens.
    pub fn cache_stats(&self) -> CacheStats {
        let Some(remembered) = &self.remembered else { return CacheStats::default() };
        CacheStats {
            hits: remembered.counts.hits.load(Ordering::Relaxed),
            misses: remembered.counts.misses.load(Ordering::Relaxed),
            entries: remembered.tokens.entry_count(),
            bytes: remembered.tokens.weighted_size(),
        }
    }

    /// Forgets all remembered tokens.
    pub fn forget_all(&self) {
        if let Some(remembered) = &self.remembered {
            remembered.tokens.invalidate_all();
        }
    }

    /// Verifies within a span, and tells the observer how that ended.
    async fn watched<T, V: Borrow<Verified<T>>>(
        &self,
        work: impl Future<Output = Result<V, TokenRefusal>>,
    ) -> Result<V, TokenRefusal> {
        let issuer = self.validation.issuer();
        let span = tracing::debug_span!(
            "verify",
            %issuer,
            kid = field::Empty,
            alg = field::Empty,
            outcome = field::Empty
        );
        let begun = self.observer.as_ref().map(|_| Instant::now());
        let verdict = work.instrument(span.clone()).await;
        let code = verdict.as_ref().map_or_else(TokenRefusal::code, |_| "ok");
        span.record("outcome", code);
        if let (Some(observer), Some(begun)) = (&self.observer, begun) {
            let took = begun.elapsed();
            observer(&match &verdict {
                Ok(verified) => {
                    let verified = verified.borrow();
                    let (kid, algorithm) = (verified.key_id(), verified.algorithm());
                    Event::TokenVerified { issuer, kid, algorithm, took }
                }
                Err(refusal) => {
                    let read = !matches!(
                        refusal,
                        TokenRefusal::Malformed { part: "token" | "header", .. }
                    );
                    Event::TokenRefused { issuer: read.then_some(issuer), code, took }
                }
            });
        }
        verdict
    }

    /// Checks form and signature. Asks the key source only when the token is well formed, says it is
    /// of this issuer, and its `kid` is not known; whoever holds a known one never waits for that.
    async fn open(&self, token: &str) -> Result<(VerifiedJws, u64), TokenRefusal> {
        let jws = UnverifiedJws::parse(token)?;
        self.validation.check_algorithm(jws.header.algorithm)?;
        let kid = jws.header.key_id.as_deref();
        let span = Span::current();
        span.record("alg", jws.header.algorithm.as_str());
        if let Some(kid) = kid {
            span.record("kid", quoted(kid));
        }
        let known = self.keys.current().ok();
        let fits = |keys: &JwkSet| kid.is_some_and(|kid| keys.contains(kid));
        if !known.as_deref().is_some_and(fits) {
            // Nothing that is signed by a key unknown here is worth a fetch when it says itself that it is another issuer's.
            self.validation.check_claimed_issuer(jws.claimed_issuer().as_deref())?;
        }
        let mut keys = match known {
            Some(keys) => keys,
            None => self.keys.refreshed(None).await?,
        };
        if let Some(kid) = kid
            && !keys.contains(kid)
        {
            keys = self.keys.refreshed(Some(kid)).await?;
        }
        let key = jws.select(&keys).ok_or_else(|| jws.unknown_key())?;
        Ok((jws.verify(key)?, keys.generation()))
    }
}

impl Remembered {
    fn new(max_bytes: u64) -> Self {
        let tokens = moka::sync::Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, entry: &Entry| entry.weight)
            .build();
        Self { tokens, counts: Arc::default() }
    }

    fn insert(&self, token: &str, verified: &Arc<Verified<AccessToken>>, generation: u64) {
        self.counts.misses.fetch_add(1, Ordering::Relaxed);
        // Parsed JSON takes about four times its text; the rest is the entry itself.
        let weight = u32::try_from(512 + 4 * token.len()).unwrap_or(u32::MAX);
        let entry = Entry { token: Arc::clone(verified), generation, weight };
        self.tokens.insert(digest_of(token), entry);
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("validation", &self.validation)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// Whether the token is worth nothing without a proof of possession, of whatever kind (RFC 7800).
fn is_bound(token: &Verified<AccessToken>) -> bool {
    token.members().contains_key("cnf")
}

fn digest_of(token: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    bytes
}
