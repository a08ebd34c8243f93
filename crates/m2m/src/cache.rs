//! Tokens kept in memory: one request for all callers, refresh before expiry, and the last valid token
//! while the issuer is down.
//!
//! A token is refreshed in the background when less than `min(30 s, life / 2)`, shortened by jitter,
//! is left: one of 300 s is served from memory for at least 270 s. During a refresh callers get the
//! present token without waiting. It is served until it expires; a wall clock that is set back
//! lengthens its life by no more than a second.
//!
//! After a failure the next attempt waits 1 s to 30 s with jitter, or as long as the issuer's
//! `Retry-After` asks. Until then, callers that need a new token get the last failure at once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use oidc_core::{Clock, SystemClock};
use tokio::time::Instant;

use crate::access_token::AccessToken;
use crate::cache_key::CacheKey;
use crate::source::{TokenError, TokenSource};

mod backoff;
#[cfg(all(unix, feature = "file-cache"))]
mod file;
mod flight;
mod held;
#[cfg(not(all(unix, feature = "file-cache")))]
mod no_file;

#[cfg(all(unix, feature = "file-cache"))]
pub use file::{FileCache, ShortSealingKey};

pub(crate) use backoff::Failure;
pub(crate) use held::{Held, Now};

use flight::{Flights, Why};
#[cfg(not(all(unix, feature = "file-cache")))]
use no_file as file;

/// A [`TokenSource`] that caches the token of another. Cheap to clone; clones share the token.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use m2m::{AccessToken, CachedTokens, TokenError, TokenSource};
///
/// #[derive(Debug)]
/// struct Issuer;
///
/// #[async_trait::async_trait]
/// impl TokenSource for Issuer {
///     async fn token(&self) -> Result<AccessToken, TokenError> {
///         Ok(AccessToken::bearer("2YotnFZFEjr1zCsicMWpAA".into(), None)?)
///     }
/// }
///
/// let tokens = CachedTokens::new(Issuer);
/// assert!(tokens.current().is_none());
/// let token = tokens.token().await?;
/// assert_eq!(tokens.current(), Some(token));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct CachedTokens {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    source: Arc<dyn TokenSource>,
    clock: Arc<dyn Clock>,
    /// File through which other processes share the token.
    entry: Option<file::Entry>,
    /// The token that readers see. Written under the lock of `flights` only.
    held: ArcSwapOption<Held>,
    /// The second of the wall clock in which the monotonic clock was last read too.
    second: AtomicU64,
    flights: Flights,
}

impl CachedTokens {
    /// Caches the tokens of a source.
    pub fn new(source: impl TokenSource + 'static) -> Self {
        Self::built(Arc::new(source), Arc::new(SystemClock), None)
    }

    /// The usual case: one client's own tokens, over HTTP with the default options.
    ///
    /// ```no_run
    /// # async fn job() -> Result<(), Box<dyn std::error::Error>> {
    /// use m2m::{CachedTokens, ClientCredentials, TokenSource};
    /// use oidc_core::client::{ClientAuth, ClientSecret};
    ///
    /// let issuer = "https://id.example/realms/lab".parse()?;
    /// let auth = ClientAuth::SecretBasic(ClientSecret::file("/run/secrets/airflow"));
    /// let grant = ClientCredentials::new().with_scope("score");
    /// let tokens = CachedTokens::for_client(issuer, "airflow-run", auth, grant)?;
    /// let token = tokens.token().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Fails when TLS cannot be set up: the platform has no trusted certificates.
    #[cfg(feature = "reqwest")]
    pub fn for_client(
        issuer: oidc_core::Issuer,
        client_id: impl Into<String>,
        auth: oidc_core::client::ClientAuth,
        grant: crate::ClientCredentials,
    ) -> Result<Self, oidc_core::http::reqwest::HttpSetupError> {
        use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};

        let http = Arc::new(ReqwestHttp::new(HttpOptions::default())?);
        let provider = oidc_core::provider::Provider::new(issuer, http);
        let endpoint = oidc_core::client::TokenEndpoint::new(provider, client_id, auth);
        Ok(Self::new(crate::IssuerTokens::new(endpoint, grant)))
    }

    /// Takes the time from `clock`. Drops the tokens cached so far.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        let Shared { source, entry, .. } = &*self.shared;
        Self::built(Arc::clone(source), clock, entry.clone())
    }

    /// Shares the tokens with other processes of this user: one process asks the issuer for all of
    /// them. Drops the tokens cached so far. A source without a
    /// [`cache_key`](TokenSource::cache_key) is not shared.
    #[cfg(all(unix, feature = "file-cache"))]
    #[must_use]
    pub fn with_file_cache(self, files: &FileCache) -> Self {
        let Shared { source, clock, .. } = &*self.shared;
        let entry = source.cache_key().map(|key| files.entry(key));
        Self::built(Arc::clone(source), Arc::clone(clock), entry)
    }

    fn built(
        source: Arc<dyn TokenSource>,
        clock: Arc<dyn Clock>,
        entry: Option<file::Entry>,
    ) -> Self {
        let (held, flights) = (ArcSwapOption::empty(), Flights::default());
        let second = AtomicU64::new(u64::MAX);
        Self { shared: Arc::new(Shared { source, clock, entry, held, second, flights }) }
    }

    /// The token in memory, if it is valid; begins its refresh in the background when that is due.
    ///
    /// Never blocks or waits. Allocates nothing unless it begins a refresh. Needs no runtime: without
    /// one it still serves the token, and the next call inside a runtime begins the refresh.
    pub fn current(&self) -> Option<AccessToken> {
        let held = self.shared.held.load();
        let held = held.as_ref()?;
        let wall = self.shared.clock.now();
        // Reading clocks is most of the cost of this call. Within one second of the wall clock, the
        // monotonic clock is read once.
        let second = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.shared.second.load(Ordering::Relaxed) == second && held.is_fresh(wall) {
            return Some(held.token.clone());
        }
        let now = Now { wall, monotonic: Instant::now() };
        if !held.is_good(now) {
            return None;
        }
        if held.is_due(now) {
            self.shared.begin_refresh(now);
        } else {
            self.shared.second.store(second, Ordering::Relaxed);
        }
        Some(held.token.clone())
    }
}

impl CachedTokens {
    /// True if a call inside a runtime would begin a refresh.
    #[cfg(feature = "blocking")]
    pub(crate) fn is_refresh_due(&self) -> bool {
        self.shared.held.load().as_ref().is_some_and(|held| held.is_due(self.shared.now()))
    }
}

// === impl TokenSource ===

#[async_trait]
impl TokenSource for CachedTokens {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        match self.current() {
            Some(token) => Ok(token),
            None => self.shared.answer(Why::Absent).await,
        }
    }

    /// Renews once for all callers whose token was rejected together, and at most once in
    /// `min(30 s, life / 2)`. So a service that refuses every token does not cause a request to the
    /// issuer per call.
    async fn token_after(&self, rejected: &AccessToken) -> Result<AccessToken, TokenError> {
        match self.current() {
            Some(newer) if newer != *rejected => Ok(newer),
            _ => self.shared.answer(Why::Rejected(rejected.clone())).await,
        }
    }

    fn current(&self) -> Option<AccessToken> {
        self.current()
    }

    fn cache_key(&self) -> Option<CacheKey> {
        self.shared.source.cache_key()
    }
}

impl Shared {
    fn now(&self) -> Now {
        Now { wall: self.clock.now(), monotonic: Instant::now() }
    }

    /// The token in memory, if it is valid.
    fn good(&self, now: Now) -> Option<Arc<Held>> {
        self.held.load_full().filter(|held| held.is_good(now))
    }
}

impl fmt::Debug for CachedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedTokens")
            .field("source", &self.shared.source)
            .field("held", &self.shared.held.load().as_ref().map(|held| &held.token))
            .finish_non_exhaustive()
    }
}
