//! Entries in the session file, in tables of their own.

use std::time::SystemTime;

use async_trait::async_trait;
use redb::{
    Database, Error, MultimapTableDefinition, ReadableDatabase as _, ReadableTable as _,
    TableDefinition,
};

use super::EmbeddedStore;
use crate::{
    digest::Digest,
    moment::{from_nanos, nanos},
    store::{Entry, EntryStore, StoreError},
};

type Key = &'static [u8; 32];
/// Version, end, and sealed content of each entry.
const ENTRIES: TableDefinition<'_, Key, (u64, u64, &'static [u8])> =
    TableDefinition::new("entries");
/// The entries under each index.
const LISTED: MultimapTableDefinition<'_, Key, Key> = MultimapTableDefinition::new("listed");
/// The indexes of each entry.
const INDEXES: MultimapTableDefinition<'_, Key, Key> = MultimapTableDefinition::new("indexes");
/// The time beside each entry.
const STAMPS: TableDefinition<'_, Key, u64> = TableDefinition::new("stamps");

/// Makes the tables.
pub(super) fn create(database: &Database) -> Result<(), Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(ENTRIES)?;
    transaction.open_multimap_table(LISTED)?;
    transaction.open_multimap_table(INDEXES)?;
    transaction.open_table(STAMPS)?;
    transaction.commit()?;
    Ok(())
}

fn keep(database: &Database, name: &Digest, entry: &Entry) -> Result<bool, Error> {
    let transaction = database.begin_write()?;
    {
        let mut entries = transaction.open_table(ENTRIES)?;
        let kept = entries.get(name)?.map(|kept| kept.value().0);
        if kept.is_some_and(|version| version > entry.version) {
            return Ok(false);
        }
        entries.insert(name, (entry.version, nanos(entry.until), &*entry.sealed))?;
        let mut listed = transaction.open_multimap_table(LISTED)?;
        let mut indexes = transaction.open_multimap_table(INDEXES)?;
        for index in &entry.indexes {
            listed.insert(index, name)?;
            indexes.insert(name, index)?;
        }
    }
    transaction.commit()?;
    Ok(true)
}

fn listed(database: &Database, index: &Digest, limit: usize) -> Result<Vec<Digest>, Error> {
    let table = database.begin_read()?.open_multimap_table(LISTED)?;
    let mut found = Vec::new();
    for name in table.get(index)?.take(limit) {
        found.push(*name?.value());
    }
    Ok(found)
}

fn stamp(database: &Database, name: &Digest, at: SystemTime) -> Result<(), Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(STAMPS)?.insert(name, nanos(at))?;
    transaction.commit()?;
    Ok(())
}

fn over(database: &Database, now: SystemTime) -> Result<Vec<Digest>, Error> {
    let table = database.begin_read()?.open_table(ENTRIES)?;
    let mut over = Vec::new();
    for entry in table.iter()? {
        let (name, kept) = entry?;
        if from_nanos(kept.value().1) <= now {
            over.push(*name.value());
        }
    }
    Ok(over)
}

fn delete(database: &Database, names: &[Digest]) -> Result<(), Error> {
    let transaction = database.begin_write()?;
    {
        let mut entries = transaction.open_table(ENTRIES)?;
        let mut listed = transaction.open_multimap_table(LISTED)?;
        let mut indexes = transaction.open_multimap_table(INDEXES)?;
        let mut stamps = transaction.open_table(STAMPS)?;
        for name in names {
            entries.remove(name)?;
            stamps.remove(name)?;
            for index in indexes.remove_all(name)? {
                listed.remove(index?.value(), name)?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

#[async_trait]
impl EntryStore for EmbeddedStore {
    async fn keep(&self, name: &Digest, entry: &Entry) -> Result<bool, StoreError> {
        let (name, entry) = (*name, entry.clone());
        self.blocking(move |file| file.with(|database| keep(database, &name, &entry))).await
    }

    async fn entry(&self, name: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let name = *name;
        self.blocking(move |file| {
            file.with(|database| {
                let table = database.begin_read()?.open_table(ENTRIES)?;
                Ok(table.get(&name)?.map(|kept| kept.value().2.to_vec()))
            })
        })
        .await
    }

    async fn listed(&self, index: &Digest, limit: usize) -> Result<Vec<Digest>, StoreError> {
        let index = *index;
        self.blocking(move |file| file.with(|database| listed(database, &index, limit))).await
    }

    async fn stamp(
        &self,
        name: &Digest,
        at: SystemTime,
        _until: SystemTime,
    ) -> Result<(), StoreError> {
        let name = *name;
        self.blocking(move |file| file.with(|database| stamp(database, &name, at))).await
    }

    async fn stamp_of(&self, name: &Digest) -> Result<Option<SystemTime>, StoreError> {
        let name = *name;
        self.blocking(move |file| {
            file.with(|database| {
                let table = database.begin_read()?.open_table(STAMPS)?;
                Ok(table.get(&name)?.map(|at| from_nanos(at.value())))
            })
        })
        .await
    }

    async fn sweep_entries(&self, now: SystemTime) -> Result<(), StoreError> {
        self.blocking(move |file| {
            let over = file.with(|database| over(database, now))?;
            match over.is_empty() {
                true => Ok(()),
                false => file.with(|database| delete(database, &over)),
            }
        })
        .await
    }
}
