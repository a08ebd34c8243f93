//! Identifiers that the provider makes: unguessable handles, session identifiers and UUIDs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Unguessable text for codes, cookies and handles: 256 bits.
pub(crate) fn random_handle() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// A `sid` of the same length and alphabet as Keycloak's.
pub(crate) fn random_session_id() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 18]>())
}

pub(crate) fn random_uuid() -> String {
    uuid(rand::random(), 4)
}

/// These bytes as a UUID of this version ([RFC 9562 §4](https://www.rfc-editor.org/rfc/rfc9562#section-4)).
pub(crate) fn uuid(bytes: [u8; 16], version: u8) -> String {
    let mut bits = u128::from_be_bytes(bytes);
    bits = (bits & !(0xf << 76)) | (u128::from(version) << 76);
    bits = (bits & !(0x3 << 62)) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let (a, rest) = hex.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    format!("{a}-{b}-{c}-{d}-{e}")
}
