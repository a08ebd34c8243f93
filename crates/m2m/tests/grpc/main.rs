//! Tokens on gRPC calls: tonic's client and server over real connections, without generated code.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod service;
#[path = "../sending/source.rs"]
mod source;

mod bound;
mod refused;
mod verified;
