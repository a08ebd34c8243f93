//! SHA-256 of values that must not be kept themselves.

use aws_lc_rs::digest::{SHA256, digest};

/// SHA-256 of a ticket. Caches and tables use it as their key, so that neither holds anything that opens a session.
pub type Digest = [u8; 32];

/// The digest of these bytes.
pub fn sha256(bytes: &[u8]) -> Digest {
    let mut out = Digest::default();
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}
