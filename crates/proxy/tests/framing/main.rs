//! Real bytes on a real socket: the listener before a service that records the requests that reach it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "../../../http-canonical/src/framing/cases.rs"]
mod cases;
mod deadlines;
mod limits;
mod http2;
mod quiet;
mod smuggling;
mod tls;
mod upgrade;
mod test_listener;
