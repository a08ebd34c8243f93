//! The two names of a session: the one that opens it, and the one that does not.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use oidc_core::Secret;
use serde::{Deserialize, Serialize};

use crate::digest::{Digest, sha256};

/// A session is spread over at most this many cookies.
pub(super) const CHUNKS: usize = 4;
/// Bytes per cookie value; browsers keep 4096 with the name.
pub(super) const CHUNK_LEN: usize = 3800;
/// The longest ticket that fits the cookies; one byte holds their number.
pub(super) const MAX_TICKET: usize = CHUNKS * CHUNK_LEN - 1;

/// Length of the text of 256 random bits.
const RANDOM_LEN: usize = 43;

/// Names a session in logs, on the admin listener and in deny-lists; gives no access to the session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId(String);

impl SessionId {
    /// A new, unique name (128 random bits).
    pub fn random() -> Self {
        Self(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()))
    }

    /// A name from outside, such as an administrator's request. Only the store knows whether a session has it.
    pub fn from_name(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Content of the session cookie: 256 random bits that name a record, or the sealed record. Possession of it gives access to
/// the session.
#[derive(Debug, Clone)]
pub struct Ticket(Secret);

impl Ticket {
    /// Text of a cookie. Only the store knows whether it opens a session.
    pub fn new(text: Secret) -> Self {
        Self(text)
    }

    /// 256 random bits.
    pub fn random() -> Self {
        Self(Secret::from(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())))
    }

    /// Whether it has the form of [`Ticket::random`]. A store that keeps records makes no other.
    pub(crate) fn names_a_record(&self) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let text = self.expose().as_bytes();
        text.len() == RANDOM_LEN && text.iter().copied().all(plain)
    }

    /// The text for the cookie.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// SHA-256 of the ticket, used where the ticket itself must not be kept.
    pub fn digest(&self) -> Digest {
        sha256(self.expose().as_bytes())
    }
}
