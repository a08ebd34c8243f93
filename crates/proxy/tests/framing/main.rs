//! What real bytes on a real socket become: the listener before a service that records what reaches it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "../../../http-canonical/src/framing/cases.rs"]
mod cases;
mod deadlines;
mod http2;
mod smuggling;
mod tls;
mod upgrade;
mod test_listener;
