//! Tokens on their way to services, by a tower client and by reqwest, over real connections.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod service;
mod source;

mod bound;
mod by_reqwest;
mod by_tower;
