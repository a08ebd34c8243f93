//! The opening handshake of a WebSocket ([RFC 6455 §4.2.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1)).

use http::HeaderMap;

use crate::refusal::RequestRefusal;

/// Checks the fields of a handshake other than `Upgrade` and `Connection`, which framing has judged. All `Sec-WebSocket-*`
/// fields stay among the headers and are sent on.
pub(super) fn check(headers: &HeaderMap) -> Result<(), RequestRefusal> {
    let value = |name: &str| headers.get(name).map(http::HeaderValue::as_bytes);
    if !value("sec-websocket-key").is_some_and(is_key) {
        return Err(RequestRefusal::WebSocketKey);
    }
    match value("sec-websocket-version") {
        Some(b"13") => Ok(()),
        _ => Err(RequestRefusal::WebSocketVersion),
    }
}

/// Sixteen bytes in base64: 22 characters and `==`.
fn is_key(key: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.strip_suffix(b"==").is_some_and(|digits| digits.len() == 22 && digits.iter().all(digit))
}
