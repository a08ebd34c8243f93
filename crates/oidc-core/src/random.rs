//! Texts that cannot be guessed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// 128 random bits, base64url.
pub(crate) fn text() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>())
}
