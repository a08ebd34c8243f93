//! The port for entries that outlive sessions: sealed, with a name, an end, and indexes under which they are listed.
//!
//! API keys and their owners are entries. The store sees sealed bytes and digests only.

use std::{fmt, time::SystemTime};

use async_trait::async_trait;

use crate::{digest::Digest, store::StoreError};

/// A sealed entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its sealed content.
    pub sealed: Vec<u8>,
    /// Its version: an entry never replaces a later one.
    pub version: u64,
    /// The indexes that list it.
    pub indexes: Vec<Digest>,
    /// Time at which it ends.
    pub until: SystemTime,
}

/// The part of a store that keeps entries. A [`SessionStore`](super::SessionStore) that has it returns it from
/// [`entries`](super::SessionStore::entries). A store that several processes share announces each written entry as
/// [`Change::Entry`](super::Change::Entry).
#[async_trait]
pub trait EntryStore: Send + Sync + fmt::Debug {
    /// Keeps an entry, in place of an earlier one of the same name; `false` if a later version is kept.
    async fn keep(&self, name: &Digest, entry: &Entry) -> Result<bool, StoreError>;

    /// The sealed content of an entry.
    async fn entry(&self, name: &Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Names of the entries under an index, at most `limit`. Some may have ended.
    async fn listed(&self, index: &Digest, limit: usize) -> Result<Vec<Digest>, StoreError>;

    /// Keeps a time beside an entry until that ends, such as that of its last use. No process is told.
    async fn stamp(
        &self,
        name: &Digest,
        at: SystemTime,
        until: SystemTime,
    ) -> Result<(), StoreError>;

    /// The time beside an entry, to the millisecond.
    async fn stamp_of(&self, name: &Digest) -> Result<Option<SystemTime>, StoreError>;

    /// Deletes the entries that have ended.
    async fn sweep_entries(&self, now: SystemTime) -> Result<(), StoreError>;
}
