//! Chooses the target of a request, and ejects failing targets for a while.
//!
//! A target whose connections fail several times in a row is ejected, for a time that doubles. If all targets are ejected, all
//! are tried.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Distribution of requests over the targets of an upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Balance {
    /// Of two targets chosen at random, the one with fewer exchanges in progress.
    #[default]
    LeastInFlight,
    /// One after the other.
    RoundRobin,
}

/// Connections that must fail in a row before a target is ejected.
const FAILURES: u32 = 3;
const FIRST_EJECTION: Duration = Duration::from_secs(5);
const LONGEST_EJECTION: Duration = Duration::from_secs(60);

/// Health of a target, judged by its connections only.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failures: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct Failures {
    in_a_row: u32,
    ejected_until: Option<Instant>,
    ejected_for: Option<Duration>,
}

impl Health {
    /// Whether requests may go there.
    pub(crate) fn is_good(&self, now: Instant) -> bool {
        self.with(|failures| failures.ejected_until.is_none_or(|until| until <= now))
    }

    /// Notes a connection that was made. Returns whether the target had been ejected before.
    pub(crate) fn succeeded(&self) -> bool {
        self.with(|failures| std::mem::take(failures).ejected_for.is_some())
    }

    /// Notes a failed connection. Returns the time for which this failure ejects the target, if it does.
    pub(crate) fn failed(&self, now: Instant) -> Option<Duration> {
        self.with(|failures| {
            failures.in_a_row = failures.in_a_row.saturating_add(1);
            let serving = failures.ejected_until.is_some_and(|until| until > now);
            if failures.in_a_row < FAILURES || serving {
                return None;
            }
            let length = match failures.ejected_for {
                Some(last) => (last * 2).min(LONGEST_EJECTION),
                None => FIRST_EJECTION,
            };
            failures.ejected_for = Some(length);
            failures.ejected_until = Some(now + length);
            Some(length)
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Failures) -> T) -> T {
        change(&mut self.failures.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Facts about a target that the balancer needs.
pub(crate) trait Candidate {
    /// Whether it may be chosen.
    fn is_good(&self, now: Instant) -> bool;
    /// Exchanges in progress.
    fn in_flight(&self) -> usize;
}

/// Chooses among targets.
#[derive(Debug, Default)]
pub(crate) struct Balancer {
    pub(crate) balance: Balance,
    turn: AtomicUsize,
}

impl Balancer {
    /// Distributes in this way.
    pub(crate) fn new(balance: Balance) -> Self {
        Self { balance, turn: AtomicUsize::new(0) }
    }

    /// The index of the target to use; never `except`, unless there is no other. `None` only for an empty list.
    pub(crate) fn choose<T: Candidate>(
        &self,
        targets: &[T],
        except: Option<usize>,
        now: Instant,
    ) -> Option<usize> {
        if targets.len() < 2 {
            return (!targets.is_empty()).then_some(0);
        }
        let others = || targets.iter().enumerate().filter(|(index, _)| Some(*index) != except);
        let good = others().filter(|(_, target)| target.is_good(now)).count();
        let pool = |nth: usize| {
            others()
                .filter(|(_, target)| good == 0 || target.is_good(now))
                .nth(nth)
                // Health may change between counting and choosing.
                .or_else(|| others().next())
        };
        let count = if good == 0 { others().count() } else { good };
        let chosen = match self.balance {
            Balance::RoundRobin => pool(self.turn.fetch_add(1, Ordering::Relaxed) % count)?,
            Balance::LeastInFlight if count == 1 => pool(0)?,
            Balance::LeastInFlight => {
                let first = rand::random_range(0..count);
                let second = (first + rand::random_range(1..count)) % count;
                let (first, second) = (pool(first)?, pool(second)?);
                if second.1.in_flight() < first.1.in_flight() { second } else { first }
            }
        };
        Some(chosen.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake {
        good: bool,
        in_flight: usize,
    }

    impl Candidate for Fake {
        fn is_good(&self, _now: Instant) -> bool {
            self.good
        }

        fn in_flight(&self) -> usize {
            self.in_flight
        }
    }

    fn fakes(list: &[(bool, usize)]) -> Vec<Fake> {
        list.iter().map(|&(good, in_flight)| Fake { good, in_flight }).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn three_failures_eject_for_a_time_that_doubles() {
        let health = Health::default();
        assert_eq!(health.failed(Instant::now()), None);
        assert_eq!(health.failed(Instant::now()), None);
        let mut expected = 5;
        for _ in 0..6 {
            assert_eq!(health.failed(Instant::now()), Some(Duration::from_secs(expected)));
            assert!(!health.is_good(Instant::now()));
            assert_eq!(health.failed(Instant::now()), None, "already ejected");
            tokio::time::advance(Duration::from_secs(expected)).await;
            assert!(health.is_good(Instant::now()));
            expected = (expected * 2).min(60);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_success_forgets_all_failures() {
        let health = Health::default();
        for _ in 0..3 {
            health.failed(Instant::now());
        }
        assert!(health.succeeded());
        assert!(health.is_good(Instant::now()));
        assert_eq!(health.failed(Instant::now()), None);
        assert!(!health.succeeded());
    }

    #[tokio::test]
    async fn the_less_busy_of_two_targets_is_chosen() {
        let targets = fakes(&[(true, 9), (true, 0)]);
        for _ in 0..50 {
            assert_eq!(Balancer::default().choose(&targets, None, Instant::now()), Some(1));
        }
    }

    #[tokio::test]
    async fn ejected_targets_are_left_alone_until_all_are() {
        let balancer = Balancer { balance: Balance::RoundRobin, ..Balancer::default() };
        let targets = fakes(&[(false, 0), (true, 0), (false, 0)]);
        for _ in 0..5 {
            assert_eq!(balancer.choose(&targets, None, Instant::now()), Some(1));
        }
        let targets = fakes(&[(false, 0), (false, 0)]);
        let mut seen: Vec<_> =
            (0..2).filter_map(|_| balancer.choose(&targets, None, Instant::now())).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 1]);
    }

    #[tokio::test]
    async fn a_second_attempt_goes_to_another_target() {
        let targets = fakes(&[(true, 0), (true, 100)]);
        for _ in 0..20 {
            let chosen = Balancer::default().choose(&targets, Some(0), Instant::now());
            assert_eq!(chosen, Some(1));
        }
    }
}
