//! What goes on inside, told to whoever counts it: tokens verified and refused, keys and metadata
//! fetched, tokens asked for.
//!
//! An [`Observer`] is called by the task that does the work, between two of its steps: it counts and
//! returns, and does not panic. It is told names, codes and durations, never a token, a claim, a code or a secret.
//! Durations are of the monotonic clock. The same steps are `tracing` spans of level `DEBUG` in this
//! crate's target: `verify`, `keys.fetch`, `discovery` and `token.request`.

use std::sync::Arc;
use std::time::Duration;

use crate::algorithm::Algorithm;
use crate::issuer::Issuer;

/// Is told each [`Event`] as it happens, by [`Verifier`](crate::Verifier::with_observer),
/// `Introspection` or
/// [`Provider`](crate::Provider::with_observer).
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use oidc_core::{Event, JwkSet, Observer, StaticKeys, Validation, Verifier};
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

/// Something that happened. More may be added, and more may be told of each.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'e> {
    /// A token passed every check.
    #[non_exhaustive]
    TokenVerified {
        /// Whose it is.
        issuer: &'e Issuer,
        /// `kid` of its header (RFC 7515 §4.1.4).
        kid: Option<&'e str>,
        /// What it is signed with; `None` when the issuer was asked (RFC 7662).
        algorithm: Option<Algorithm>,
        /// How long that took, with any wait for keys.
        took: Duration,
    },
    /// A token did not pass.
    #[non_exhaustive]
    TokenRefused {
        /// Whose rules it did not meet; `None` when it did not get as far as that.
        issuer: Option<&'e Issuer>,
        /// [`TokenRefusal::code`](crate::TokenRefusal::code)
        code: &'static str,
        /// How long that took, with any wait for keys.
        took: Duration,
    },
    /// A token passed that was verified before: no signature was computed.
    #[non_exhaustive]
    TokenRemembered {
        /// Whose it is.
        issuer: &'e Issuer,
    },
    /// The issuer was asked for its keys (RFC 7517 §5).
    #[non_exhaustive]
    KeysFetched {
        /// Whose.
        issuer: &'e Issuer,
        /// A stable name of what went wrong, like those of [`FetchError::code`](crate::FetchError::code).
        outcome: Result<(), &'static str>,
        /// Whether there are other keys now than before.
        changed: bool,
        /// How long that took.
        took: Duration,
    },
    /// The issuer was asked for its metadata (OpenID Connect Discovery 1.0 §4).
    #[non_exhaustive]
    Discovered {
        /// Whose.
        issuer: &'e Issuer,
        /// [`DiscoveryError::code`](crate::DiscoveryError::code) of what went wrong.
        outcome: Result<(), &'static str>,
        /// How long that took.
        took: Duration,
    },
    /// The token endpoint was asked for tokens (RFC 6749 §3.2). Not told when the one who asked went
    /// away before the answer.
    #[non_exhaustive]
    TokensRequested {
        /// Whose.
        issuer: &'e Issuer,
        /// `grant_type`
        grant_type: &'e str,
        /// `TokenEndpointError::code` of what went wrong.
        outcome: Result<(), &'static str>,
        /// How long that took.
        took: Duration,
    },
}
