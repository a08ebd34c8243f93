//! A small OpenID provider as a library, for the demo's sign-in and for tests in the same process.
//!
//! It supports authorization code with PKCE, PAR, signed requests and answers (RFC 9101, JARM), refresh
//! with rotation, client credentials, device code, token exchange with actors, JWT bearer, DPoP,
//! introspection (signed too, RFC 9701), revocation, userinfo and logout (RP-initiated and
//! back-channel). Its tokens have the shape of Keycloak's. On demand it misbehaves ([`Faults`]) and
//! signs tokens that are wrong in a chosen way ([`Mint`]).
//!
//! **For development only.** It listens on loopback only, keeps everything in memory, keeps passwords
//! as plain text and shows them on its login page.
//!
//! ```
//! use dev_issuer::{DevClient, DevIssuer, Mint, User};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let issuer = DevIssuer::builder()
//!     .user(User::new("alice", "alice").roles(["data-scientist"]))
//!     .client(DevClient::confidential("gateway", "secret").audience("gateway"))
//!     .start("127.0.0.1:0")
//!     .await?;
//!
//! let good = issuer.mint(Mint::access("alice").client("gateway"))?;
//! let stale = issuer.mint(Mint::access("alice").client("gateway").expired())?;
//! # assert_ne!(good, stale);
//! # Ok(())
//! # }
//! ```

mod issuer;
mod builder;
mod listener;
mod server;

mod user;
mod client;
mod redirect_uri;
mod scope;

mod provider;
mod sessions;
mod codes;
mod devices;
mod pushed;
mod references;
mod pkce;
mod way_back;
mod request_object;
mod forms;
mod shared;
mod clock;

mod keys;
mod algorithm;
mod jws;
mod public_keys;
mod tokens;
mod mint;

mod endpoints;
mod params;
mod client_auth;
mod dpop;
mod oauth_error;
mod backchannel;
mod cookies;
mod pages;

mod faults;
mod fault_layer;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use builder::DevIssuerBuilder;
pub use client::DevClient;
pub use endpoints::authorization::SignInError;
pub use endpoints::token::{Grant, TokenResponse};
pub use faults::{Endpoint, Fault, Faults};
pub use issuer::{DevIssuer, StartError};
pub use keys::KeyError;
pub use mint::{Mint, MintError};
pub use user::User;
