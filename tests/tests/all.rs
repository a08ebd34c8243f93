//! Every scenario, in one binary so that they share one Keycloak.

mod harness;
mod login;
mod logout;
mod policy;
mod bearer;
mod another_provider;
mod jupyterhub;
mod session_ends;
mod cullers;
mod websocket;
mod streaming;
mod refresh;
mod token_exchange;
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
