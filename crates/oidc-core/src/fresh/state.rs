//! State of a fetched value at one moment, and whether it can be served.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{ATTEMPT_LIMIT, Failure, Policy};

/// The value, and the attempts to fetch it.
pub(super) struct State<T> {
    pub(super) value: Option<(Arc<T>, Instant)>,
    /// Reason the last attempt failed.
    pub(super) failure: Option<Failure>,
    pub(super) failures: u32,
    pub(super) started: u64,
    pub(super) finished: u64,
    /// Number of the fetch that a caller waits for: it begins without regard to `due`.
    pub(super) wanted: u64,
    pub(super) started_at: Option<Instant>,
    pub(super) due: Instant,
    /// Whether a caller waits for a newer value while attempts fail.
    pub(super) urgent: bool,
    /// Counts purges: the answer to a fetch that began before a purge is not published.
    pub(super) epoch: u64,
}

/// The value to serve, or the failure.
pub(crate) enum Standing<T> {
    Fresh {
        value: Arc<T>,
        age: Duration,
    },
    /// The last attempt failed, but the previous value is still served.
    Stale {
        value: Arc<T>,
        age: Duration,
        failure: Failure,
    },
    None(Failure),
}

impl<T> State<T> {
    pub(super) fn in_flight(&self) -> bool {
        self.started > self.finished
            && self.started_at.is_some_and(|at| at.elapsed() < ATTEMPT_LIMIT)
    }

    /// Whether a value of this age can be used.
    pub(super) fn serves(&self, policy: &Policy, age: Duration) -> bool {
        match &self.failure {
            Some(_) => policy.max_stale.is_none_or(|limit| age <= limit),
            // The value was not renewed in time: the task ended with its runtime, or the machine
            // slept.
            None => age <= policy.max_age || self.in_flight(),
        }
    }

    pub(super) fn standing(&self, policy: &Policy) -> Standing<T> {
        let due_in = || Some(self.due.saturating_duration_since(Instant::now()));
        let with_due = |failure: &Failure| Failure { retry_after: due_in(), ..failure.clone() };
        let Some((value, fetched_at)) = &self.value else {
            return Standing::None(match &self.failure {
                Some(failure) => with_due(failure),
                None => Failure::new("not_fetched", "not fetched yet"),
            });
        };
        let age = fetched_at.elapsed();
        match &self.failure {
            Some(failure) if !self.serves(policy, age) => {
                let reason = format!(
                    "older than {:?}, and not renewed: {}",
                    policy.max_stale.unwrap_or_default(),
                    failure.reason
                );
                // It was good before, so that a mistake now is more likely an outage.
                Standing::None(Failure { reason, mistake: None, ..with_due(failure) })
            }
            Some(failure) => {
                Standing::Stale { value: Arc::clone(value), age, failure: with_due(failure) }
            }
            None if !self.serves(policy, age) => {
                Standing::None(Failure::new("old", "old, and being renewed"))
            }
            None => Standing::Fresh { value: Arc::clone(value), age },
        }
    }
}
