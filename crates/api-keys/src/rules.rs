//! Rules that decide whether a key counts now. Plain functions of a record, its owner and the time.

use std::time::{Duration, SystemTime};

use crate::{
    record::{KeyRecord, OwnerRecord},
    refusal::KeyRefusal,
};

/// Bounds on all keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRules {
    /// The longest life of a key. A shorter one also ends keys that exist.
    pub max_age: Duration,
    /// Time after which the keys of a person who was not seen are suspended.
    pub suspend_after: Duration,
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
