//! The libraries against Keycloak: every client authentication, every grant, every check of a token.
//!
//! Requests are counted by Keycloak's events or on the wire before it, never by the library under test.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing JSON answers null for what is absent; a scenario may panic, which is how it fails"
)]

#[path = "sdk/lab.rs"]
mod lab;
#[path = "sdk/signing_key.rs"]
mod signing_key;

#[path = "sdk/client_authentication.rs"]
mod client_authentication;
#[path = "sdk/keys.rs"]
mod keys;
#[path = "sdk/login.rs"]
mod login;
#[path = "sdk/one_request.rs"]
mod one_request;
#[path = "sdk/tls.rs"]
mod tls;
#[path = "sdk/federated.rs"]
mod federated;
#[path = "sdk/grants.rs"]
mod grants;
#[path = "sdk/bound_at_the_gateway.rs"]
mod bound_at_the_gateway;
#[path = "sdk/possession.rs"]
mod possession;
#[path = "sdk/introspection.rs"]
mod introspection;
#[path = "sdk/people.rs"]
mod people;
#[path = "sdk/interop.rs"]
mod interop;
#[path = "sdk/signed.rs"]
mod signed;
#[path = "sdk/certificates.rs"]
mod certificates;
#[path = "sdk/calls.rs"]
mod calls;
#[path = "sdk/terminal.rs"]
mod terminal;
#[path = "sdk/schedulers.rs"]
mod schedulers;
#[path = "sdk/python.rs"]
mod python;
