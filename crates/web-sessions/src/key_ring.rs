//! API keys in use: finds a presented key and its owner, from memory where no other process can have changed them.
//!
//! Keys and owners are sealed entries of the store. A key that was read stays in memory until it changes; where other processes
//! use the store too, it is read again after a few seconds and after every change they announce, as sessions are. A store that
//! does not answer is an error, and neither an unknown key nor a valid one.

mod ledger;
mod live;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use ::api_keys::{KeyId, KeyRecord, OwnerKind, OwnerRecord};
use arc_swap::ArcSwapOption;
use oidc_core::Clock;

use self::live::Lasting;
pub use self::{
    ledger::{KeyStatus, NewKey, NotCreated},
    live::{LiveKey, LiveOwner},
};
use crate::{
    digest::{Digest, sha256},
    memory::remembered,
    moment::nanos,
    seal::{Keys, Purpose},
    store::{EntryStore, SessionStore, StoreError},
};

/// Number of keys, and of owners, that are kept in memory.
const REMEMBERED: u64 = 20_000;
/// Time after which one that no request used is removed from memory.
const UNUSED: Duration = Duration::from_secs(3600);
/// Number of unknown identifiers that are remembered, and for how long.
const UNKNOWN: (u64, Duration) = (50_000, Duration::from_secs(30));
/// The longest time for which an entry of a shared store is used without reading it again.
const MOST_TRUST: Duration = Duration::from_secs(60);

/// The API keys of this gateway.
pub struct ApiKeys {
    store: Arc<dyn SessionStore>,
    seals: Arc<Keys>,
    clock: Arc<dyn Clock>,
    keys: moka::sync::Cache<Digest, Arc<LiveKey>>,
    owners: moka::sync::Cache<Digest, Arc<LiveOwner>>,
    unknown: moka::sync::Cache<Digest, ()>,
    changes: Mutex<Changes>,
    /// A task takes the changes of other processes. Without one, nothing that they can change is kept.
    followed: AtomicBool,
    /// Time for which the identity of a person who signs in is kept; none are where no keys are used.
    keeps_owners: ArcSwapOption<Duration>,
    /// Digests of identities that were stored lately, where this process alone uses the store.
    stored: moka::sync::Cache<Digest, Digest>,
    unwritten: Mutex<Vec<Arc<LiveKey>>>,
}

/// A key, and its owner if the owner is known here.
#[derive(Debug, Clone)]
pub struct Found {
    /// The key.
    pub key: Arc<LiveKey>,
    /// Its owner, unless that is a client.
    pub owner: Option<Arc<LiveOwner>>,
}

#[derive(Default)]
struct Changes {
    /// Number of changes so far: a read that one overtook is not kept.
    count: u64,
    /// Those that wait for changes, by the name of a key.
    waiting: HashMap<Digest, (Digest, Weak<Lasting>)>,
}

/// A read in progress.
struct Read {
    count: u64,
    trusted_until: u64,
}

impl ApiKeys {
    /// Keys in this store, sealed with these keys.
    pub fn new(store: Arc<dyn SessionStore>, seals: Arc<Keys>, clock: Arc<dyn Clock>) -> Self {
        let (most, lifetime) = UNKNOWN;
        Self {
            store,
            seals,
            clock,
            keys: moka::sync::Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_idle(UNUSED)
                .build(),
            owners: moka::sync::Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_idle(UNUSED)
                .build(),
            unknown: remembered(most, lifetime),
            changes: Mutex::default(),
            followed: AtomicBool::new(false),
            keeps_owners: ArcSwapOption::empty(),
            stored: remembered(REMEMBERED, Duration::from_secs(600)),
            unwritten: Mutex::default(),
        }
    }

    /// Keeps the identity of each person who signs in for this long, or none: the keys of a person have that identity.
    pub fn keep_owners(&self, lifetime: Option<Duration>) {
        self.keeps_owners.store(lifetime.map(Arc::new));
    }

    /// The key of this identifier with its owner, if both are in memory.
    pub fn remembered(&self, id: &KeyId) -> Option<Found> {
        let now = nanos(self.clock.now());
        let key = self.keys.get(&name_of_key(id)).filter(|key| key.is_trusted(now))?;
        let owner = match key.record().owner.kind {
            OwnerKind::Client => None,
            OwnerKind::User => {
                Some(self.owners.get(key.owner()).filter(|owner| owner.is_trusted(now))?)
            }
        };
        Some(Found { key, owner })
    }

    /// The key of this identifier; `None` when there is none.
    ///
    /// # Errors
    ///
    /// The store does not answer.
    pub async fn find(&self, id: &KeyId) -> Result<Option<Found>, StoreError> {
        if let Some(found) = self.remembered(id) {
            return Ok(Some(found));
        }
        let Some(key) = self.key(name_of_key(id)).await? else { return Ok(None) };
        let owner = match key.record().owner.kind {
            OwnerKind::Client => None,
            OwnerKind::User => self.owner(*key.owner()).await?,
        };
        Ok(Some(Found { key, owner }))
    }

    /// Notes a use. The store learns of it later, at most once a minute.
    pub fn used(&self, key: &Arc<LiveKey>) {
        if key.use_at(nanos(self.clock.now())) {
            self.unwritten().push(Arc::clone(key));
        }
    }

    /// An entry was changed, here or by another process.
    pub(crate) fn changed(&self, name: &Digest) {
        let mut changes = self.changes();
        changes.count += 1;
        self.keys.invalidate(name);
        self.owners.invalidate(name);
        self.unknown.invalidate(name);
        changes.waiting.retain(|key, (owner, lasting)| {
            let lasting = lasting.upgrade();
            if let Some(lasting) = lasting.as_ref().filter(|_| key == name || owner == name) {
                lasting.changes.notify_waiters();
            }
            lasting.is_some()
        });
    }

    /// Changes of other processes may have been missed.
    pub(crate) fn missed(&self) {
        let mut changes = self.changes();
        changes.count += 1;
        self.keys.invalidate_all();
        self.owners.invalidate_all();
        self.unknown.invalidate_all();
        let waiting = changes.waiting.values().filter_map(|(_, lasting)| lasting.upgrade());
        waiting.for_each(|lasting| lasting.changes.notify_waiters());
    }

    /// Whether a task takes the changes of other processes now.
    pub(crate) fn follow(&self, followed: bool) {
        self.followed.store(followed, Relaxed);
        if !followed {
            self.missed();
        }
    }

    async fn key(&self, name: Digest) -> Result<Option<Arc<LiveKey>>, StoreError> {
        let now = nanos(self.clock.now());
        if let Some(key) = self.keys.get(&name).filter(|key| key.is_trusted(now)) {
            return Ok(Some(key));
        }
        if self.unknown.contains_key(&name) {
            return Ok(None);
        }
        let Some(entries) = self.store.entries() else { return Ok(None) };
        let read = self.begin();
        let sealed = entries.entry(&name).await?;
        let record = sealed.and_then(|sealed| self.opened::<KeyRecord>(&name, &sealed));
        let mut changes = self.changes();
        let current = changes.count == read.count;
        let Some(record) = record else {
            if current {
                self.unknown.insert(name, ());
            }
            return Ok(None);
        };
        let owner = name_of_owner(&record.owner);
        let waiting = changes.waiting.get(&name).and_then(|(_, lasting)| lasting.upgrade());
        let lasting = waiting.unwrap_or_default();
        changes.waiting.insert(name, (owner, Arc::downgrade(&lasting)));
        let key = Arc::new(LiveKey::new(record, owner, lasting, read.trusted_until));
        if current && key.is_trusted(now) {
            self.keys.insert(name, Arc::clone(&key));
        }
        Ok(Some(key))
    }

    async fn owner(&self, name: Digest) -> Result<Option<Arc<LiveOwner>>, StoreError> {
        let now = nanos(self.clock.now());
        if let Some(owner) = self.owners.get(&name).filter(|owner| owner.is_trusted(now)) {
            return Ok(Some(owner));
        }
        let Some(entries) = self.store.entries() else { return Ok(None) };
        let read = self.begin();
        let sealed = entries.entry(&name).await?;
        let record = sealed.and_then(|sealed| self.opened::<OwnerRecord>(&name, &sealed));
        let Some(record) = record else { return Ok(None) };
        let owner = Arc::new(LiveOwner::new(record, read.trusted_until));
        let changes = self.changes();
        if changes.count == read.count && owner.is_trusted(now) {
            self.owners.insert(name, Arc::clone(&owner));
        }
        Ok(Some(owner))
    }

    /// Begins a read, before the store is asked.
    fn begin(&self) -> Read {
        let trusted_until = match self.store.shared() {
            None => u64::MAX,
            Some(_) if !self.followed.load(Relaxed) => 0,
            Some(shared) => match shared.trusted_for() {
                Duration::ZERO => 0,
                trusted => nanos(self.clock.now() + trusted.min(MOST_TRUST)),
            },
        };
        Read { count: self.changes().count, trusted_until }
    }

    /// Opens a sealed entry. Logs and returns `None` if that fails.
    fn opened<T: serde::de::DeserializeOwned>(&self, name: &Digest, sealed: &[u8]) -> Option<T> {
        let plaintext = self.seals.open_bytes(Purpose::ApiKey, name, sealed);
        let read = plaintext.and_then(|plaintext| serde_json::from_slice(&plaintext).ok());
        if read.is_none() {
            tracing::warn!(
                "skipped an API key or owner that does not open: it is damaged, or its session key is gone"
            );
        }
        read
    }

    fn entries(&self) -> Result<&dyn EntryStore, StoreError> {
        let none = || StoreError::Unavailable { reason: "this store keeps no API keys".to_owned() };
        self.store.entries().ok_or_else(none)
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unwritten(&self) -> MutexGuard<'_, Vec<Arc<LiveKey>>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys").field("store", &self.store).finish_non_exhaustive()
    }
}

fn name_of_key(id: &KeyId) -> Digest {
    sha256(format!("api key {id}").as_bytes())
}

fn name_of_owner(owner: &::api_keys::Owner) -> Digest {
    sha256(format!("owner {}", owner.name()).as_bytes())
}

/// Time in which an entry that has ended is still known, so that the log names the reason.
const KNOWN_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);

fn later(time: SystemTime, by: Duration) -> SystemTime {
    time.checked_add(by).unwrap_or(time)
}

#[cfg(test)]
mod tests;
