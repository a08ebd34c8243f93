//! The stage against real sockets: what the upstream sees, octet by octet, and what comes back.

mod answers;
mod attempts;
mod fixtures;
mod identity;
mod requests;
mod streams;
mod trust;
mod websockets;
