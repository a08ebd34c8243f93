//! The current time. Only this module asks the system for it.
//!
//! Token rules take the time as an argument. Code that needs "now" holds a [`Clock`], so that tests
//! move the time instead of sleeping.

use std::fmt;
use std::time::SystemTime;

/// Port: returns the time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now, by this clock.
    fn now(&self) -> SystemTime;
}

/// The system's clock.
///
/// ```
/// use oidc_core::{Clock, SystemClock};
/// assert!(SystemClock.now() > std::time::UNIX_EPOCH);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock module is where the system is asked for the time"
    )]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
