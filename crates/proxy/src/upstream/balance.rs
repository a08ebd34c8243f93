//! Chooses the target of a request. If all targets are ejected, all are tried.

use std::sync::atomic::{AtomicUsize, Ordering};

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
