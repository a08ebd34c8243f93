//! Login of users, from the first redirect to logout (OpenID Connect Core 1.0 §3.1).
//!
//! | to … | use |
//! |---|---|
//! | log a user in with a browser | [`Client`]: [`LoginRequest`] → URL + [`PendingLogin`] → [`callback`] → [`Login`] |
#![cfg_attr(
    feature = "native",
    doc = "| log in the user of this machine (RFC 8252) | [`LoopbackRedirect`] → URL + [`LoopbackLogin`] → [`Login`] |"
)]
//! | log in on a device without a browser (RFC 8628) | [`Client::begin_device_login`] → [`DeviceLogin`] → [`Login`] |
//! | keep the user logged in | [`Client::refresh`] → [`Refreshed`] |
//! | ask for more claims (OpenID Connect Core 1.0 §5.3) | [`Client::user_info`] |
//! | log out at the provider | [`LogoutRequest`] → [`Client::logout_url`] |
//! | end a session that the provider ended | [`Verifier::logout_token`](crate::Verifier::logout_token) |
//!
//! Always with PKCE (RFC 7636), `state` and `nonce`; pushed (RFC 9126), signed (RFC 9101, JARM) or
//! bound to a key (RFC 9449) where that is set. A [`Client`] keeps no state between the steps: the
//! program keeps [`PendingLogin`] and the tokens, and opens the browser.
//!
//! ```no_run
//! # async fn run(provider: oidc_core::provider::Provider, query: &str) -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use oidc_core::Client;
//! use oidc_core::client::{ClientAuth, ClientSecret};
//! use oidc_core::keys::RemoteKeys;
//! use oidc_core::login::LoginRequest;
//!
//! let keys = Arc::new(RemoteKeys::new(provider.clone()));
//! let auth = ClientAuth::SecretBasic(ClientSecret::file("/run/secrets/portal"));
//! let client = Client::new(provider, keys, "portal", auth);
//!
//! let request = LoginRequest::new("https://portal.example/callback".parse()?);
//! let (url, pending) = client.begin_login(request).await?;
//! // Redirect the browser to `url`, keep `pending`; the browser comes back with `query`.
//! let code = client.parse_callback(query, &pending).await?;
//! let login = client.finish_login(code, &pending).await?;
//! println!("hello {}", login.id_token.subject());
//! # Ok(()) }
//! ```

pub mod callback;
mod client;
mod error;
mod logout;
#[cfg(feature = "native")]
mod native;
mod request;
mod user_info;

pub use client::{Client, DeviceLogin, Login, Refreshed};
pub use error::LoginError;
pub use logout::LogoutRequest;
#[cfg(feature = "native")]
pub use native::{LoopbackLogin, LoopbackLoginError, LoopbackRedirect, LoopbackRedirectError};
pub use request::{LoginRequest, PendingLogin};
pub use user_info::UserInfoError;
