//! The tables of the session file, and the ways to add and remove a record.
//!
//! Everything is keyed by the SHA-256 of a ticket. The index holds the fields that sweeping and ending need, so that neither
//! unseals a record.

use std::time::SystemTime;

use redb::{
    Database, Error, MultimapTable, MultimapTableDefinition, ReadableDatabase as _,
    ReadableMultimapTable as _, ReadableTable as _, ReadableTableMetadata as _, Table,
    TableDefinition, WriteTransaction,
};

use crate::{
    digest::Digest,
    moment::{from_nanos, nanos},
    record::{Limits, Record, Which},
    ticket::SessionId,
};

type Key = &'static [u8; 32];
/// Name, creation, and the keys under [`HELD`] of its subject and its provider session.
type Indexed = (&'static str, u64, Key, Option<Key>);

const SEALED: TableDefinition<'_, Key, &'static [u8]> = TableDefinition::new("sealed");
const INDEX: TableDefinition<'_, Key, Indexed> = TableDefinition::new("index");
const SEEN: TableDefinition<'_, Key, u64> = TableDefinition::new("seen");
const NAMES: TableDefinition<'_, &'static str, Key> = TableDefinition::new("names");
/// End of its time, and sealed state, of each login in progress.
const LOGINS: TableDefinition<'_, Key, (u64, &'static [u8])> = TableDefinition::new("logins");
/// End of its time, and value, of each counter.
const COUNTERS: TableDefinition<'_, Key, (u64, u64)> = TableDefinition::new("counters");
const HELD: MultimapTableDefinition<'_, Key, Key> = MultimapTableDefinition::new("held");

/// A record ready to be stored.
pub(super) struct Entry {
    id: SessionId,
    sealed: Vec<u8>,
    created_at: u64,
    last_seen: u64,
    subject: Digest,
    provider_session: Option<Digest>,
}

impl Entry {
    pub(super) fn new(record: &Record, sealed: Vec<u8>) -> Self {
        let mut entry = Self {
            id: record.id.clone(),
            sealed,
            created_at: nanos(record.created_at),
            last_seen: nanos(record.last_seen),
            subject: Digest::default(),
            provider_session: None,
        };
        for which in Which::of(record) {
            match which {
                Which::Subject { .. } => entry.subject = which.digest(),
                Which::ProviderSession { .. } | Which::Unnamed { .. } => {
                    entry.provider_session = Some(which.digest());
                }
            }
        }
        entry
    }

    #[cfg(test)]
    pub(super) fn damage(&mut self) {
        self.sealed.reverse();
    }
}

/// Runs `work` in one transaction. It is on disk when this returns, and has no effect when it fails.
pub(super) fn writing<T>(
    database: &Database,
    work: impl FnOnce(&mut Writer<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let transaction = database.begin_write()?;
    let done = work(&mut Writer::open(&transaction)?)?;
    transaction.commit()?;
    Ok(done)
}

/// The tables within one write transaction.
pub(super) struct Writer<'t> {
    sealed: Table<'t, Key, &'static [u8]>,
    index: Table<'t, Key, Indexed>,
    seen: Table<'t, Key, u64>,
    names: Table<'t, &'static str, Key>,
    held: MultimapTable<'t, Key, Key>,
    logins: Table<'t, Key, (u64, &'static [u8])>,
    counters: Table<'t, Key, (u64, u64)>,
}

impl<'t> Writer<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, Error> {
        Ok(Self {
            sealed: transaction.open_table(SEALED)?,
            index: transaction.open_table(INDEX)?,
            seen: transaction.open_table(SEEN)?,
            names: transaction.open_table(NAMES)?,
            held: transaction.open_multimap_table(HELD)?,
            logins: transaction.open_table(LOGINS)?,
            counters: transaction.open_table(COUNTERS)?,
        })
    }

    pub(super) fn insert(&mut self, digest: &Digest, entry: &Entry) -> Result<(), Error> {
        let provider_session = entry.provider_session.as_ref();
        let indexed = (entry.id.as_str(), entry.created_at, &entry.subject, provider_session);
        self.sealed.insert(digest, &*entry.sealed)?;
        self.index.insert(digest, indexed)?;
        self.seen.insert(digest, entry.last_seen)?;
        self.names.insert(entry.id.as_str(), digest)?;
        for holder in std::iter::once(&entry.subject).chain(provider_session) {
            self.held.insert(holder, digest)?;
        }
        Ok(())
    }

    /// Removes a record, and returns its name if there was one.
    pub(super) fn remove(&mut self, digest: &Digest) -> Result<Option<SessionId>, Error> {
        self.sealed.remove(digest)?;
        self.seen.remove(digest)?;
        let Some(indexed) = self.index.remove(digest)? else { return Ok(None) };
        let (id, _, subject, provider_session) = indexed.value();
        self.names.remove(id)?;
        for holder in std::iter::once(subject).chain(provider_session) {
            self.held.remove(holder, digest)?;
        }
        Ok(Some(SessionId::from_name(id)))
    }

    pub(super) fn remove_id(&mut self, id: &SessionId) -> Result<(), Error> {
        let digest = self.names.get(id.as_str())?.map(|digest| *digest.value());
        if let Some(digest) = digest {
            self.remove(&digest)?;
        }
        Ok(())
    }

    /// The keys of the records under `holder`.
    pub(super) fn held(&self, holder: &Digest) -> Result<Vec<Digest>, Error> {
        let mut digests = Vec::new();
        for digest in self.held.get(holder)? {
            digests.push(*digest?.value());
        }
        Ok(digests)
    }

    /// A sealed record, and the time its session was last used.
    pub(super) fn sealed(&self, digest: &Digest) -> Result<Option<(Vec<u8>, SystemTime)>, Error> {
        let Some(sealed) = self.sealed.get(digest)? else { return Ok(None) };
        let seen =
            self.seen.get(digest)?.map_or(SystemTime::UNIX_EPOCH, |at| from_nanos(at.value()));
        Ok(Some((sealed.value().to_vec(), seen)))
    }

    /// Keeps the sealed state of a login; `false` if `limit` of them are kept already.
    pub(super) fn keep_login(
        &mut self,
        key: &Digest,
        sealed: &[u8],
        until: SystemTime,
        limit: u64,
    ) -> Result<bool, Error> {
        if self.logins.len()? >= limit {
            return Ok(false);
        }
        self.logins.insert(key, (nanos(until), sealed))?;
        Ok(true)
    }

    /// Adds to a counter, and returns its value. A new one takes the place of those whose time ends before its own.
    pub(super) fn add(
        &mut self,
        counter: &Digest,
        amount: u64,
        until: SystemTime,
    ) -> Result<u64, Error> {
        let until = nanos(until);
        let before = self.counters.get(counter)?.map(|kept| kept.value().1);
        if before.is_none() {
            self.counters.retain(|_, (end, _)| end >= until)?;
        }
        let all = before.unwrap_or(0).saturating_add(amount);
        self.counters.insert(counter, (until, all))?;
        Ok(all)
    }

    pub(super) fn forget_login(&mut self, key: &Digest) -> Result<(), Error> {
        self.logins.remove(key)?;
        Ok(())
    }

    /// Stores the time a session was last used; ignores a session that does not exist.
    pub(super) fn touch(&mut self, id: &SessionId, at: SystemTime) -> Result<(), Error> {
        let digest = self.names.get(id.as_str())?.map(|digest| *digest.value());
        if let Some(digest) = digest {
            self.seen.insert(&digest, nanos(at))?;
        }
        Ok(())
    }
}

/// The tables as they were when reading began.
pub(super) struct Reader {
    sealed: redb::ReadOnlyTable<Key, &'static [u8]>,
    index: redb::ReadOnlyTable<Key, Indexed>,
    seen: redb::ReadOnlyTable<Key, u64>,
    held: redb::ReadOnlyMultimapTable<Key, Key>,
    logins: redb::ReadOnlyTable<Key, (u64, &'static [u8])>,
}

impl Reader {
    pub(super) fn begin(database: &Database) -> Result<Self, Error> {
        let transaction = database.begin_read()?;
        Ok(Self {
            sealed: transaction.open_table(SEALED)?,
            index: transaction.open_table(INDEX)?,
            seen: transaction.open_table(SEEN)?,
            held: transaction.open_multimap_table(HELD)?,
            logins: transaction.open_table(LOGINS)?,
        })
    }

    /// Number of records.
    pub(super) fn count(&self) -> Result<usize, Error> {
        Ok(usize::try_from(self.sealed.len()?).unwrap_or(usize::MAX))
    }

    /// Whether there are records under `holder`.
    pub(super) fn holds(&self, holder: &Digest) -> Result<bool, Error> {
        Ok(self.held.get(holder)?.next().is_some())
    }

    /// The sealed state of a login.
    pub(super) fn login(&self, key: &Digest) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.logins.get(key)?.map(|kept| kept.value().1.to_vec()))
    }

    /// The logins whose time is over.
    pub(super) fn logins_over(&self, now: SystemTime) -> Result<Vec<Digest>, Error> {
        let mut over = Vec::new();
        for entry in self.logins.iter()? {
            let (key, kept) = entry?;
            if from_nanos(kept.value().0) <= now {
                over.push(*key.value());
            }
        }
        Ok(over)
    }

    /// A sealed record, and the time its session was last used.
    pub(super) fn sealed(&self, digest: &Digest) -> Result<Option<(Vec<u8>, SystemTime)>, Error> {
        let Some(sealed) = self.sealed.get(digest)? else { return Ok(None) };
        Ok(Some((sealed.value().to_vec(), self.last_seen(digest)?)))
    }

    /// Sealed records, at most `limit`.
    pub(super) fn all(&self, limit: usize) -> Result<Vec<(Digest, Vec<u8>, SystemTime)>, Error> {
        let mut all = Vec::new();
        for entry in self.sealed.iter()?.take(limit) {
            let (digest, sealed) = entry?;
            let digest = *digest.value();
            all.push((digest, sealed.value().to_vec(), self.last_seen(&digest)?));
        }
        Ok(all)
    }

    /// The records of sessions that are over.
    pub(super) fn over(&self, limits: &Limits, now: SystemTime) -> Result<Vec<Digest>, Error> {
        let mut over = Vec::new();
        for entry in self.index.iter()? {
            let (digest, indexed) = entry?;
            let (digest, (_, created_at, ..)) = (*digest.value(), indexed.value());
            if limits.passed(from_nanos(created_at), self.last_seen(&digest)?, now) {
                over.push(digest);
            }
        }
        Ok(over)
    }

    fn last_seen(&self, digest: &Digest) -> Result<SystemTime, Error> {
        Ok(self.seen.get(digest)?.map_or(SystemTime::UNIX_EPOCH, |at| from_nanos(at.value())))
    }
}
