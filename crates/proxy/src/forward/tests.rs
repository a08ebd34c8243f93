//! The stage against real sockets: what the upstream sees, octet by octet, and what comes back.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod answers;
mod attempts;
mod fixtures;
mod identity;
mod requests;
mod streams;
