//! A program as a client of a provider: it authenticates and gets tokens (RFC 6749, RFC 7523, RFC 8693).
//!
//! | to … | use |
//! |---|---|
//! | get tokens for a program, exchange or refresh them | [`TokenEndpoint`] + [`Grant`] → [`TokenSet`] |
//! | authenticate with a secret, from a file or not | [`ClientAuth`] with a [`ClientSecret`] |
//! | authenticate with a key (RFC 7523) | [`PrivateKeyJwt`] |
//! | authenticate with what the platform offers | [`AutoAuth`], [`ClientAuth::AssertionFile`], [`ClientAuth::MutualTls`] |
//! | have a user approve this device on another one (RFC 8628) | [`DeviceAuthorization`] |
//! | revoke a token (RFC 7009) | [`TokenEndpoint::revoke`] with a [`TokenHint`] |
//! | bind tokens to a key (RFC 9449) | [`TokenEndpoint::with_dpop`] with a [`DpopKey`](crate::dpop::DpopKey) |
#![cfg_attr(
    feature = "login",
    doc = "| log a user in | [`login`](crate::login), whose [`Client`](crate::Client) has a token endpoint |"
)]
//!
//! Errors and debug output contain no secret. Tokens that are fetched once and kept fresh are in the
//! crate `m2m`.
//!
//! ```no_run
//! # async fn run(provider: oidc_core::provider::Provider) -> Result<(), Box<dyn std::error::Error>> {
//! use oidc_core::client::{ClientAuth, ClientSecret, Grant, TokenEndpoint};
//!
//! let auth = ClientAuth::SecretBasic(ClientSecret::file("/run/secrets/airflow-run"));
//! let endpoint = TokenEndpoint::new(provider, "airflow-run", auth);
//! let scope = Some("score".into());
//! let grant = Grant::ClientCredentials { scope, audience: None, resource: Vec::new() };
//! let tokens = endpoint.request(grant).await?;
//! println!("expires at {:?}", tokens.expires_at);
//! # Ok(()) }
//! ```

mod auth;
mod client_endpoint;
mod device;
mod grant;
mod token_endpoint;
mod token_set;

pub use crate::jose::InvalidPrivateKey;
pub use auth::{
    AutoAuth, ClientAuth, ClientAuthAttempt, ClientAuthError, ClientSecret, PrivateKeyJwt,
};
pub(crate) use auth::{Form, Occasion};
pub(crate) use client_endpoint::ClientEndpoint;
pub use device::{DeviceAuthorization, DeviceError};
#[cfg(feature = "oauth2")]
pub(crate) use grant::GRANT_TYPES;
pub use grant::Grant;
#[cfg(feature = "oauth2")]
pub(crate) use token_endpoint::Failed;
pub use token_endpoint::{TokenEndpoint, TokenHint};
#[cfg(feature = "oauth2")]
pub(crate) use token_set::invalid;
pub use token_set::{TokenEndpointError, TokenSet, TokenType};
