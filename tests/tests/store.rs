//! The store `redis` of web-sessions against real servers: Valkey, and Debian's Redis and its sentinels.

mod store {
    pub(crate) mod servers;

    mod conformance;
}
