//! OpenID Connect for relying parties and resource servers.
//!
//! | to … | use |
//! |---|---|
#![cfg_attr(
    feature = "reqwest",
    doc = "| verify a bearer token | [`Verifier::for_issuer`] → [`Verified`]`<`[`AccessToken`]`>` |"
)]
//! | verify with other rules, keys or several issuers | [`verify`]: [`Validation`] + [`KeySource`](keys::KeySource) → [`Verifier`] |
//! | read the claims of a token | [`token`]: [`Claims`] |
#![cfg_attr(
    feature = "resource-server",
    doc = "| have a service check its callers | [`resource_server`]: `VerifyLayer` → `Identity` |"
)]
#![cfg_attr(
    feature = "login",
    doc = "| log users in | [`login`]: [`Client`] → `Login` with an [`IdToken`] |"
)]
#![cfg_attr(
    feature = "token",
    doc = "| get tokens for a program | [`client`]: `TokenEndpoint` + `Grant` → `TokenSet` |"
)]
//! | bind tokens to a key, or check that binding | [`dpop`] |
//! | name a provider, read its metadata | [`provider`]: [`Issuer`], [`Provider`](provider::Provider) |
//! | keep an issuer's keys fresh, or use known ones | [`keys`] |
//! | send requests in another way, or through a proxy | [`http`] |
//! | count what happens | [`observer`] |
#![cfg_attr(
    feature = "oauth2",
    doc = "| keep a program on the crates `oauth2` and `openidconnect` | [`interop`] |"
)]
#![cfg_attr(feature = "blocking", doc = "| verify in code that is not async | [`blocking`] |")]
#![cfg_attr(feature = "test-util", doc = "| test a service without a provider | [`testing`] |")]
//!
//! The names a first program needs are at the root; each module holds the rest of its subject and
//! says in a table what is for what.
//!
//! Side effects go through three ports: [`Http`](http::Http), [`KeySource`](keys::KeySource) and
//! [`Clock`]. Everything else is values and rules. No token can cause a fetch from an address that it
//! names.
//!
//! Every refusal names the problem and the remedy, and has a stable code:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use oidc_core::keys::{JwkSet, StaticKeys};
//! use oidc_core::{Validation, Verifier};
//!
//! let keys = Arc::new(StaticKeys::new(JwkSet::parse(br#"{"keys":[]}"#)?));
//! let verifier = Verifier::new(Validation::new("https://id.example".parse()?, "hub"), keys);
//!
//! let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.";
//! let refusal = verifier.access_token(unsigned).await.unwrap_err();
//! assert_eq!(refusal.code(), "algorithm_not_allowed");
//! # Ok(()) }
//! ```
//!
//! With the keys of a real provider, which are fetched, kept fresh, and shared by all requests:
//!
//! ```no_run
//! # #[cfg(feature = "reqwest")]
//! # async fn run(bearer: &str) -> Result<(), Box<dyn std::error::Error>> {
//! use oidc_core::Verifier;
//!
//! let verifier = Verifier::for_issuer("https://id.example/realms/lab", "hub")?;
//! let token = verifier.access_token(bearer).await?;
//! println!("{} may enter: {}", token.subject(), token.realm_roles().contains("data-scientist"));
//! # Ok(()) }
//! ```

#![warn(clippy::missing_errors_doc)]

// Names, values and time.
mod issuer;
mod secret;
mod clock;
mod json;
mod foreign_text;
#[cfg(feature = "token")]
mod random;
pub mod token;

// The provider, and HTTP to it.
pub mod http;
mod misconfigured;
pub mod observer;
mod fresh;
pub mod provider;
pub mod keys;

// Signatures, and proofs of possession.
mod refusal;
mod jose;
pub mod dpop;

// The roles of a program: client, resource server, relying party.
#[cfg(feature = "token")]
pub mod client;
pub mod verify;
#[cfg(feature = "resource-server")]
pub mod resource_server;
#[cfg(feature = "blocking")]
pub mod blocking;
#[cfg(feature = "login")]
pub mod login;

// Programs that use the crates `oauth2` and `openidconnect`.
#[cfg(feature = "oauth2")]
pub mod interop;

#[cfg(feature = "test-util")]
pub mod testing;

pub use clock::{Clock, SystemClock};
pub use json::{NotStrictJson, strict_json};
#[cfg(feature = "login")]
pub use login::Client;
pub use provider::Issuer;
pub use secret::Secret;
pub use token::{AccessToken, Claims, IdToken};
pub use verify::{TokenRefusal, Validation, Verified, Verifier};

/// The examples of the README.
#[cfg(all(doctest, feature = "reqwest"))]
#[doc = include_str!("../README.md")]
struct FrontPage;
