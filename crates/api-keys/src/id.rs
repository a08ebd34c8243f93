//! The identifier of a key.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};

use crate::base32::is_plain;

/// Bytes and characters of an identifier.
pub(crate) const ID: (usize, usize) = (10, 16);

/// Names a key in logs, lists and the store. It gives no access.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct KeyId(String);

impl KeyId {
    /// An identifier whose form was checked.
    pub(crate) fn of(text: String) -> Self {
        Self(text)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text that is no identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid identifier of an API key: write 16 letters `a` to `z` and digits `2` to `7`")]
pub struct InvalidKeyId;

// === impl KeyId ===

impl FromStr for KeyId {
    type Err = InvalidKeyId;

    fn from_str(text: &str) -> Result<Self, InvalidKeyId> {
        match text.len() == ID.1 && is_plain(text) {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidKeyId),
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
