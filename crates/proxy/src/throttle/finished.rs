//! Remembers the logins that this process finished, so that none is finished twice.
//!
//! The browser keeps a login's cookie: presented again with other codes, it would cause a token request for each.

use std::time::Duration;

use moka::{
    ops::compute::{CompResult, Op},
    policy::EvictionPolicy,
    sync::Cache,
};

/// Number of logins that are remembered; for older ones, the bucket of the address still limits a replay.
const LOGINS: u64 = 100_000;
/// The longest time that a login may take.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// The states of finished logins.
#[derive(Debug)]
pub(crate) struct FinishedLogins(Cache<String, ()>);

impl Default for FinishedLogins {
    fn default() -> Self {
        let states = Cache::builder().max_capacity(LOGINS).eviction_policy(EvictionPolicy::lru());
        Self(states.time_to_live(LIFETIME).build())
    }
}

impl FinishedLogins {
    /// Remembers a state; `true` if it is finished for the first time.
    pub(crate) fn first_time(&self, state: &str) -> bool {
        // Calls for one key run one after the other; two calls of `or_insert` may both insert.
        let remembered = self.0.entry_by_ref(state).and_compute_with(|known| match known {
            Some(_) => Op::Nop,
            None => Op::Put(()),
        });
        matches!(remembered, CompResult::Inserted(_))
    }

    /// Forgets a state, because the issuer did not judge the code: the browser may present it again.
    pub(crate) fn forget(&self, state: &str) {
        self.0.invalidate(state);
    }
}
