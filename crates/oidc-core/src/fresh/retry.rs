//! The pause before a failed fetch is repeated: doubled each time up to a cap, with jitter, so that
//! clients that lost a provider at the same time do not return at the same time.

use std::time::Duration;

/// Pauses between failed fetches: `first`, then doubled up to `cap`, each with jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// Before the second attempt. 1 s.
    pub first: Duration,
    /// Longest pause while an older value can still be served. 30 s.
    pub cap: Duration,
    /// Longest pause while there is nothing to serve, so that recovery is noticed soon. 4 s.
    pub cap_unready: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            cap: Duration::from_secs(30),
            cap_unready: Duration::from_secs(4),
        }
    }
}

impl Retry {
    /// Pause after `failures` failures in a row, while an older value can be served: between three
    /// quarters and all of the step, at random.
    ///
    /// ```
    /// use std::time::Duration;
    /// let pause = oidc_core::provider::Retry::default().pause(3);
    /// assert!((Duration::from_secs(3)..=Duration::from_secs(4)).contains(&pause));
    /// ```
    pub fn pause(&self, failures: u32) -> Duration {
        self.pause_up_to(self.cap, failures)
    }

    /// Pause after `failures` failures in a row, while there is nothing to serve.
    pub(super) fn pause_unready(&self, failures: u32) -> Duration {
        self.pause_up_to(self.cap_unready, failures)
    }

    fn pause_up_to(&self, cap: Duration, failures: u32) -> Duration {
        let step = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(cap);
        step.mul_f64(rand::random_range(0.75..=1.0))
    }
}
