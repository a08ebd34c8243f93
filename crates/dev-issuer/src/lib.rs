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

// From the bottom up: no module uses one of a later group.

// Values of the standards, keys and signatures.
mod algorithm;
mod clock;
mod cookies;
mod faults;
mod grant;
mod identifiers;
mod jws;
mod keys;
mod oauth_error;
mod params;
mod path;
mod pkce;
mod public_keys;
mod redirect_uri;
mod scope;
mod shared;
mod token_response;
mod used_identifiers;

// The realm's state: users, clients, sessions, and everything issued to them.
mod user;
mod client;
mod registry;
mod sessions;
mod tokens;
mod presented_tokens;
mod product;
mod codes;
mod devices;
mod dialect;
mod pushed_requests;
mod authorization_response;
mod authorization_request;
mod logout_request;
mod forms;
mod pages;
mod dpop;
mod backchannel;

// Decisions on the state.
mod provider;
mod client_auth;
mod request_object;
mod authorization;

// Endpoints, and the server of all of them.
mod endpoints;
mod fault_layer;
mod server;
mod listener;

// The running provider, as tests and the demo use it.
mod issuer;
mod builder;
mod job;
mod mint;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use builder::DevIssuerBuilder;
pub use client::DevClient;
pub use dialect::Dialect;
pub use faults::{Endpoint, Fault, Faults};
pub use grant::Grant;
pub use issuer::{DevIssuer, SignInError, StartError};
pub use job::Job;
pub use keys::KeyError;
pub use mint::{Mint, MintError};
pub use product::{Product, UnknownProduct};
pub use token_response::TokenResponse;
pub use user::User;
