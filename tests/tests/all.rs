//! Every scenario, in one binary so that they share one Keycloak.

mod agents;
mod harness;
mod login;
mod model_clients;
mod logout;
mod policy;
mod bearer;
mod another_provider;
mod haproxy;
mod jupyterhub;
mod session_ends;
mod cullers;
mod websocket;
mod streaming;
mod refresh;
mod envoy;
mod forward_auth;
mod forward_auth_recipes;
mod fragments;
mod failures;
mod reload;
mod split;
mod demo;
mod commands;
mod programs;
mod collector;
