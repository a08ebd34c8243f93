//! Tokens, and what they say (RFC 7519, RFC 9068, OpenID Connect Core 1.0 §2 and §5.1).
//!
//! | to … | use |
//! |---|---|
//! | take a token of one kind | [`AccessToken`], [`IdToken`], [`LogoutToken`], in a [`Verified`](crate::Verified) |
//! | read claims by name | [`Claims`]: its fields, [`Claims::get`] and [`Claims::members`] |
//! | decide by scope, audience, role or group | [`Scope`], [`Audience`], [`RealmRoles`], [`ClientRoles`], [`Groups`] |
//! | read roles, groups and scopes by configured paths | [`ClaimPaths`] → [`Names`] |
//! | decide by the subject of a job | [`SubjectPattern`] |
//! | see the service that acts for the subject (RFC 8693 §4.1) | [`Actor`] |
//! | see the key or certificate that a token is bound to (RFC 7800) | [`Confirmation`] |
//! | name a signature algorithm (RFC 7518 §3.1) | [`Algorithm`] |
//!
//! Claims are read in one way only: a repeated member, or one of the wrong type, is an error. This
//! module verifies nothing; [`verify`](crate::verify) does.
//!
//! ```
//! use oidc_core::token::{Claims, Scope};
//!
//! let claims = Claims::parse(br#"{"sub":"alice","aud":"churn","scope":"score models:read"}"#)?;
//! assert!(claims.audience.contains("churn"));
//! assert_eq!(claims.scope, Scope::from("score models:read"));
//! assert!(!claims.scope.contains("admin"));
//! # Ok::<(), oidc_core::token::InvalidClaims>(())
//! ```

mod algorithm;
mod claims;
mod confirmation;
mod kinds;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use claims::{
    Actor, Audience, ClaimArray, ClaimObject, ClaimPaths, ClaimValue, Claims, ClientRoles, Groups,
    InvalidClaims, Names, RealmRoles, Scope,
};
pub use confirmation::Confirmation;
#[cfg(feature = "token")]
pub(crate) use confirmation::thumbprint;
pub use kinds::{AccessToken, IdToken, LogoutToken};
pub use subject_pattern::{InvalidPattern, SubjectPattern};
