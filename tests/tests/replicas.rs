//! Several gateways over one store, and what fails around them: stores, networks, providers and the gateways themselves.
//!
//! Two gateways are behind nginx, which gives each request to the next one; Valkey, Redis, Sentinel, a cluster and Toxiproxy
//! are the real ones. docs/concepts/reliability.md has the table of faults and the figures.

#[path = "replicas/parts.rs"]
mod parts;
