//! Doorward against the real parts: Keycloak, Chromium, JupyterHub, Streamlit, FastAPI, nginx, Caddy.
//!
//! A scenario makes a [`World`], starts in it what it names, and drives the built `doorward` binary from outside. Every
//! part listens on a free port of loopback, writes its log into the scenario's folder, and is gone when its value is
//! dropped. Keycloak takes seconds to start, so one serves the whole test process, with a realm for each scenario.
//!
//! `tests/install.sh` installs the parts; this crate finds them through [`tools`].

#![expect(
    clippy::indexing_slicing,
    reason = "indexing JSON answers null for what is absent; a scenario may panic, which is how it fails"
)]

pub mod tools;
pub mod token_text;
pub mod program;
pub mod wait;
pub mod world;
pub mod authority;
pub mod keycloak;
pub mod gateway;
pub mod visitor;
pub mod oauth2_proxy;
pub mod oidc_provider;
pub mod wire;
pub mod browser;
pub mod upstream;
pub mod websocket;
pub mod haproxy;
pub mod jupyterhub;
pub mod model_api;
pub mod applications;
pub mod envoy_check;
pub mod fronts;
pub mod grpc;
pub mod grpc_service;
pub mod recipes;
pub mod relay;
pub mod counter;
pub mod collector;
pub mod resp;
pub mod valkey;
pub mod sentinels;
pub mod cluster;
pub mod toxiproxy;
pub mod replicas;
pub mod clock;
pub mod process;

pub use world::World;
