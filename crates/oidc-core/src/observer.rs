//! Events for metrics: tokens verified and refused, keys and metadata fetched, tokens requested.
//!
//! | to … | use |
//! |---|---|
//! | count verified and refused tokens | [`Verifier::with_observer`](crate::Verifier::with_observer) |
//! | count fetches of keys and metadata (RFC 7517, OpenID Connect Discovery 1.0), token requests (RFC 6749) | [`Provider::with_observer`](crate::provider::Provider::with_observer) |
//! | distinguish the events | [`Event`] |
//!
//! The task that does the work calls its [`Observer`] between two steps, so the observer must
//! return quickly and must not panic. It gets names, codes and durations, never a token, a claim, a
//! code or a secret. Durations are of the monotonic clock. The same steps are `tracing` spans of
//! level `DEBUG` in this crate's target: `verify`, `keys.fetch`, `discovery` and `token.request`.

use std::sync::Arc;
use std::time::Duration;

use crate::issuer::Issuer;
use crate::token::Algorithm;

/// Called with each [`Event`] as it happens, by [`Verifier`](crate::Verifier::with_observer),
/// `Introspection` or [`Provider`](crate::provider::Provider::with_observer).
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use oidc_core::keys::{JwkSet, StaticKeys};
/// use oidc_core::observer::{Event, Observer};
/// use oidc_core::{Validation, Verifier};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let refused = Arc::new(AtomicU64::new(0));
/// let counter = Arc::clone(&refused);
/// let observer: Observer = Arc::new(move |event| {
///     if let Event::TokenRefused { code, .. } = event {
///         assert_eq!(*code, "malformed");
///         counter.fetch_add(1, Ordering::Relaxed);
///     }
/// });
///
/// let keys = Arc::new(StaticKeys::new(JwkSet::parse(br#"{"keys":[]}"#)?));
/// let verifier = Verifier::new(Validation::new("https://id.example".parse()?, "hub"), keys)
///     .with_observer(observer);
/// assert!(verifier.access_token("not a token").await.is_err());
/// assert_eq!(refused.load(Ordering::Relaxed), 1);
/// # Ok(()) }
/// ```
pub type Observer = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// An event. More variants and fields may be added.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'e> {
    /// A token passed every check.
    #[non_exhaustive]
    TokenVerified {
        /// Its issuer.
        issuer: &'e Issuer,
        /// `kid` of its header (RFC 7515 §4.1.4).
        kid: Option<&'e str>,
        /// Algorithm of the signature; `None` when the issuer was asked (RFC 7662).
        algorithm: Option<Algorithm>,
        /// Duration, including any wait for keys.
        took: Duration,
    },
    /// A token was refused.
    #[non_exhaustive]
    TokenRefused {
        /// The issuer whose rules it did not meet; `None` when no issuer was chosen yet.
        issuer: Option<&'e Issuer>,
        /// [`TokenRefusal::code`](crate::TokenRefusal::code)
        code: &'static str,
        /// Duration, including any wait for keys.
        took: Duration,
    },
    /// A token that was verified before was accepted: no signature was computed.
    #[non_exhaustive]
    TokenRemembered {
        /// Its issuer.
        issuer: &'e Issuer,
    },
    /// The issuer was asked for its keys (RFC 7517 §5).
    #[non_exhaustive]
    KeysFetched {
        /// The issuer.
        issuer: &'e Issuer,
        /// Stable name of the failure, like those of [`FetchError::code`](crate::http::FetchError::code).
        outcome: Result<(), &'static str>,
        /// Whether the keys changed.
        changed: bool,
        /// Duration.
        took: Duration,
    },
    /// The issuer was asked for its metadata (OpenID Connect Discovery 1.0 §4).
    #[non_exhaustive]
    Discovered {
        /// The issuer.
        issuer: &'e Issuer,
        /// [`DiscoveryError::code`](crate::provider::DiscoveryError::code) of the failure.
        outcome: Result<(), &'static str>,
        /// Duration.
        took: Duration,
    },
    /// The token endpoint was asked for tokens (RFC 6749 §3.2). Not reported when the caller
    /// stopped waiting before the answer.
    #[non_exhaustive]
    TokensRequested {
        /// The issuer.
        issuer: &'e Issuer,
        /// `grant_type`
        grant_type: &'e str,
        /// `TokenEndpointError::code` of the failure.
        outcome: Result<(), &'static str>,
        /// Duration.
        took: Duration,
    },
}
