//! Makes, lists and revokes keys, and keeps the identities of their owners.

use std::time::SystemTime;

use access_policy::Known;
use api_keys::{ApiKey, KeyId, KeyRecord, Owner, OwnerRecord};
use serde::{Serialize, de::DeserializeOwned};

use super::{ApiKeys, KNOWN_AFTER, later, name_of_key, name_of_owner};
use crate::{
    digest::{Digest, sha256},
    seal::Purpose,
    store::{Entry, StoreError},
};

/// Keys that one owner may have, those that ended lately included.
const MOST: usize = 200;
/// People of one name that are looked at.
const NAMESAKES: usize = 100;
/// Entries that a sweep looks at.
const SWEPT: usize = 1_000_000;

/// Version of a key that counts.
const ISSUED: u64 = 0;
/// Version of a key that was revoked: no other replaces it.
const REVOKED: u64 = 1;

/// A key that is to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its owner.
    pub owner: Owner,
    /// Name of the owner, to show.
    pub name: String,
    /// Routes on which it counts.
    pub routes: Vec<String>,
    /// A note of its owner.
    pub label: String,
    /// Time at which it expires.
    pub expires_at: SystemTime,
}

/// Reasons no key was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCreated {
    /// The owner has many.
    #[error(
        "the owner has {MOST} keys, those that ended in the last 30 days included; use one of them"
    )]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A key in a list.
#[derive(Debug, Clone)]
pub struct KeyStatus {
    /// The key as it is stored.
    pub record: KeyRecord,
    /// Time of its last use, to the minute.
    pub last_used: Option<SystemTime>,
}

impl ApiKeys {
    /// Whether the store keeps API keys.
    pub fn are_kept(&self) -> bool {
        self.store.entries().is_some()
    }

    /// Makes a key.
    ///
    /// # Errors
    ///
    /// [`NotCreated`]
    pub async fn create(&self, new: NewKey) -> Result<(ApiKey, KeyRecord), NotCreated> {
        let held = self.entries()?.listed(&name_of_owner(&new.owner), MOST).await?;
        if held.len() >= MOST {
            return Err(NotCreated::TooMany);
        }
        let key = ApiKey::new(&random());
        let record = KeyRecord {
            id: key.id().clone(),
            digest: key.digest(),
            owner: new.owner,
            name: new.name,
            routes: new.routes,
            label: new.label,
            created_at: self.clock.now(),
            expires_at: new.expires_at,
            revoked_at: None,
        };
        self.keep_key(&record).await?;
        Ok((key, record))
    }

    /// The key of this identifier, as the store has it now.
    ///
    /// # Errors
    ///
    /// The store does not answer.
    pub async fn record(&self, id: &KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.read(&name_of_key(id)).await
    }

    /// Revokes a key, and returns it; `None` if there is none. It is refused at every process from then on.
    ///
    /// # Errors
    ///
    /// The store does not answer: the key still counts.
    pub async fn revoke(&self, id: &KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let Some(record) = self.record(id).await? else { return Ok(None) };
        let revoked_at = record.revoked_at.or_else(|| Some(self.clock.now()));
        let record = KeyRecord { revoked_at, ..record };
        self.keep_key(&record).await?;
        Ok(Some(record))
    }

    /// Revokes the keys of an owner, and returns the identifiers of those that counted until now.
    ///
    /// # Errors
    ///
    /// The store does not answer: some keys may still count.
    pub async fn revoke_all_of(&self, owner: &Owner) -> Result<Vec<KeyId>, StoreError> {
        let mut revoked = Vec::new();
        for status in self.of(owner).await? {
            if status.record.revoked_at.is_none() {
                self.revoke(&status.record.id).await?;
                revoked.push(status.record.id);
            }
        }
        Ok(revoked)
    }

    /// The keys of an owner, the newest first.
    ///
    /// # Errors
    ///
    /// The store does not answer.
    pub async fn of(&self, owner: &Owner) -> Result<Vec<KeyStatus>, StoreError> {
        let mut found = self.listed(&name_of_owner(owner), MOST).await?;
        found.retain(|status| status.record.owner == *owner);
        Ok(found)
    }

    /// All keys, at most `limit`, the newest first.
    ///
    /// # Errors
    ///
    /// The store does not answer.
    pub async fn all(&self, limit: usize) -> Result<Vec<KeyStatus>, StoreError> {
        self.listed(&all_keys(), limit).await
    }

    /// Stores the identity of a person as the issuer states it now.
    ///
    /// # Errors
    ///
    /// The store does not answer.
    pub async fn note_owner(&self, known: &Known, at: SystemTime) -> Result<(), StoreError> {
        let Some(lifetime) = self.keeps_owners.load_full() else { return Ok(()) };
        if known.subject.is_empty() || known.iss.is_empty() || !self.are_kept() {
            return Ok(());
        }
        let name = name_of_owner(&Owner::user(known));
        let record = OwnerRecord::of(known, at);
        let alone = self.store.shared().is_none();
        let digest = serde_json::to_vec(&record.known).map(|bytes| sha256(&bytes)).ok();
        if alone && digest.is_some() && self.stored.get(&name) == digest {
            return Ok(());
        }
        let millis = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let names = known.preferred_username.iter().chain([&known.subject]);
        let entry = Entry {
            sealed: self.sealed(&name, &record)?,
            version: u64::try_from(millis).unwrap_or(u64::MAX),
            indexes: names.map(|one| namesakes(&known.issuer, one)).collect(),
            until: later(later(at, *lifetime), KNOWN_AFTER),
        };
        self.entries()?.keep(&name, &entry).await?;
        self.changed(&name);
        if let Some(digest) = digest.filter(|_| alone) {
            self.stored.insert(name, digest);
        }
        Ok(())
    }

    /// The people who signed in with this user name or subject, most recently within the kept time.
    ///
    /// # Errors
    ///
    /// The store does not answer.
    pub async fn people(&self, issuer: &str, name: &str) -> Result<Vec<OwnerRecord>, StoreError> {
        let mut people = Vec::new();
        for entry in self.entries()?.listed(&namesakes(issuer, name), NAMESAKES).await? {
            people.extend(self.read::<OwnerRecord>(&entry).await?);
        }
        // The user name may have changed since.
        people.retain(|person| {
            let known = &person.known;
            known.issuer == issuer && (known.is_user(name) || known.subject == name)
        });
        Ok(people)
    }

    /// Stores the times of last use.
    pub(crate) async fn flush(&self) {
        let keys = std::mem::take(&mut *self.unwritten());
        let Some(entries) = self.store.entries() else { return };
        for key in keys {
            let Some(at) = key.last_used() else { continue };
            let (name, until) = (name_of_key(&key.record().id), kept_until(key.record()));
            if let Err(error) = entries.stamp(&name, at, until).await {
                tracing::debug!(key = %key.record().id, %error, "last use of an API key not stored");
            }
        }
    }

    /// Deletes what ended long ago, and seals again what another key than the first one seals.
    ///
    /// # Errors
    ///
    /// The store does not answer.
    pub(crate) async fn sweep(&self) -> Result<(), StoreError> {
        let Some(entries) = self.store.entries() else { return Ok(()) };
        let now = self.clock.now();
        entries.sweep_entries(now).await?;
        for name in entries.listed(&all_keys(), SWEPT).await? {
            let sealed = entries.entry(&name).await?;
            if let Some(sealed) = sealed.filter(|sealed| !self.seals.is_current(sealed))
                && let Some(record) = self.opened::<KeyRecord>(&name, &sealed)
            {
                self.keep_key(&record).await?;
            }
        }
        Ok(())
    }

    async fn keep_key(&self, record: &KeyRecord) -> Result<(), StoreError> {
        let name = name_of_key(&record.id);
        let entry = Entry {
            sealed: self.sealed(&name, record)?,
            version: if record.revoked_at.is_some() { REVOKED } else { ISSUED },
            indexes: vec![name_of_owner(&record.owner), all_keys()],
            until: kept_until(record),
        };
        self.entries()?.keep(&name, &entry).await?;
        self.changed(&name);
        Ok(())
    }

    async fn listed(&self, index: &Digest, limit: usize) -> Result<Vec<KeyStatus>, StoreError> {
        let entries = self.entries()?;
        let mut found = Vec::new();
        for name in entries.listed(index, limit).await? {
            let Some(record) = self.read::<KeyRecord>(&name).await? else { continue };
            let here = self.keys.get(&name).and_then(|key| key.last_used());
            let last_used = entries.stamp_of(&name).await?.max(here);
            found.push(KeyStatus { record, last_used });
        }
        found.sort_by_key(|status| std::cmp::Reverse(status.record.created_at));
        Ok(found)
    }

    async fn read<T: DeserializeOwned>(&self, name: &Digest) -> Result<Option<T>, StoreError> {
        let sealed = self.entries()?.entry(name).await?;
        Ok(sealed.and_then(|sealed| self.opened(name, &sealed)))
    }

    fn sealed<T: Serialize>(&self, name: &Digest, value: &T) -> Result<Vec<u8>, StoreError> {
        let failed =
            |error: &dyn std::fmt::Display| StoreError::Unavailable { reason: error.to_string() };
        let plaintext = serde_json::to_vec(value).map_err(|error| failed(&error))?;
        self.seals.seal_bytes(Purpose::ApiKey, name, &plaintext).map_err(|error| failed(&error))
    }
}

/// Bytes of a cryptographic random number generator.
fn random() -> [u8; ApiKey::RANDOM] {
    use rand::Rng as _;
    let mut bytes = [0; ApiKey::RANDOM];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

fn kept_until(record: &KeyRecord) -> SystemTime {
    later(record.expires_at, KNOWN_AFTER)
}

fn all_keys() -> Digest {
    sha256(b"all api keys")
}

/// The index of the people of one user name or subject. Lengths come first, so that no two give the same digest.
fn namesakes(issuer: &str, name: &str) -> Digest {
    sha256(format!("namesakes {} {issuer}{name}", issuer.len()).as_bytes())
}
