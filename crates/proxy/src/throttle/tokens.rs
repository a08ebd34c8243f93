//! Tokens that one user has used on a route today (UTC).
//!
//! The exact number is known when an answer ends. A request is admitted while the budget is not used up, and then runs to its
//! end: those under way together may exceed the budget.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The most tokens that one exchange counts.
const MOST: u64 = 1 << 40;
/// Seconds of a day.
const DAY: u64 = 24 * 60 * 60;

/// Tokens of one user on one route.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    today: Mutex<Today>,
    /// Looked at or changed since the store was asked.
    unshared: AtomicBool,
}

/// One day's tokens.
#[derive(Debug, Default, Clone, Copy)]
struct Today {
    /// Days since 1970.
    day: u64,
    /// Used here.
    own: u64,
    /// The part of them that the store knows of.
    stored: u64,
    /// Used in other processes, as far as it is known.
    elsewhere: u64,
}

/// State of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Tokens of a day.
    pub(crate) most: u64,
    /// Tokens left today.
    pub(crate) left: u64,
    /// Time until the next day.
    pub(crate) renewed: Duration,
}

/// Tokens that the store does not know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unstored {
    /// The day, in days since 1970.
    pub(super) day: u64,
    /// The tokens.
    pub(super) tokens: u64,
}

impl Unstored {
    /// Time until which the store keeps them: two hours more than the day, because clocks differ.
    pub(super) fn ends(self) -> SystemTime {
        let seconds = self.day.saturating_add(1).saturating_mul(DAY).saturating_add(2 * 60 * 60);
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH)
    }
}

impl Tokens {
    /// The state of a budget of so many tokens in a day.
    pub(super) fn budget(&self, most: u64, now: SystemTime) -> Budget {
        self.unshared.store(true, Relaxed);
        let used = self.with(now, |today| today.own.saturating_add(today.elsewhere));
        let renewed = Duration::from_secs(DAY)
            .saturating_sub(Duration::from_nanos(since_1970(now).subsec_nanos().into()))
            .saturating_sub(Duration::from_secs(since_1970(now).as_secs() % DAY));
        Budget { most, left: most.saturating_sub(used), renewed }
    }

    /// Counts tokens of an exchange that ends now.
    pub(super) fn used(&self, tokens: u64, now: SystemTime) {
        self.unshared.store(true, Relaxed);
        // An upstream may state any number; their sum stays a number for the store.
        self.with(now, |today| today.own = today.own.saturating_add(tokens.min(MOST)));
    }

    /// Whether none is counted today.
    pub(super) fn is_empty(&self, now: SystemTime) -> bool {
        self.with(now, |today| today.own == 0 && today.elsewhere == 0)
    }

    /// Whether the store has to be asked; then not again before it is looked at or changed.
    pub(super) fn take_unshared(&self) -> bool {
        self.unshared.swap(false, Relaxed)
    }

    /// The store did not answer.
    pub(super) fn share_again(&self) {
        self.unshared.store(true, Relaxed);
    }

    /// Tokens of today that the store does not know of; also none, to learn about those of other processes.
    pub(super) fn unstored(&self, now: SystemTime) -> Unstored {
        self.with(now, |today| Unstored {
            day: today.day,
            tokens: today.own.saturating_sub(today.stored),
        })
    }

    /// The store counted these tokens, and has so many of that day from all processes.
    pub(super) fn stored(&self, counted: Unstored, all: u64, now: SystemTime) {
        self.with(now, |today| {
            if today.day == counted.day {
                today.stored = today.stored.saturating_add(counted.tokens).min(today.own);
                today.elsewhere = all.saturating_sub(today.stored);
            }
        });
    }

    fn with<T>(&self, now: SystemTime, act: impl FnOnce(&mut Today) -> T) -> T {
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        let day = since_1970(now).as_secs() / DAY;
        // A clock that goes back a little must not give a new budget.
        if day > today.day || today.day - day > 1 {
            *today = Today { day, ..Today::default() };
        }
        act(&mut today)
    }
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Duration = Duration::from_secs(20_000 * DAY + DAY / 2);

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + NOON + Duration::from_secs(seconds)
    }

    #[test]
    fn a_budget_is_renewed_at_midnight() {
        let tokens = Tokens::default();
        let budget =
            |left, renewed| Budget { most: 100, left, renewed: Duration::from_secs(renewed) };
        assert_eq!(tokens.budget(100, at(0)), budget(100, DAY / 2));
        tokens.used(60, at(0));
        assert_eq!(tokens.budget(100, at(10)), budget(40, DAY / 2 - 10));
        tokens.used(60, at(10));
        let last = tokens.budget(100, at(DAY / 2 - 1) + Duration::from_millis(250));
        assert_eq!((last.left, last.renewed), (0, Duration::from_millis(750)));
        assert_eq!(tokens.budget(100, at(DAY / 2)), budget(100, DAY));
        tokens.used(5, at(DAY / 2));
        assert!(!tokens.is_empty(at(DAY)) && tokens.is_empty(at(2 * DAY)));
    }

    #[test]
    fn a_clock_that_goes_back_gives_no_new_budget() {
        let tokens = Tokens::default();
        tokens.used(60, at(DAY / 2));
        assert_eq!(tokens.budget(100, at(DAY / 2 - 5)).left, 40);
        // A clock that was wrong by days is set right.
        assert_eq!(tokens.budget(100, at(0) - Duration::from_secs(3 * DAY)).left, 100);
    }

    #[test]
    fn tokens_of_other_processes_count() {
        let tokens = Tokens::default();
        tokens.used(10, at(0));
        let sent = tokens.unstored(at(0));
        assert_eq!(sent.tokens, 10);
        // Used while the store was asked.
        tokens.used(5, at(1));
        tokens.stored(sent, 40, at(1));
        assert_eq!(tokens.budget(100, at(1)).left, 55);
        assert_eq!(tokens.unstored(at(1)).tokens, 5);
        tokens.stored(tokens.unstored(at(1)), 70, at(1));
        assert_eq!(tokens.budget(100, at(1)).left, 30);
        // An answer about yesterday is of no use.
        tokens.stored(sent, 90, at(DAY));
        assert_eq!(tokens.budget(100, at(DAY)).left, 100);
    }
}
