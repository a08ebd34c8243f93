//! OpenID Connect for relying parties and resource servers.
//!
//! | to … | use |
//! |---|---|
//! | name a provider | [`Issuer`], [`Provider`], [`ProviderMetadata`] |
#![cfg_attr(
    feature = "reqwest",
    doc = "| verify a bearer token | [`Verifier::for_issuer`] → [`Verified`]`<`[`AccessToken`]`>` |"
)]
//! | verify with other rules, keys or several issuers | [`Validation`] + [`RemoteKeys`] → [`Verifier`] |
//! | verify one that is bound to a key or certificate | [`Presented`], [`DpopPolicy`] → [`Verifier::presented`] |
#![cfg_attr(
    feature = "resource-server",
    doc = "| have a service check its callers | [`resource_server::VerifyLayer`] → [`resource_server::Identity`] |"
)]
#![cfg_attr(
    feature = "login",
    doc = "| log somebody in | [`Client`]: [`LoginRequest`] → URL + [`PendingLogin`] → [`callback`] → [`Login`] |"
)]
#![cfg_attr(
    feature = "native",
    doc = "| log in the person at this machine | [`LoopbackRedirect`] → URL + [`LoopbackLogin`] → [`Login`] |"
)]
#![cfg_attr(
    feature = "token",
    doc = "| log in without a browser, judge opaque tokens | [`DeviceAuthorization`], [`Introspection`] |\n| get tokens for a program | [`TokenEndpoint`], [`Grant`], [`TokenSet`] |"
)]
//! | read claims | [`Claims`] |
#![cfg_attr(
    feature = "oauth2",
    doc = "| keep a program on the crates `oauth2` and `openidconnect` | [`interop`] |"
)]
//!
//! Side effects go through three ports: [`Http`], [`KeySource`] and [`Clock`]. Everything else is
//! values and rules. No token can cause a fetch from an address that it names.
//!
//! Every refusal names the problem and the remedy, and has a stable code:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use oidc_core::{JwkSet, StaticKeys, Validation, Verifier};
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

// Names and values.
mod issuer;
mod secret;
mod clock;
mod algorithm;
mod claims;
mod json;
mod foreign_text;

// The provider, and HTTP to it.
pub mod http;
mod observer;
mod fresh;
mod metadata;
mod provider;
mod keys;

// Verification.
mod jose;
mod validation;
mod tokens;
#[cfg(feature = "token")]
mod signed_answers;
mod cache_stats;
mod trusted;
mod verifier;
mod refusal;
mod confirmation;
mod dpop;
mod presented;
#[cfg(feature = "resource-server")]
pub mod resource_server;
#[cfg(feature = "blocking")]
pub mod blocking;

// Tokens from the provider.
#[cfg(feature = "token")]
mod random;
#[cfg(feature = "token")]
mod client_auth;
#[cfg(feature = "token")]
mod token;
#[cfg(feature = "token")]
mod device;
#[cfg(feature = "token")]
mod introspection;

// Login.
#[cfg(feature = "login")]
mod client;
#[cfg(feature = "login")]
mod login;
#[cfg(feature = "login")]
pub mod callback;
#[cfg(feature = "login")]
mod logout;
#[cfg(feature = "login")]
mod user_info;
#[cfg(feature = "native")]
mod native;

// Programs that use the crates `oauth2` and `openidconnect`.
#[cfg(feature = "oauth2")]
pub mod interop;

#[cfg(feature = "test-util")]
pub mod testing;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use cache_stats::CacheStats;
pub use claims::{Actor, Audience, Claims, ClientRoles, Groups, InvalidClaims, RealmRoles, Scope};
pub use clock::{Clock, SystemClock};
pub use confirmation::Confirmation;
pub use dpop::{
    DpopPolicy, LocalReplayMemory, ProofRefusal, ProofUse, ReplayMemory, ReplayMemoryUnavailable,
    UsedProof,
};
pub use fresh::Retry;
pub use http::{FetchError, Http, HttpError};
pub use issuer::{InvalidIssuer, Issuer};
pub use jose::unverified_issuer;
pub use keys::{
    InvalidJwkSet, JwkSet, KeyPolicy, KeySource, KeyStatus, KeysUnavailable, RemoteKeys,
    SkippedKey, StaticKeys,
};
pub use metadata::{DiscoveryError, MtlsEndpointAliases, ProviderMetadata};
pub use observer::{Event, Observer};
pub use presented::{InvalidRequest, PresentationRefusal, Presented};
pub use provider::{Provider, ProviderPolicy, ProviderUnavailable};
pub use refusal::TokenRefusal;
pub use secret::Secret;
pub use tokens::{AccessToken, IdToken, LogoutToken, Verified};
pub use validation::{IdTokenExpectations, Profile, Validation};
#[cfg(feature = "reqwest")]
pub use verifier::VerifierSetupError;
pub use verifier::{Unverified, Verifier};

#[cfg(feature = "token")]
pub use client_auth::{
    AutoAuth, ClientAuth, ClientAuthAttempt, ClientAuthError, ClientSecret, PrivateKeyJwt,
};
#[cfg(feature = "token")]
pub use device::{DeviceAuthorization, DeviceError};
#[cfg(feature = "token")]
pub use dpop::{DpopKey, DpopNonces};
#[cfg(feature = "token")]
pub use introspection::Introspection;
#[cfg(feature = "token")]
pub use jose::InvalidPrivateKey;
#[cfg(feature = "token")]
pub use token::{Grant, TokenEndpoint, TokenEndpointError, TokenHint, TokenSet, TokenType};

#[cfg(feature = "login")]
pub use callback::{CallbackRefusal, Code};
#[cfg(feature = "login")]
pub use client::{Client, DeviceLogin, Login, Refreshed};
#[cfg(feature = "login")]
pub use login::{LoginError, LoginRequest, PendingLogin};
#[cfg(feature = "login")]
pub use logout::LogoutRequest;
#[cfg(feature = "native")]
pub use native::{LoopbackLogin, LoopbackLoginError, LoopbackRedirect, LoopbackRedirectError};
#[cfg(feature = "login")]
pub use user_info::UserInfoError;

/// The examples of the README.
#[cfg(all(doctest, feature = "reqwest"))]
#[doc = include_str!("../README.md")]
struct FrontPage;
