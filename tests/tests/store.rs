//! The store `redis` of web-sessions against real servers: Valkey, and Debian's Redis and its sentinels.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a scenario may panic, which is how it fails"
)]

mod store {
    pub(crate) mod servers;

    mod access;
    mod api_keys;
    mod changes;
    mod cluster;
    mod conformance;
    mod expiry;
    mod failover;
    mod gateway;
    mod loss;
    mod turns;
    mod sessions;
}
