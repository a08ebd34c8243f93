//! The client's side against dev-issuer, over real sockets, while the test's time is paused.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod elsewhere;

mod algorithms;
mod device;
mod setup;
mod introspection;
mod introspection_memory;
mod logout;
mod native;
mod revocation;
mod products;
mod signed_messages;
