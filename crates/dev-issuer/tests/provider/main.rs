//! The provider as its clients see it: over HTTP, with a browser that keeps its own cookies.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::indexing_slicing, reason = "a JSON value without the member is null")]

mod browser;
mod party;
mod signer;

mod client_auth;
mod device;
mod products;
mod dpop;
mod exchange;
mod faults;
mod jobs;
mod jwt_bearer;
mod keys;
mod login;
mod logout;
mod machines;
mod mint;
mod pushed;
mod refresh;
mod signed_messages;
mod start;
mod token_shape;
