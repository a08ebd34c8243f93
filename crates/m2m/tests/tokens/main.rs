//! Tokens of a real provider: kept, shared, sent.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod job;

#[cfg(feature = "blocking")]
mod blocking;
mod exchange;
mod exchange_ahead;
mod files;
mod held_back;
mod memory;
mod oauth2_client;
mod processes;
