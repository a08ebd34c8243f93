//! The opening handshake of a WebSocket ([RFC 6455 §4.2.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1)).
//!
//! Only the fields that make the request a handshake are checked here; `Sec-WebSocket-*` stays among the headers and is sent
//! on.

use std::fmt;

use http::request::Parts;
use hyper::upgrade::OnUpgrade;

use super::RequestRefusal;

/// A request that opens a WebSocket: the client's half of the tunnel, once the answer is 101.
pub struct WebSocket {
    /// Becomes the client's byte stream after the 101 was sent.
    pub client: OnUpgrade,
}

impl WebSocket {
    /// The listener has seen `Upgrade: websocket`; this checks the rest.
    pub(super) fn of(parts: &mut Parts) -> Result<Self, RequestRefusal> {
        let value = |name: &str| parts.headers.get(name).map(http::HeaderValue::as_bytes);
        if !value("sec-websocket-key").is_some_and(is_key) {
            return Err(RequestRefusal::WebSocketKey);
        }
        if value("sec-websocket-version") != Some(b"13") {
            return Err(RequestRefusal::WebSocketVersion);
        }
        let client = parts.extensions.remove::<OnUpgrade>().ok_or(RequestRefusal::NotListened)?;
        Ok(Self { client })
    }
}

/// Sixteen bytes in base64: 22 characters and `==`.
fn is_key(key: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.strip_suffix(b"==").is_some_and(|digits| digits.len() == 22 && digits.iter().all(digit))
}

// === impl WebSocket ===

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebSocket")
    }
}
