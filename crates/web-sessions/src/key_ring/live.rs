//! A key and an owner that were read from the store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use access_policy::Known;
use api_keys::{KeyRecord, OwnerKind, OwnerRecord};
use tokio::sync::Notify;

use super::MOST_TRUST;
use crate::{digest::Digest, moment::from_nanos};

/// Shortest time between two writes of a key's last use, in nanoseconds.
const WRITES: u64 = Duration::from_secs(60).as_nanos() as u64;

/// A key that is in use.
#[derive(Debug)]
pub struct LiveKey {
    record: KeyRecord,
    /// Name of its owner's entry.
    owner: Digest,
    /// Its identity, if its owner is a client.
    client: Option<Arc<Known>>,
    lasting: Arc<Lasting>,
    trusted_until: u64,
}

/// State of a key that stays when it is read again.
#[derive(Debug, Default)]
pub(super) struct Lasting {
    /// Notifies when the key or its owner may have changed.
    pub(super) changes: Notify,
    /// Time of the last use.
    used: AtomicU64,
    /// Time of the last use that was written or is about to be.
    written: AtomicU64,
}

/// An owner whose identity was read.
#[derive(Debug)]
pub struct LiveOwner {
    record: OwnerRecord,
    trusted_until: u64,
}

impl LiveKey {
    pub(super) fn new(
        record: KeyRecord,
        owner: Digest,
        lasting: Arc<Lasting>,
        trusted_until: u64,
    ) -> Self {
        let client = match record.owner.kind {
            OwnerKind::Client => Some(Arc::new(record.owner.as_client())),
            OwnerKind::User => None,
        };
        Self { record, owner, client, lasting, trusted_until }
    }

    /// The key as it is stored.
    pub fn record(&self) -> &KeyRecord {
        &self.record
    }

    /// Its identity, if its owner is a client.
    pub fn client(&self) -> Option<&Arc<Known>> {
        self.client.as_ref()
    }

    /// Notifies when the key or its owner may have changed, also after it was read again.
    pub fn changes(&self) -> &Notify {
        &self.lasting.changes
    }

    pub(super) fn owner(&self) -> &Digest {
        &self.owner
    }

    pub(super) fn is_trusted(&self, now: u64) -> bool {
        is_trusted(self.trusted_until, now)
    }

    /// Notes a use; whether the store must learn of it.
    pub(super) fn use_at(&self, now: u64) -> bool {
        let Lasting { used, written: last, .. } = &*self.lasting;
        used.store(now, Relaxed);
        let written = last.load(Relaxed);
        now.saturating_sub(written) >= WRITES
            && last.compare_exchange(written, now, Relaxed, Relaxed).is_ok()
    }

    /// Time of the last use by this process, if there was one.
    pub(super) fn last_used(&self) -> Option<SystemTime> {
        Some(self.lasting.used.load(Relaxed)).filter(|used| *used > 0).map(from_nanos)
    }
}

impl LiveOwner {
    pub(super) fn new(record: OwnerRecord, trusted_until: u64) -> Self {
        Self { record, trusted_until }
    }

    /// The identity, and the time at which its issuer stated it.
    pub fn record(&self) -> &OwnerRecord {
        &self.record
    }

    pub(super) fn is_trusted(&self, now: u64) -> bool {
        is_trusted(self.trusted_until, now)
    }
}

/// A clock that was set back far is noticed, because the trust then seems to last longer than it can.
fn is_trusted(until: u64, now: u64) -> bool {
    let most = u64::try_from(MOST_TRUST.as_nanos()).unwrap_or(u64::MAX);
    until == u64::MAX || (1..=most).contains(&until.saturating_sub(now))
}
