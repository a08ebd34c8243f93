//! A provider: its issuer, HTTP to it, and its metadata, fetched at first use and kept fresh (OpenID
//! Connect Discovery 1.0, RFC 8414).
//!
//! | to … | use |
//! |---|---|
//! | name an issuer | [`Issuer`], compared byte for byte |
//! | discover a provider at first use | [`Provider::new`], with a [`ProviderPolicy`] |
//! | use metadata that is known | [`ProviderMetadata::parse`] or [`ProviderMetadata::new`] → [`Provider::with_metadata`] |
//! | reach it by another address than its issuer | [`Provider::with_discovery_url`] |
//! | reach it by plain `http` off loopback | [`PlainHttpHosts`] → [`Provider::dangerous_allow_http`] |
//! | read its endpoints and what it supports | [`Provider::metadata`] → [`ProviderMetadata`] |
//! | tell a mistake from an outage | [`ProviderError`], [`IssuerMisconfigured`] |
//! | set the pauses between failed fetches | [`Retry`] |
//!
//! Constructing one does no I/O, so a gateway starts while its provider is down, and notices within
//! seconds when it appears ([`Retry::cap_unready`]).
//!
//! ```
//! use oidc_core::provider::{Issuer, ProviderMetadata};
//!
//! let issuer: Issuer = "https://id.example/realms/lab".parse()?;
//! let metadata = ProviderMetadata::new(&issuer, "https://id.example/realms/lab/certs")?;
//! assert_eq!(metadata.issuer, issuer);
//! assert!(ProviderMetadata::new(&issuer, "http://id.example/realms/lab/certs").is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tracing::{Instrument as _, Span, field};
use url::Url;

use crate::fresh::{Attempt, Failure, Fetched, Fresh, Policy};
use crate::http::Http;
use crate::observer::{Event, Observer};

mod discovery;
mod lenient;
mod metadata;

pub use crate::fresh::Retry;
pub use crate::issuer::{InvalidHttpHost, InvalidIssuer, Issuer, IssuerTemplate, PlainHttpHosts};
pub use crate::misconfigured::IssuerMisconfigured;
use discovery::Discovery;
pub use discovery::DiscoveryError;
pub use metadata::{MtlsEndpointAliases, ProviderMetadata};

/// Limits for fetching and keeping metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderPolicy {
    /// Age at which it is fetched again. 1 h.
    pub max_age: Duration,
    /// Longest time a caller waits for the first discovery. 3 s.
    pub wait: Duration,
    /// Pauses between failed fetches.
    pub retry: Retry,
}

impl Default for ProviderPolicy {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(60 * 60),
            wait: Duration::from_secs(3),
            retry: Retry::default(),
        }
    }
}

impl ProviderPolicy {
    /// Sets the longest time a caller waits for the first discovery.
    #[must_use]
    pub fn with_wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Sets the age at which metadata is fetched again.
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }
}

/// The provider cannot be used now.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the provider {issuer} is not available: {reason}; try again later")]
pub struct ProviderUnavailable {
    /// The provider's issuer.
    pub issuer: Issuer,
    /// Reason.
    pub reason: String,
    /// Wait before trying again.
    pub retry_after: Duration,
}

/// Reason a provider cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ProviderError {
    /// Not now; a later attempt may succeed.
    #[error(transparent)]
    Unavailable(#[from] ProviderUnavailable),
    /// Not until a configuration is corrected.
    #[error(transparent)]
    Misconfigured(#[from] Box<IssuerMisconfigured>),
}

impl ProviderError {
    /// Whether a later attempt may succeed without a change on either side.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Wait before trying again; `None` if that does not help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable(error) => Some(error.retry_after),
            Self::Misconfigured(_) => None,
        }
    }
}

/// An OpenID provider. A cheap handle: clones share the metadata and the one task that fetches it.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
/// use oidc_core::provider::Provider;
///
/// let http = Arc::new(ReqwestHttp::new(HttpOptions::default())?);
/// let provider = Provider::new("https://id.example/realms/lab".parse()?, http);
/// println!("{:?}", provider.metadata().await?.token_endpoint);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Provider {
    issuer: Issuer,
    http: Arc<dyn Http>,
    metadata: Source,
    discovery: Discovery,
    policy: ProviderPolicy,
    observer: Option<Observer>,
}

#[derive(Clone, Debug)]
enum Source {
    Given(Arc<ProviderMetadata>),
    Discovered(Arc<Fresh<ProviderMetadata>>),
}

impl Provider {
    /// The provider with this `issuer`; its metadata is discovered at first use.
    pub fn new(issuer: Issuer, http: Arc<dyn Http>) -> Self {
        let fetching = Fetching {
            issuer,
            http,
            discovery: Discovery::default(),
            policy: ProviderPolicy::default(),
            observer: None,
        };
        fetching.provider()
    }

    /// A provider whose metadata is known and never fetched.
    pub fn with_metadata(metadata: ProviderMetadata, http: Arc<dyn Http>) -> Self {
        let issuer = metadata.issuer.clone();
        Self { metadata: Source::Given(Arc::new(metadata)), ..Self::new(issuer, http) }
    }

    /// Fetches the metadata from this address instead of the issuer's own: a base to which the
    /// well-known path is appended, or the document itself (a path with `/.well-known/`). The
    /// document's `issuer` must still be this provider's. Its endpoints are used as announced, so that
    /// a provider can name internal ones for its clients and public ones for browsers. Metadata
    /// discovered before is dropped.
    ///
    /// An address by plain `http` is refused at discovery, except on loopback and with
    /// [`Provider::dangerous_allow_http`].
    #[must_use]
    pub fn with_discovery_url(self, url: Url) -> Self {
        self.fetching_by(|fetching| fetching.discovery.url = Some(url))
    }

    /// Accepts plain `http` with these hosts: for the address of the metadata, and for the endpoints
    /// that it announces. Metadata discovered before is dropped.
    #[must_use]
    pub fn dangerous_allow_http(self, hosts: PlainHttpHosts) -> Self {
        self.fetching_by(|fetching| fetching.discovery.plain_http = hosts)
    }

    /// Replaces the policy; metadata discovered before is dropped.
    #[must_use]
    pub fn with_policy(self, policy: ProviderPolicy) -> Self {
        self.fetching_by(|fetching| fetching.policy = policy)
    }

    /// Reports discovery to `observer`, and the uses of this provider: keys fetched
    /// ([`RemoteKeys`](crate::keys::RemoteKeys)), tokens requested. Metadata discovered before is
    /// dropped.
    #[must_use]
    pub fn with_observer(self, observer: Observer) -> Self {
        self.fetching_by(|fetching| fetching.observer = Some(observer))
    }

    fn fetching_by(self, change: impl FnOnce(&mut Fetching)) -> Self {
        let given = match self.metadata {
            Source::Given(_) => Some(self.metadata),
            Source::Discovered(_) => None,
        };
        let Self { issuer, http, discovery, policy, observer, .. } = self;
        let mut fetching = Fetching { issuer, http, discovery, policy, observer };
        change(&mut fetching);
        let provider = fetching.provider();
        match given {
            Some(metadata) => Self { metadata, ..provider },
            None => provider,
        }
    }

    /// Its identifier.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The HTTP adapter.
    pub fn http(&self) -> &Arc<dyn Http> {
        &self.http
    }

    /// Metadata, if it is known already. Never waits.
    pub fn current(&self) -> Option<Arc<ProviderMetadata>> {
        match &self.metadata {
            Source::Given(metadata) => Some(Arc::clone(metadata)),
            Source::Discovered(fresh) => fresh.current().ok(),
        }
    }

    /// Metadata. Waits for the first discovery, but not while attempts are failing.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] when there is none yet and attempts fail; it says when the next one is due, or
    /// the mistake to correct.
    pub async fn metadata(&self) -> Result<Arc<ProviderMetadata>, ProviderError> {
        match &self.metadata {
            Source::Given(metadata) => Ok(Arc::clone(metadata)),
            Source::Discovered(fresh) => fresh.value().await.map_err(|f| self.failed(f)),
        }
    }

    /// Discovers now, even while backing off.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] when this attempt fails; the known metadata stays in use.
    pub async fn refresh_now(&self) -> Result<Arc<ProviderMetadata>, ProviderError> {
        match &self.metadata {
            Source::Given(metadata) => Ok(Arc::clone(metadata)),
            Source::Discovered(fresh) => fresh.refresh().await.map_err(|f| self.failed(f)),
        }
    }

    /// Metadata from the next discovery: now, or when it is due while attempts fail.
    pub(crate) async fn next_metadata(&self) -> Result<Arc<ProviderMetadata>, ProviderError> {
        match &self.metadata {
            Source::Given(metadata) => Ok(Arc::clone(metadata)),
            Source::Discovered(fresh) => fresh.next().await.map_err(|f| self.failed(f)),
        }
    }

    /// Whether an address that the provider names may be used: by TLS, or by plain `http` where that is
    /// accepted.
    #[cfg(feature = "token")]
    pub(crate) fn accepts(&self, url: &Url) -> bool {
        self.discovery.accepts(&self.issuer, url)
    }

    /// Reports to the observer, if there is one.
    pub(crate) fn observe(&self, event: &Event<'_>) {
        if let Some(observer) = &self.observer {
            observer(event);
        }
    }

    fn failed(&self, failure: Failure) -> ProviderError {
        match failure.mistake {
            Some(mistake) => ProviderError::Misconfigured(mistake),
            None => ProviderError::Unavailable(ProviderUnavailable {
                issuer: self.issuer.clone(),
                reason: failure.reason,
                retry_after: failure.retry_after.unwrap_or(Duration::from_secs(1)),
            }),
        }
    }
}

/// The parts of a provider whose metadata is fetched.
struct Fetching {
    issuer: Issuer,
    http: Arc<dyn Http>,
    discovery: Discovery,
    policy: ProviderPolicy,
    observer: Option<Observer>,
}

impl Fetching {
    fn provider(self) -> Provider {
        let Self { issuer, http, discovery, policy, observer } = self;
        let (asked, through, way) = (issuer.clone(), Arc::clone(&http), discovery.clone());
        let (reporting, about) = (observer.clone(), issuer.clone());
        let fresh = Fresh::new(
            Policy {
                max_age: policy.max_age,
                max_stale: None,
                wait: policy.wait,
                retry: policy.retry,
            },
            Box::new(move |_| {
                let (issuer, http, way) = (asked.clone(), Arc::clone(&through), way.clone());
                let span = tracing::debug_span!("discovery", %issuer, outcome = field::Empty);
                let discovery = async move {
                    match ProviderMetadata::discover_by(&way, &issuer, http.as_ref()).await {
                        Ok(metadata) => {
                            Span::current().record("outcome", "ok");
                            tracing::debug!(%issuer, "metadata discovered");
                            Ok(Fetched::new(Arc::new(metadata)))
                        }
                        Err(error) => {
                            Span::current().record("outcome", error.code());
                            let failure = failure(&error, &issuer, way.setting());
                            tracing::warn!(%issuer, error = failure.reason, "discovery failed");
                            Err(failure)
                        }
                    }
                };
                Box::pin(discovery.instrument(span))
            }),
            Box::new(move |Attempt { outcome, took, .. }| {
                if let Some(observer) = &reporting {
                    observer(&Event::Discovered { issuer: &about, outcome, took });
                }
            }),
        );
        let metadata = Source::Discovered(Arc::new(fresh));
        Provider { issuer, http, metadata, discovery, policy, observer }
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("issuer", &self.issuer)
            .field("http", &self.http)
            .finish_non_exhaustive()
    }
}

fn failure(error: &DiscoveryError, issuer: &Issuer, setting: &'static str) -> Failure {
    let retry_after = match error {
        DiscoveryError::Fetch(error) => error.retry_after(),
        _ => None,
    };
    let mistake = error.mistake(issuer, setting);
    let reason = mistake.as_ref().map_or_else(|| error.to_string(), ToString::to_string);
    Failure { code: error.code(), reason, retry_after, mistake }
}
