//! Stored parts of a key and of its owner.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use access_policy::Known;
use serde::{Deserialize, Serialize};

use crate::{
    id::KeyId,
    key::{ApiKey, Digest},
    refusal::KeyRefusal,
};

/// Claims that a sign-in or a token states about itself, and that say nothing about its person.
const OF_A_TOKEN: [&str; 22] = [
    "acr",
    "aio",
    "amr",
    "at_hash",
    "aud",
    "auth_time",
    "azp",
    "c_hash",
    "client_id",
    "cnf",
    "exp",
    "iat",
    "jti",
    "nbf",
    "nonce",
    "s_hash",
    "scope",
    "scp",
    "session_state",
    "sid",
    "token_use",
    "typ",
];

/// Kind of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnerKind {
    /// A person who signs in.
    User,
    /// A client of the issuer: a program.
    Client,
}

/// Owner of a key. A subject is unique within its issuer only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Person or program.
    pub kind: OwnerKind,
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// The issuer's identifier.
    pub iss: String,
    /// `sub` of a person, the name of a client.
    pub subject: String,
}

impl Owner {
    /// The person with this identity.
    pub fn user(known: &Known) -> Self {
        Self {
            kind: OwnerKind::User,
            issuer: known.issuer.clone(),
            iss: known.iss.clone(),
            subject: known.subject.clone(),
        }
    }

    /// A client of an issuer.
    pub fn client(issuer: &str, iss: &str, name: &str) -> Self {
        Self {
            kind: OwnerKind::Client,
            issuer: issuer.to_owned(),
            iss: iss.to_owned(),
            subject: name.to_owned(),
        }
    }

    /// Text that names the owner and no other. The length comes first, so that no two owners have the same text.
    pub fn name(&self) -> String {
        let kind = match self.kind {
            OwnerKind::User => "user",
            OwnerKind::Client => "client",
        };
        format!("{kind} {} {}{}", self.iss.len(), self.iss, self.subject)
    }

    /// The identity of a client, by which rules know its own tokens: its subject is its name (RFC 9068 §2.2). It has no roles,
    /// groups or scopes.
    pub fn as_client(&self) -> Known {
        Known {
            issuer: self.issuer.clone(),
            iss: self.iss.clone(),
            subject: self.subject.clone(),
            client: Some(self.subject.clone()),
            ..Known::default()
        }
    }
}

/// Identity of a person as of a sign-in or a refresh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OwnerRecord {
    /// The identity.
    pub known: Arc<Known>,
    /// Time at which the issuer stated it.
    #[serde(with = "seconds")]
    pub seen_at: SystemTime,
}

impl OwnerRecord {
    /// The part of an identity that counts for the keys of its person. A key is neither a sign-in nor a token: it has no scopes,
    /// was issued to no client, and has no strength and no time of a sign-in.
    pub fn of(known: &Known, seen_at: SystemTime) -> Self {
        let mut known = known.clone();
        known.scopes.clear();
        known.client = None;
        known.claims.retain(|name, _| !OF_A_TOKEN.contains(&name.as_str()));
        Self { known: Arc::new(known), seen_at }
    }
}

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Its identifier.
    pub id: KeyId,
    /// SHA-256 of its text.
    pub digest: Digest,
    /// Its owner.
    pub owner: Owner,
    /// Name of the owner, to show.
    pub name: String,
    /// Routes on which it counts, by their names in the configuration.
    pub routes: Vec<String>,
    /// A note of its owner.
    pub label: String,
    /// Time at which it was made.
    #[serde(with = "seconds")]
    pub created_at: SystemTime,
    /// Time at which it expires.
    #[serde(with = "seconds")]
    pub expires_at: SystemTime,
    /// Time at which it was revoked.
    #[serde(with = "some_seconds", default)]
    pub revoked_at: Option<SystemTime>,
}

impl KeyRecord {
    /// Whether a presented key is this one.
    ///
    /// # Errors
    ///
    /// [`KeyRefusal::WrongSecret`]
    pub fn check(&self, key: &ApiKey) -> Result<(), KeyRefusal> {
        match key.id() == &self.id && key.matches(&self.digest) {
            true => Ok(()),
            false => Err(KeyRefusal::WrongSecret { id: key.id().clone() }),
        }
    }

    /// Time at which it expires, where keys live at most `max_age`.
    pub fn ends_at(&self, max_age: Duration) -> SystemTime {
        let bound = self.created_at.checked_add(max_age);
        bound.map_or(self.expires_at, |bound| bound.min(self.expires_at))
    }
}

/// Seconds since 1970.
mod seconds {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let since = Duration::from_secs(u64::deserialize(from)?);
        UNIX_EPOCH.checked_add(since).ok_or_else(|| D::Error::custom("a time beyond all clocks"))
    }
}

/// The same, where there may be none.
mod some_seconds {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Seconds(#[serde(with = "super::seconds")] SystemTime);

    pub(super) fn serialize<S: Serializer>(
        time: &Option<SystemTime>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(Seconds).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<SystemTime>, D::Error> {
        Ok(Option::<Seconds>::deserialize(from)?.map(|Seconds(time)| time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_owners_have_one_name() {
        let owner = |iss: &str, subject: &str| Owner::client("main", iss, subject);
        let known = Known { iss: "a".into(), subject: "b".into(), ..Known::default() };
        let names = [
            owner("a", "b").name(),
            owner("ab", "").name(),
            owner("", "ab").name(),
            owner("a", "1 ab").name(),
            Owner::user(&known).name(),
        ];
        let all: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(all.len(), names.len(), "{names:?}");
    }

    #[test]
    fn a_key_has_nothing_of_the_sign_in_or_its_tokens() {
        let claims = serde_json::json!({
            "sub": "1", "department": "risk", "acr": "2", "amr": ["otp"], "auth_time": 1, "scope": "a",
            "azp": "gateway", "sid": "s", "realm_access": { "roles": ["admin"] },
        });
        let known = Known {
            roles: vec!["admin".into()],
            scopes: vec!["a".into()],
            client: Some("gateway".into()),
            claims: claims.as_object().cloned().unwrap_or_default(),
            ..Known::default()
        };
        let kept = OwnerRecord::of(&known, SystemTime::UNIX_EPOCH).known;
        assert_eq!((kept.roles.len(), kept.scopes.len(), kept.client.as_ref()), (1, 0, None));
        let names: Vec<_> = kept.claims.keys().map(String::as_str).collect();
        assert_eq!(names, ["department", "realm_access", "sub"]);
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let key = ApiKey::new(&[3; ApiKey::RANDOM]);
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let record = KeyRecord {
            id: key.id().clone(),
            digest: key.digest(),
            owner: Owner::client("main", "https://id.example", "ci"),
            name: "ci".into(),
            routes: vec!["index".into()],
            label: "laptop".into(),
            created_at: at(10),
            expires_at: at(1000),
            revoked_at: None,
        };
        for revoked_at in [None, Some(at(20))] {
            let record = KeyRecord { revoked_at, ..record.clone() };
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<KeyRecord>(&text).unwrap(), record);
            assert!(!text.contains(key.expose()));
        }
        assert_eq!(record.ends_at(Duration::from_secs(90)), at(100));
        assert_eq!(record.ends_at(Duration::MAX), at(1000));
        assert!(record.check(&key).is_ok());
        assert!(record.check(&ApiKey::new(&[4; ApiKey::RANDOM])).is_err());
    }
}
