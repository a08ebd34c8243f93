//! Every scenario, in one binary so that they share one Keycloak.

mod harness;
mod login;
mod logout;
mod policy;
mod bearer;
mod another_provider;
mod jupyterhub;
mod websocket;
mod streaming;
mod refresh;
mod forward_auth;
mod failures;
mod reload;
mod demo;
mod commands;
