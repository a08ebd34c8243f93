//! Access rules for web applications, decided and explained by a pure function.
//!
//! | to … | use |
//! |---|---|
//! | describe the caller | [`Caller`], [`Known`]: claims that an issuer has confirmed |
//! | write rules | [`Policy`] of [`Rule`]s: paths, methods, [`Allow`] |
//! | ask for roles, groups, scopes, claims | [`Requirement`] |
//! | ask for subjects of jobs | [`SubjectPattern`] |
//! | choose by a message of MCP | [`Messages`] of a rule, [`Message`] of a request |
//! | ask for hours, a strong or recent sign-in, a condition | [`Hours`], [`Requirement::acr`], [`Condition`] |
//! | decide | [`Policy::decide`] → [`Decision`] |
//! | explain | [`Policy::explain`] → [`Step`]s; [`Unmet`] names the missing parts |
//!
//! The first rule whose path and method match decides. Without a matching rule the request is refused, and so is a path that
//! servers could read in a way for which another rule would decide. Nothing here opens a connection, reads a clock or knows
//! tokens: time is part of the request, and the same request and caller always give the same decision.
//!
//! ```
//! use access_policy::{AccessRequest, Allow, Caller, Decision, Known, Policy, Requirement, Rule};
//! use http_canonical::{CanonicalMethod, CanonicalPath};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let scientists = Requirement { roles: vec!["data-scientist".to_owned()], ..Requirement::default() };
//! let policy = Policy::new(vec![Rule {
//!     path: Some("/models/**".parse()?),
//!     methods: vec![CanonicalMethod::GET],
//!     messages: None,
//!     allow: Allow::AnyOf(vec![scientists]),
//!     shadow: false,
//! }]);
//!
//! let path: CanonicalPath = "/models/churn".parse()?;
//! let request = AccessRequest::new(&CanonicalMethod::GET, &path);
//! assert_eq!(policy.decide(&request, &Caller::Anonymous), Decision::SignIn { rule: 1 });
//!
//! let alice = Known { subject: "a1".to_owned(), roles: vec!["data-scientist".to_owned()], ..Known::default() };
//! let decision = policy.decide(&request, &Caller::Known(alice.into()));
//! assert_eq!(decision, Decision::Allow { rule: 1, public: false });
//! # Ok(()) }
//! ```

mod caller;
mod message;
mod request;
mod hours;
mod condition;
mod requirement;
mod policy;

pub use caller::{Caller, Known};
pub use condition::{Condition, ConditionError};
pub use hours::{Hours, HoursError, Weekday};
pub use message::{InvalidNamePattern, Message, Messages, NamePattern};
pub use policy::{Allow, Decision, Policy, Rule, Step};
pub use request::{AccessRequest, Times};
pub use requirement::{Requirement, StepUp, Unmet};
pub use subject_pattern::{InvalidPattern, SubjectPattern};

/// The example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct FrontPage;
