//! Back-off of a cache after a failure: 1 s, doubled up to 30 s, with jitter, and never shorter
//! than the issuer asked for (`Retry-After`, RFC 9110 §10.2.3).

use std::time::Duration;

use oidc_core::provider::Retry;

use crate::source::TokenError;

/// A failed attempt, and the wait before the next.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) error: TokenError,
    /// Number of failures in a row, this one included.
    pub(crate) failures: u32,
    /// Time from the failure to the next attempt.
    pub(crate) wait: Duration,
}

impl Failure {
    /// One more failure after `before` others.
    pub(crate) fn after(before: u32, error: TokenError) -> Self {
        let failures = before.saturating_add(1);
        let pause = Retry::default().pause(failures);
        let wait = pause.max(error.retry_after().unwrap_or_default());
        // The first caller learns the wait too, as all later ones do.
        Self { error: error.with_time_left(wait), failures, wait }
    }

    /// The same failure after `passed`; `None` once the next attempt may be made.
    pub(crate) fn left_after(&self, passed: Duration) -> Option<Self> {
        let wait = self.wait.checked_sub(passed).filter(|left| !left.is_zero())?;
        let error = self.error.clone().with_time_left(wait);
        Some(Self { error, failures: self.failures, wait })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_to_half_a_minute() {
        let error = || TokenError::not_asked("down");
        for (before, step) in [(0, 1), (1, 2), (4, 16), (5, 30), (u32::MAX, 30)] {
            let wait = Failure::after(before, error()).wait;
            let step = Duration::from_secs(step);
            assert!(wait >= step.mul_f64(0.75) && wait <= step, "{before}: {wait:?}");
        }
    }

    #[test]
    fn the_issuer_may_ask_for_longer_never_for_less() {
        let error =
            |seconds| TokenError::not_asked("down").with_time_left(Duration::from_secs(seconds));
        assert_eq!(Failure::after(0, error(120)).wait, Duration::from_secs(120));
        assert!(Failure::after(9, error(1)).wait > Duration::from_secs(20));
    }
}
