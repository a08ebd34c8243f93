//! The logins that were finished by this process, so that none is finished twice.
//!
//! A login's cookie is the browser's to keep: presented again with other codes, it would make a token request for each.

use std::time::Duration;

use moka::{policy::EvictionPolicy, sync::Cache};

/// How many are remembered; beyond, the bucket of the address still bounds a replay.
const LOGINS: u64 = 100_000;
/// As long as a login may take.
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
    /// Whether a state is finished for the first time; remembers it.
    pub(crate) fn first_time(&self, state: &str) -> bool {
        self.0.entry_by_ref(state).or_insert(()).is_fresh()
    }

    /// The issuer did not judge the code: the browser may present it again.
    pub(crate) fn forget(&self, state: &str) {
        self.0.invalidate(state);
    }
}
