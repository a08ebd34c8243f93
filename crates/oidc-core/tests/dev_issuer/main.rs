//! The client's side of what dev-issuer speaks, over real sockets, while time stands still here.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod elsewhere;

mod algorithms;
mod device;
mod for_issuer;
mod introspection;
mod introspection_memory;
mod logout;
mod native;
mod revocation;
mod signed_messages;
