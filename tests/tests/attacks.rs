//! Attacks on the running gateway: real octets in, and what the upstream saw and the client got.
//!
//! Every attack stands beside its legitimate neighbour, which must pass: a gateway that refuses everything would be safe
//! and useless. The provider is dev-issuer in this process, so that nothing but cargo is needed.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing JSON answers null for what is absent; a scenario may panic, which is how it fails"
)]

#[path = "attacks/stage.rs"]
mod stage;

#[path = "attacks/paths.rs"]
mod paths;
#[path = "attacks/headers.rs"]
mod headers;
#[path = "attacks/framing.rs"]
mod framing;
#[path = "attacks/websockets.rs"]
mod websockets;
