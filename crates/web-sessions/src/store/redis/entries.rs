//! Entries in Valkey or Redis. Each has a key of its own that expires; an entry is listed before it is stored, so that a process
//! that is killed in between leaves only a name that leads nowhere.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::future::try_join_all;

use super::{RedisStore, command::Command, millis, names, scripts, since_epoch};
use crate::{
    digest::Digest,
    store::{Entry, EntryStore, StoreError},
};

impl RedisStore {
    /// Time to live of something that ends at a time, in milliseconds.
    fn left(&self, until: SystemTime) -> u64 {
        millis(until.duration_since(self.clock.now()).unwrap_or(Duration::ZERO)).max(1)
    }
}

#[async_trait]
impl EntryStore for RedisStore {
    async fn keep(&self, name: &Digest, entry: &Entry) -> Result<bool, StoreError> {
        let left = self.left(entry.until);
        let list = |index: &Digest| {
            let script = scripts::INDEX.on([self.names.listed(index)]);
            self.calls.call::<()>("index", script.arg(names::text(name)).arg(left))
        };
        try_join_all(entry.indexes.iter().map(list)).await?;
        let script = scripts::KEEP.on([self.names.entry(name)]);
        let script = script.arg(&entry.sealed).arg(entry.version).arg(left);
        self.calls.call("keep", script).await
    }

    async fn entry(&self, name: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.calls.call("entry", Command::new("HGET", &self.names.entry(name)).arg("v")).await
    }

    async fn listed(&self, index: &Digest, limit: usize) -> Result<Vec<Digest>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let last = i64::try_from(limit - 1).unwrap_or(i64::MAX);
        let range = Command::new("ZRANGE", &self.names.listed(index)).arg(0).arg(last);
        let found: Vec<String> = self.calls.call("listed", range).await?;
        Ok(found.iter().filter_map(|name| names::digest(name.as_bytes())).collect())
    }

    async fn stamp(
        &self,
        name: &Digest,
        at: SystemTime,
        until: SystemTime,
    ) -> Result<(), StoreError> {
        let command = Command::new("SET", &self.names.stamp(name)).arg(since_epoch(at));
        self.calls.call("stamp", command.arg("PX").arg(self.left(until))).await
    }

    async fn stamp_of(&self, name: &Digest) -> Result<Option<SystemTime>, StoreError> {
        let command = Command::new("GET", &self.names.stamp(name));
        let at: Option<u64> = self.calls.call("stamp", command).await?;
        Ok(at.map(|at| SystemTime::UNIX_EPOCH + Duration::from_millis(at)))
    }

    /// The server deletes entries by itself, and indexes lose what is over when something is entered.
    async fn sweep_entries(&self, _now: SystemTime) -> Result<(), StoreError> {
        Ok(())
    }
}
