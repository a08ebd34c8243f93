//! Rules that decide whether a key counts now. Plain functions of a record, its owner and the time.

use std::time::{Duration, SystemTime};

use crate::{
    key::KeyId,
    record::{KeyRecord, OwnerRecord},
};

/// Bounds on all keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRules {
    /// The longest life of a key. A shorter one also ends keys that exist.
    pub max_age: Duration,
    /// Time after which the keys of a person who was not seen are suspended.
    pub suspend_after: Duration,
}

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

impl KeyRules {
    /// Whether a key counts now, apart from its owner.
    ///
    /// # Errors
    ///
    /// [`KeyRefusal::Revoked`], [`KeyRefusal::Expired`]
    pub fn check(&self, key: &KeyRecord, now: SystemTime) -> Result<(), KeyRefusal> {
        if key.revoked_at.is_some() {
            return Err(KeyRefusal::Revoked { id: key.id.clone() });
        }
        if now >= key.ends_at(self.max_age) {
            return Err(KeyRefusal::Expired { id: key.id.clone() });
        }
        Ok(())
    }

    /// Time at which the keys of a person are suspended unless the issuer states the identity again.
    pub fn suspended_at(&self, owner: &OwnerRecord) -> Option<SystemTime> {
        owner.seen_at.checked_add(self.suspend_after)
    }

    /// Whether the keys of a person count now.
    ///
    /// # Errors
    ///
    /// [`KeyRefusal::OwnerAway`]
    pub fn check_owner(
        &self,
        key: &KeyRecord,
        owner: &OwnerRecord,
        now: SystemTime,
    ) -> Result<(), KeyRefusal> {
        match self.suspended_at(owner) {
            Some(end) if now >= end => Err(KeyRefusal::OwnerAway { id: key.id.clone() }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use access_policy::Known;

    use super::*;
    use crate::{ApiKey, Owner};

    #[test]
    fn a_key_ends_at_the_first_of_its_bounds() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let rules =
            KeyRules { max_age: Duration::from_secs(100), suspend_after: Duration::from_secs(30) };
        let api_key = ApiKey::new(&[1; ApiKey::RANDOM]);
        let key = KeyRecord {
            id: api_key.id().clone(),
            digest: api_key.digest(),
            owner: Owner::client("main", "https://id.example", "ci"),
            name: String::new(),
            routes: Vec::new(),
            label: String::new(),
            created_at: at(1000),
            expires_at: at(5000),
            revoked_at: None,
        };
        let code = |key: &KeyRecord, now| rules.check(key, now).err().map(|error| error.code());
        assert_eq!(code(&key, at(1099)), None);
        assert_eq!(code(&key, at(1100)), Some("expired"), "`max_age` was lowered");
        let early = KeyRecord { expires_at: at(1010), ..key.clone() };
        assert_eq!(code(&early, at(1010)), Some("expired"));
        let revoked = KeyRecord { revoked_at: Some(at(1001)), ..key.clone() };
        assert_eq!(code(&revoked, at(1002)), Some("revoked"));
        let owner = OwnerRecord::of(&Known::default(), at(1000));
        let away = |now| rules.check_owner(&key, &owner, now).err().map(|error| error.code());
        assert_eq!((away(at(1029)), away(at(1030))), (None, Some("owner_away")));
    }
}
