//! Bounded memory of recent names.

use std::{hash::Hash, time::Duration};

use moka::{policy::EvictionPolicy, sync::Cache};

/// A cache of bounded size; the least recently used entry is evicted first.
pub(super) fn remembered<K, V>(most: u64, lifetime: Duration) -> Cache<K, V>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache::builder()
        .max_capacity(most)
        .eviction_policy(EvictionPolicy::lru())
        .time_to_live(lifetime)
        .build()
}
