//! Tests the stage against real sockets: the bytes the upstream receives, and the answer that comes
//! back.

mod responses;
mod attempts;
mod fixtures;
mod identity;
mod requests;
mod streams;
mod trust;
mod websockets;
