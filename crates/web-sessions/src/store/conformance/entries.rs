//! Behaviour common to all stores that keep entries.

use super::*;
use crate::{digest::sha256, store::Entry};

fn entry(clock: &MovableClock, sealed: &[u8], version: u64, seconds: u64) -> Entry {
    Entry {
        sealed: sealed.to_vec(),
        version,
        indexes: vec![sha256(b"one"), sha256(b"all")],
        until: clock.now() + Duration::from_secs(seconds),
    }
}

/// Runs every case, if the store keeps entries.
pub(super) async fn keeps_entries(store: &impl SessionStore, clock: &MovableClock) {
    let Some(entries) = store.entries() else { return };
    let name = sha256(b"a key");
    assert_eq!(entries.entry(&name).await.unwrap(), None);
    assert_eq!(entries.listed(&sha256(b"all"), 10).await.unwrap(), [[0; 32]; 0]);
    assert!(entries.keep(&name, &entry(clock, b"first", 0, 600)).await.unwrap());
    assert!(entries.keep(&name, &entry(clock, b"again", 0, 600)).await.unwrap());
    assert_eq!(entries.entry(&name).await.unwrap().as_deref(), Some(b"again".as_slice()));
    // What was revoked stays revoked, however the writes of two processes meet.
    assert!(entries.keep(&name, &entry(clock, b"revoked", 1, 600)).await.unwrap());
    assert!(!entries.keep(&name, &entry(clock, b"late", 0, 600)).await.unwrap());
    assert_eq!(entries.entry(&name).await.unwrap().as_deref(), Some(b"revoked".as_slice()));
    for index in [b"one", b"all"] {
        assert_eq!(entries.listed(&sha256(index), 10).await.unwrap(), [name]);
    }
    let other = sha256(b"another key");
    entries.keep(&other, &entry(clock, b"other", 0, 600)).await.unwrap();
    assert_eq!(entries.listed(&sha256(b"all"), 1).await.unwrap().len(), 1);
    assert_eq!(entries.listed(&sha256(b"all"), 10).await.unwrap().len(), 2);
    assert_eq!(entries.stamp_of(&name).await.unwrap(), None);
    let (at, until) =
        (clock.now() + Duration::from_millis(7), clock.now() + Duration::from_secs(60));
    entries.stamp(&name, at, until).await.unwrap();
    assert_eq!(entries.stamp_of(&name).await.unwrap(), Some(at));
    entries.sweep_entries(clock.now()).await.unwrap();
    assert!(entries.entry(&name).await.unwrap().is_some());
}
