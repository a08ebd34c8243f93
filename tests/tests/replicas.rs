//! Several gateways over one store, and what fails around them: stores, networks, providers and the gateways themselves.
//!
//! Two gateways are behind nginx, which gives each request to the next one; Valkey, Redis, Sentinel, a cluster and Toxiproxy
//! are the real ones. docs/concepts/reliability.md has the table of faults and the figures.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing JSON answers null for what is absent; a scenario may panic, which is how it fails"
)]

#[path = "replicas/figures.rs"]
mod figures;
#[path = "replicas/stage.rs"]
mod stage;
#[path = "replicas/people.rs"]
mod people;

#[path = "replicas/budgets.rs"]
mod budgets;
#[path = "replicas/parts.rs"]
mod parts;
#[path = "replicas/signing_out.rs"]
mod signing_out;
#[path = "replicas/refreshing.rs"]
mod refreshing;
#[path = "replicas/signing_in.rs"]
mod signing_in;
#[path = "replicas/store_faults.rs"]
mod store_faults;
#[path = "replicas/failover.rs"]
mod failover;
#[path = "replicas/proofs.rs"]
mod proofs;
#[path = "replicas/provider.rs"]
mod provider;
#[path = "replicas/clocks.rs"]
mod clocks;
#[path = "replicas/soak.rs"]
mod soak;
#[path = "replicas/sizing.rs"]
mod sizing;
