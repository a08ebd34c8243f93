//! Verification of tokens (RFC 7519, RFC 8725, RFC 9068 §4, OpenID Connect Core 1.0 §3.1.3.7).
//!
//! | to … | use |
//! |---|---|
#![cfg_attr(
    feature = "reqwest",
    doc = "| verify a bearer token of one issuer | [`Verifier::for_issuer`] → [`Verified`]`<`[`AccessToken`](crate::AccessToken)`>` |"
)]
//! | verify with other rules, keys or several issuers | [`Validation`], [`Profile`] → [`Verifier::new`] |
//! | verify a token that is bound to a key or certificate | [`Presented`] → [`Verifier::presented`] |
#![cfg_attr(
    feature = "reqwest",
    doc = "| trust the assertion of the gateway before a service | [`AssertionVerifier::for_gateway`] |"
)]
#![cfg_attr(
    feature = "token",
    doc = "| accept tokens that only the issuer can read (RFC 7662) | [`Introspection`] → [`Verifier::with_introspection`] |"
)]
//! | verify an ID token or a logout token | [`Verifier::id_token`] with [`IdTokenExpectations`], [`Verifier::logout_token`] |
//! | answer a refused caller | [`TokenRefusal::code`], [`TokenRefusal::is_unavailable`] |
//! | verify without waiting when a token was verified before | [`Verifier::recall`] → [`Unverified`] → [`Verifier::verify`] |
//! | the same for a token that may be bound | [`Verifier::recall_presented`] → [`Unproven`] → [`Verifier::verify_presented`] |
//! | choose a verifier before verification | [`unverified_issuer`] |
//!
//! Issuer and audience are required arguments. `none` and HMAC are no algorithms here. A token causes
//! no request to an address that it names: `iss` chooses among the trusted issuers before any key is
//! used (RFC 8725 §3.8).
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use oidc_core::keys::{JwkSet, StaticKeys};
//! use oidc_core::verify::{Profile, Validation, Verifier};
//!
//! let rules = Validation::new("https://id.example".parse()?, "hub").with_profile(Profile::Rfc9068);
//! let keys = Arc::new(StaticKeys::new(JwkSet::parse(br#"{"keys":[]}"#)?));
//! let verifier = Verifier::new(rules, keys);
//!
//! // {"alg":"none"}.{"sub":"admin"}
//! let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.";
//! let refusal = verifier.access_token(unsigned).await.unwrap_err();
//! assert_eq!(refusal.code(), "algorithm_not_allowed");
//! # Ok(()) }
//! ```

// Tokens: what is required of one, and whether it is met.
mod verified;
mod validation;
mod trusted;
mod judge;
mod memory;
mod recall;
mod cache_stats;

// The verifiers.
mod assertion;
mod presented;
#[cfg(feature = "token")]
mod introspection;
#[cfg(feature = "reqwest")]
mod setup;
#[cfg(feature = "token")]
mod signed_answers;
mod verifier;

pub use crate::jose::{dangerous_unverified_claims, unverified_issuer};
pub use crate::refusal::TokenRefusal;
pub use assertion::AssertionVerifier;
pub use cache_stats::CacheStats;
#[cfg(feature = "token")]
pub use introspection::Introspection;
pub(crate) use presented::Scheme;
pub use presented::{InvalidRequest, PresentationRefusal, Presented};
pub use recall::Unverified;
#[cfg(feature = "reqwest")]
pub use setup::VerifierSetupError;
pub use validation::{Binding, IdTokenExpectations, Profile, Validation};
pub use verified::Verified;
pub use verifier::{Unproven, Verifier};
