//! A provider: its issuer, HTTP to it, and its metadata, fetched at first use and kept fresh (OpenID
//! Connect Discovery 1.0, RFC 8414).
//!
//! | to … | use |
//! |---|---|
//! | name an issuer | [`Issuer`], compared byte for byte |
//! | discover a provider at first use | [`Provider::new`], with a [`ProviderPolicy`] |
//! | use metadata that is known | [`ProviderMetadata::parse`] or [`ProviderMetadata::new`] → [`Provider::with_metadata`] |
//! | read its endpoints and what it supports | [`Provider::metadata`] → [`ProviderMetadata`] |
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

use crate::fresh::{Attempt, Failure, Fetched, Fresh, Policy};
use crate::http::Http;
use crate::observer::{Event, Observer};

mod metadata;

pub use crate::fresh::Retry;
pub use crate::issuer::{InvalidIssuer, Issuer, IssuerTemplate};
pub use metadata::{DiscoveryError, MtlsEndpointAliases, ProviderMetadata};

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
        Self::discovered(issuer, http, ProviderPolicy::default(), None)
    }

    /// A provider whose metadata is known and never fetched.
    pub fn with_metadata(metadata: ProviderMetadata, http: Arc<dyn Http>) -> Self {
        let issuer = metadata.issuer.clone();
        let metadata = Source::Given(Arc::new(metadata));
        Self { issuer, http, metadata, policy: ProviderPolicy::default(), observer: None }
    }

    /// Replaces the policy; metadata discovered before is dropped.
    #[must_use]
    pub fn with_policy(self, policy: ProviderPolicy) -> Self {
        match self.metadata {
            Source::Given(_) => self,
            Source::Discovered(_) => {
                Self::discovered(self.issuer, self.http, policy, self.observer)
            }
        }
    }

    /// Reports discovery to `observer`, and the uses of this provider: keys fetched
    /// ([`RemoteKeys`](crate::keys::RemoteKeys)), tokens requested. Metadata discovered before is
    /// dropped.
    #[must_use]
    pub fn with_observer(self, observer: Observer) -> Self {
        match self.metadata {
            Source::Given(_) => Self { observer: Some(observer), ..self },
            Source::Discovered(_) => {
                Self::discovered(self.issuer, self.http, self.policy, Some(observer))
            }
        }
    }

    fn discovered(
        issuer: Issuer,
        http: Arc<dyn Http>,
        policy: ProviderPolicy,
        observer: Option<Observer>,
    ) -> Self {
        let (asked, through) = (issuer.clone(), Arc::clone(&http));
        let (reporting, about) = (observer.clone(), issuer.clone());
        let fresh = Fresh::new(
            Policy {
                max_age: policy.max_age,
                max_stale: None,
                wait: policy.wait,
                retry: policy.retry,
            },
            Box::new(move |_| {
                let (issuer, http) = (asked.clone(), Arc::clone(&through));
                let span = tracing::debug_span!("discovery", %issuer, outcome = field::Empty);
                let discovery = async move {
                    match ProviderMetadata::discover(&issuer, http.as_ref()).await {
                        Ok(metadata) => {
                            Span::current().record("outcome", "ok");
                            tracing::debug!(%issuer, "metadata discovered");
                            Ok(Fetched::new(Arc::new(metadata)))
                        }
                        Err(error) => {
                            Span::current().record("outcome", error.code());
                            tracing::warn!(%issuer, %error, "discovery failed");
                            Err(failure(&error))
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
        Self { issuer, http, metadata: Source::Discovered(Arc::new(fresh)), policy, observer }
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
    /// [`ProviderUnavailable`] when there is none yet and attempts fail; it says when the next one
    /// is due.
    pub async fn metadata(&self) -> Result<Arc<ProviderMetadata>, ProviderUnavailable> {
        match &self.metadata {
            Source::Given(metadata) => Ok(Arc::clone(metadata)),
            Source::Discovered(fresh) => fresh.value().await.map_err(|f| self.unavailable(f)),
        }
    }

    /// Discovers now, even while backing off.
    ///
    /// # Errors
    ///
    /// [`ProviderUnavailable`] when this attempt fails; the known metadata stays in use.
    pub async fn refresh_now(&self) -> Result<Arc<ProviderMetadata>, ProviderUnavailable> {
        match &self.metadata {
            Source::Given(metadata) => Ok(Arc::clone(metadata)),
            Source::Discovered(fresh) => fresh.refresh().await.map_err(|f| self.unavailable(f)),
        }
    }

    /// Metadata from the next discovery: now, or when it is due while attempts fail.
    pub(crate) async fn next_metadata(&self) -> Result<Arc<ProviderMetadata>, ProviderUnavailable> {
        match &self.metadata {
            Source::Given(metadata) => Ok(Arc::clone(metadata)),
            Source::Discovered(fresh) => fresh.next().await.map_err(|f| self.unavailable(f)),
        }
    }

    /// Reports to the observer, if there is one.
    pub(crate) fn observe(&self, event: &Event<'_>) {
        if let Some(observer) = &self.observer {
            observer(event);
        }
    }

    fn unavailable(&self, failure: Failure) -> ProviderUnavailable {
        ProviderUnavailable {
            issuer: self.issuer.clone(),
            reason: failure.reason,
            retry_after: failure.retry_after.unwrap_or(Duration::from_secs(1)),
        }
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

fn failure(error: &DiscoveryError) -> Failure {
    let retry_after = match error {
        DiscoveryError::Fetch(error) => error.retry_after(),
        _ => None,
    };
    Failure { code: error.code(), reason: error.to_string(), retry_after }
}
