//! A token bucket of two numbers, changed without a lock (the generic cell rate algorithm).
//!
//! Time is an argument. A clock that goes back leaves a full bucket.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;
/// Nanoseconds without another log line about an address.
const SILENT: u64 = 10_000_000_000;

/// The requests that are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    /// Nanoseconds until one more request is allowed.
    each: u64,
    /// Nanoseconds until an empty bucket is full.
    full: u64,
}

impl Rate {
    /// So many at once, and so many in each second after that.
    pub(super) const fn new(burst: u32, per_second: u32) -> Self {
        let per_second = if per_second == 0 { 1 } else { per_second };
        let each = SECOND / per_second as u64;
        Self { each, full: each.saturating_mul(burst as u64) }
    }

    /// Time at which the bucket is full after one more is taken; else the time to wait.
    fn after_one(self, full_at: u64, now: u64) -> Result<u64, Duration> {
        let empty = now.saturating_add(self.full);
        // Emptier than empty means that the clock went back. The bucket then counts as full.
        let full_at =
            if full_at > empty { now } else { full_at.max(now) }.saturating_add(self.each);
        match full_at.checked_sub(empty) {
            None | Some(0) => Ok(full_at),
            Some(early) => Err(Duration::from_nanos(early)),
        }
    }
}

/// The requests that one caller may still make. A new bucket is full.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// Time at which the bucket is full again, in nanoseconds since 1970.
    full_at: AtomicU64,
    /// Time of its last log line, in nanoseconds since 1970.
    logged_at: AtomicU64,
}

impl Bucket {
    /// Whether one could be taken; else the time to wait for it.
    pub(super) fn check(&self, rate: Rate, now: SystemTime) -> Result<(), Duration> {
        let now = nanos(now);
        rate.after_one(self.full_at.load(Ordering::Relaxed), now).map(drop)
    }

    /// Takes one; else returns the time to wait for it.
    pub(super) fn take(&self, rate: Rate, now: SystemTime) -> Result<(), Duration> {
        let now = nanos(now);
        let mut refused = Duration::ZERO;
        let taken = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            rate.after_one(full_at, now).inspect_err(|wait| refused = *wait).ok()
        });
        taken.map(drop).map_err(|_| refused)
    }

    /// Puts one back.
    pub(super) fn give_back(&self, rate: Rate) {
        let fuller = |full_at: u64| Some(full_at.saturating_sub(rate.each));
        // Never fails, because the closure always returns a value.
        let _ = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fuller);
    }

    /// Whether all could be taken.
    pub(super) fn is_full(&self, now: SystemTime) -> bool {
        self.full_at.load(Ordering::Relaxed) <= nanos(now)
    }

    /// Whether a line may be logged now; then none may for ten seconds.
    pub(super) fn logs(&self, now: SystemTime) -> bool {
        let now = nanos(now);
        let due = |logged_at: u64| now.abs_diff(logged_at) >= SILENT;
        let logged = |logged_at| due(logged_at).then_some(now);
        self.logged_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, logged).is_ok()
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Rate = Rate::new(100, 10);

    fn at(millis: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000) + Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_passes_and_then_ten_a_second() {
        let bucket = Bucket::default();
        assert!((0..100).all(|_| bucket.take(TEN, at(0)).is_ok()));
        assert_eq!(bucket.take(TEN, at(0)), Err(Duration::from_millis(100)));
        assert_eq!(bucket.check(TEN, at(40)), Err(Duration::from_millis(60)));
        assert!(bucket.check(TEN, at(100)).is_ok() && bucket.take(TEN, at(100)).is_ok());
        assert!(bucket.take(TEN, at(100)).is_err());
        assert_eq!((0..50).filter(|_| bucket.take(TEN, at(1_100)).is_ok()).count(), 10);
        assert_eq!((0..500).filter(|_| bucket.take(TEN, at(60_000)).is_ok()).count(), 100);
    }

    #[test]
    fn a_refused_request_costs_nothing() {
        let bucket = Bucket::default();
        assert_eq!((0..10_000).filter(|_| bucket.take(TEN, at(0)).is_ok()).count(), 100);
        assert!(bucket.take(TEN, at(100)).is_ok());
    }

    #[test]
    fn a_returned_token_can_be_taken_again() {
        let bucket = Bucket::default();
        for _ in 0..1_000 {
            assert!(bucket.take(TEN, at(0)).is_ok());
            bucket.give_back(TEN);
        }
        assert_eq!((0..200).filter(|_| bucket.take(TEN, at(0)).is_ok()).count(), 100);
        // Never more than full.
        (0..500).for_each(|_| bucket.give_back(TEN));
        assert_eq!((0..500).filter(|_| bucket.take(TEN, at(0)).is_ok()).count(), 100);
    }

    #[test]
    fn a_clock_that_goes_back_locks_no_address_out() {
        let bucket = Bucket::default();
        (0..100).for_each(|_| assert!(bucket.take(TEN, at(1_000_000_000)).is_ok()));
        assert_eq!((0..500).filter(|_| bucket.take(TEN, at(0)).is_ok()).count(), 100);
    }

    #[test]
    fn one_line_is_logged_in_ten_seconds() {
        let bucket = Bucket::default();
        assert!(bucket.logs(at(0)));
        assert!(!bucket.logs(at(1)) && !bucket.logs(at(9_999)));
        assert!(bucket.logs(at(10_000)) && !bucket.logs(at(10_001)));
    }

    #[test]
    fn threads_share_one_burst() {
        let bucket = Bucket::default();
        let taken: usize = std::thread::scope(|scope| {
            let count = || (0..100).filter(|_| bucket.take(TEN, at(0)).is_ok()).count();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 100);
    }
}
