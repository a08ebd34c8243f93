//! OAuth 2.0 access tokens for programs (machine to machine), fetched once and kept fresh.
//!
//! | module | content |
//! |---|---|
//! | [`access_token`] | [`AccessToken`]: a token as it is kept and sent |
//! | [`source`] | [`TokenSource`]: the port that gives access tokens, and its errors |
//! | [`issuer_tokens`] | [`IssuerTokens`]: asks the issuer every time |
//! | [`client_credentials`], [`exchange`], [`jwt_bearer`] | the grants as values (RFC 6749 §4.4, RFC 8693, RFC 7523 §2.1) |
//! | [`presented`] | [`PresentedToken`]: a token that is presented to get another one |
//! | [`cache`] | [`CachedTokens`]: one request for all callers, refresh ahead, the last valid token while the issuer is down |
//! | [`origin`] | [`Origin`]: an origin that a token may be sent to |
#![cfg_attr(
    feature = "tower",
    doc = "| [`layer`] | [`BearerLayer`](layer::BearerLayer): adds the token to requests of a tower service |"
)]
#![cfg_attr(
    feature = "tonic",
    doc = "| [`grpc`] | [`GrpcBearerLayer`](grpc::GrpcBearerLayer): the same for the calls of a tonic channel |"
)]
#![cfg_attr(
    feature = "reqwest",
    doc = "| [`middleware`] | [`BearerMiddleware`](middleware::BearerMiddleware): the same for reqwest |"
)]
#![cfg_attr(
    feature = "blocking",
    doc = "| [`blocking`] | [`Tokens`](blocking::Tokens): the same for code that is not async |"
)]
#![cfg_attr(
    all(unix, feature = "file-cache"),
    doc = "| [`private_file`] | files that hold tokens, and locks among processes (Unix) |"
)]
//!
//! ```no_run
//! # #[cfg(feature = "reqwest")]
//! # async fn job() -> Result<(), Box<dyn std::error::Error>> {
//! use m2m::{CachedTokens, ClientCredentials, TokenSource};
//! use oidc_core::client::{ClientAuth, ClientSecret};
//!
//! let issuer = "https://id.example/realms/lab".parse()?;
//! let auth = ClientAuth::SecretBasic(ClientSecret::file("/run/secrets/airflow"));
//! let grant = ClientCredentials::new().with_scope("score");
//! let tokens = CachedTokens::for_client(issuer, "airflow-run", auth, grant)?;
//! let token = tokens.token().await?;
//! # Ok(())
//! # }
//! ```

#![warn(clippy::missing_errors_doc)]

pub mod access_token;
#[cfg(feature = "blocking")]
pub mod blocking;
pub mod cache;
mod cache_key;
pub mod client_credentials;
pub mod exchange;
#[cfg(feature = "tonic")]
pub mod grpc;
pub mod issuer_tokens;
pub mod jwt_bearer;
#[cfg(feature = "tower")]
pub mod layer;
#[cfg(feature = "reqwest")]
pub mod middleware;
pub mod origin;
#[cfg(any(feature = "tower", feature = "reqwest"))]
mod outgoing;
pub mod presented;
#[cfg(all(unix, feature = "file-cache"))]
pub mod private_file;
pub mod source;

pub use access_token::{AccessToken, InvalidAccessToken};
pub use cache::CachedTokens;
#[cfg(all(unix, feature = "file-cache"))]
pub use cache::{FileCache, ShortSealingKey};
pub use cache_key::CacheKey;
pub use client_credentials::ClientCredentials;
pub use exchange::{Exchange, ExchangedTokens};
pub use issuer_tokens::IssuerTokens;
pub use jwt_bearer::JwtBearer;
pub use origin::{InvalidOrigin, Origin};
#[cfg(any(feature = "tower", feature = "reqwest"))]
pub use outgoing::AuthorizeError;
pub use presented::PresentedToken;
pub use source::{TokenError, TokenSource};

/// The examples of the front page.
#[cfg(all(doctest, feature = "reqwest"))]
#[doc = include_str!("../README.md")]
struct FrontPage;
