//! The store `redis` of web-sessions against real servers: Valkey, and Debian's Redis and its sentinels.

mod store {
    pub(crate) mod servers;

    mod access;
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
