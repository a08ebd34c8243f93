//! Remembers what this process finished, so that none is finished twice: logins, logout tokens.
//!
//! The browser keeps a login's cookie: presented again with other codes, it would cause a token request for each.

use std::time::Duration;

use moka::{
    ops::compute::{CompResult, Op},
    policy::EvictionPolicy,
    sync::Cache,
};

/// Number of names that are remembered; for older logins, the bucket of the address still limits a replay.
const REMEMBERED: u64 = 100_000;
/// Names of what was finished. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Finished(Cache<String, ()>);

impl Finished {
    /// The longest time that a login may take. Logout tokens live minutes.
    pub(crate) const LIFETIME: Duration = Duration::from_secs(60 * 60);

    /// Remembers nothing yet, and forgets by this policy when it is full.
    pub(crate) fn evicting(policy: EvictionPolicy) -> Self {
        let names = Cache::builder().max_capacity(REMEMBERED).eviction_policy(policy);
        Self(names.time_to_live(Self::LIFETIME).build())
    }

    /// Remembers a name; `true` if it is finished for the first time.
    pub(crate) fn first_time(&self, name: &str) -> bool {
        // Calls for one key run one after the other; two calls of `or_insert` may both insert.
        let remembered = self.0.entry_by_ref(name).and_compute_with(|known| match known {
            Some(_) => Op::Nop,
            None => Op::Put(()),
        });
        matches!(remembered, CompResult::Inserted(_))
    }

    /// Forgets a name that may come again, such as the state of a login whose code the issuer did not judge.
    pub(crate) fn forget(&self, name: &str) {
        self.0.invalidate(name);
    }
}
