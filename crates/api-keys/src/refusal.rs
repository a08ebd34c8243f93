//! Reasons a key does not count.

use crate::id::KeyId;

/// Reasons a key does not count. Callers learn only that it does not; the log has the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// Another form than `dw_<id>_<secret>_<checksum>`.
    #[error("API key malformed: it is not `dw_`, an identifier, a secret and a checksum")]
    Malformed,
    /// The checksum does not fit the rest.
    #[error("API key mistyped: its checksum does not fit")]
    Checksum,
    /// No key has this identifier.
    #[error("API key {id} unknown: it never existed, or ended long ago")]
    Unknown {
        /// the identifier
        id: KeyId,
    },
    /// A key has this identifier and another secret.
    #[error("API key {id} has another secret")]
    WrongSecret {
        /// the identifier
        id: KeyId,
    },
    /// It was revoked.
    #[error("API key {id} was revoked")]
    Revoked {
        /// the identifier
        id: KeyId,
    },
    /// Its time is over.
    #[error("API key {id} has expired")]
    Expired {
        /// the identifier
        id: KeyId,
    },
    /// Its owner has not signed in here, or so long ago that it is forgotten.
    #[error("API key {id} suspended: its owner is not known here; the owner signs in once")]
    OwnerUnknown {
        /// the identifier
        id: KeyId,
    },
    /// Its owner has not signed in for too long.
    #[error("API key {id} suspended: its owner has not signed in for `api_keys.suspend_after`")]
    OwnerAway {
        /// the identifier
        id: KeyId,
    },
    /// Its owner's issuer is no longer configured, or another issuer has its name now.
    #[error("API key {id} suspended: the issuer of its owner is not configured")]
    IssuerGone {
        /// the identifier
        id: KeyId,
    },
    /// This place takes no keys: one of the gateway's own pages.
    #[error("an API key does not count here: it opens routes, and none of the gateway's own URLs")]
    NotHere,
}

impl KeyRefusal {
    /// A word for the reason, for metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Checksum => "checksum",
            Self::Unknown { .. } => "unknown",
            Self::WrongSecret { .. } => "wrong_secret",
            Self::Revoked { .. } => "revoked",
            Self::Expired { .. } => "expired",
            Self::OwnerUnknown { .. } => "owner_unknown",
            Self::OwnerAway { .. } => "owner_away",
            Self::IssuerGone { .. } => "issuer_gone",
            Self::NotHere => "not_here",
        }
    }
}
