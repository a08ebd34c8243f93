//! Health of a target: judged by its connections, and where a check is configured by its answers to that.
//!
//! A circuit breaker. Connections that fail several times in a row, or that are closed several times in a row before a response,
//! eject the target for a time that doubles, with jitter. Afterwards one attempt decides whether requests go there again: for
//! connections that fail it is the gateway's own (`readmit`), so that no request is spent on it.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

/// Failures in a row that eject a target.
const FAILURES: u32 = 3;
const FIRST_EJECTION: Duration = Duration::from_secs(5);
const LONGEST_EJECTION: Duration = Duration::from_secs(60);
/// Part of an ejection by which it may be shorter or longer, so that several gateways do not try at the same moment.
const JITTER: f64 = 0.2;
/// Time that a request waits for another one's attempt at an ejected target.
const PATIENCE: Duration = Duration::from_millis(500);
/// Checks in a row that must fail.
const CHECKS: u32 = 2;

/// Health of a target.
#[derive(Debug)]
pub(crate) struct Health {
    failures: Mutex<Failures>,
    /// Whether `failures` has any: what every request asks.
    troubled: AtomicBool,
    /// Whether the configured check fails.
    unwell: AtomicBool,
    attempt: Semaphore,
    /// Whether a task tries to connect.
    readmitting: AtomicBool,
}

#[derive(Debug, Default)]
struct Failures {
    /// Connections that failed since the last one that was made.
    connects: u32,
    /// Connections that were closed before a response since the last response.
    hang_ups: u32,
    checks: u32,
    ejected_until: Option<Instant>,
    ejected_for: Option<Duration>,
}

impl Failures {
    /// Ejects the target if it has failed often enough and is in service.
    fn eject(&mut self, now: Instant) -> Option<Duration> {
        let out = self.ejected_until.is_some_and(|until| until > now);
        if self.connects.max(self.hang_ups) < FAILURES || out {
            return None;
        }
        let length = match self.ejected_for {
            Some(last) => (last * 2).min(LONGEST_EJECTION),
            None => FIRST_EJECTION,
        };
        let jittered = length.mul_f64(rand::random_range(1.0 - JITTER..1.0 + JITTER));
        self.ejected_for = Some(length);
        self.ejected_until = Some(now + jittered);
        Some(jittered)
    }

    /// Ends the ejection if no reason for it is left. Returns whether there was one.
    fn restore(&mut self) -> bool {
        if self.connects.max(self.hang_ups) >= FAILURES {
            return false;
        }
        self.ejected_until = None;
        self.ejected_for.take().is_some()
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            failures: Mutex::default(),
            troubled: AtomicBool::new(false),
            unwell: AtomicBool::new(false),
            attempt: Semaphore::new(1),
            readmitting: AtomicBool::new(false),
        }
    }
}

impl Health {
    /// Whether requests may go there.
    pub(crate) fn is_good(&self, now: Instant) -> bool {
        if self.unwell.load(Ordering::Relaxed) {
            return false;
        }
        if !self.troubled.load(Ordering::Acquire) {
            return true;
        }
        self.with(|failures| {
            failures.connects < FAILURES && failures.ejected_until.is_none_or(|until| until <= now)
        })
    }

    /// Waits until this caller may open a connection: at once, unless connections to the target fail. Then one attempt is made at a
    /// time, and others wait for it for a moment only: they do not pile up behind a target that swallows packets.
    ///
    /// # Errors
    ///
    /// An attempt is still in progress.
    pub(crate) async fn may_connect(&self) -> Result<Option<SemaphorePermit<'_>>, Ejected> {
        if !self.refuses_connections() {
            return Ok(None);
        }
        let attempt = timeout(PATIENCE, self.attempt.acquire()).await.map_err(|_| Ejected)?;
        // The attempt that this one waited for may have succeeded.
        Ok(attempt.ok().filter(|_| self.refuses_connections()))
    }

    fn refuses_connections(&self) -> bool {
        self.troubled.load(Ordering::Acquire) && self.with(|failures| failures.connects >= FAILURES)
    }

    /// The end of the ejection of a target to which connections fail; `None` for others.
    pub(super) fn refuses_until(&self) -> Option<Instant> {
        let refuses = self.troubled.load(Ordering::Acquire);
        refuses
            .then(|| {
                self.with(|failures| {
                    failures.ejected_until.filter(|_| failures.connects >= FAILURES)
                })
            })
            .flatten()
    }

    /// Whether a task is to begin that tries to connect.
    pub(super) fn begin_readmitting(&self) -> bool {
        self.refuses_connections() && !self.readmitting.swap(true, Ordering::AcqRel)
    }

    /// Called when that task ends.
    pub(super) fn end_readmitting(&self) {
        self.readmitting.store(false, Ordering::Release);
    }

    /// Notes a connection that was made. Returns whether this ends an ejection.
    pub(crate) fn connected(&self) -> bool {
        self.forget(|failures| failures.connects = 0)
    }

    /// Notes a response. Returns whether this ends an ejection.
    pub(crate) fn answered(&self) -> bool {
        self.forget(|failures| failures.hang_ups = 0)
    }

    /// Notes a connection that was not made. Returns the time for which this ejects the target, if it does.
    pub(crate) fn connect_failed(&self, now: Instant) -> Option<Duration> {
        self.count(now, |failures| failures.connects = failures.connects.saturating_add(1))
    }

    /// Notes a new connection that was closed before a response. Returns the time for which this ejects the target, if it does.
    pub(crate) fn hung_up(&self, now: Instant) -> Option<Duration> {
        self.count(now, |failures| failures.hang_ups = failures.hang_ups.saturating_add(1))
    }

    /// Notes the outcome of a check. Returns the new state if this changes it.
    pub(crate) fn checked(&self, passed: bool) -> Option<bool> {
        let unwell = self.with(|failures| {
            failures.checks = if passed { 0 } else { failures.checks.saturating_add(1) };
            failures.checks >= CHECKS
        });
        let before = self.unwell.swap(unwell, Ordering::Relaxed);
        (before != unwell).then_some(!unwell)
    }

    fn count(&self, now: Instant, add: impl FnOnce(&mut Failures)) -> Option<Duration> {
        self.with(|failures| {
            self.troubled.store(true, Ordering::Release);
            add(failures);
            failures.eject(now)
        })
    }

    fn forget(&self, change: impl FnOnce(&mut Failures)) -> bool {
        if !self.troubled.load(Ordering::Acquire) {
            return false;
        }
        self.with(|failures| {
            change(failures);
            let restored = failures.restore();
            let troubled = failures.connects > 0 || failures.hang_ups > 0;
            self.troubled.store(troubled, Ordering::Release);
            restored
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Failures) -> T) -> T {
        change(&mut self.failures.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Connections to the target fail, and another request's attempt is in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ejected;

#[cfg(test)]
mod tests {
    use super::*;

    fn about(length: Option<Duration>, seconds: f64) -> bool {
        length
            .is_some_and(|length| (seconds * 0.79..seconds * 1.21).contains(&length.as_secs_f64()))
    }

    #[tokio::test(start_paused = true)]
    async fn three_failures_eject_for_a_time_that_doubles() {
        let health = Health::default();
        assert_eq!(health.connect_failed(Instant::now()), None);
        assert_eq!(health.connect_failed(Instant::now()), None);
        assert!(health.is_good(Instant::now()));
        let mut expected = 5.0;
        for _ in 0..6 {
            let length = health.connect_failed(Instant::now());
            assert!(about(length, expected), "{length:?} is not about {expected} s");
            assert!(!health.is_good(Instant::now()));
            assert_eq!(health.connect_failed(Instant::now()), None, "already ejected");
            assert!(health.refuses_until().is_some());
            tokio::time::advance(length.unwrap()).await;
            assert!(!health.is_good(Instant::now()), "only a connection ends it");
            expected = f64::min(expected * 2.0, 60.0);
        }
        assert!(health.connected() && health.is_good(Instant::now()));
        assert_eq!(health.refuses_until(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_success_forgets_all_failures() {
        let health = Health::default();
        for _ in 0..3 {
            health.connect_failed(Instant::now());
        }
        assert!(health.connected());
        assert!(health.is_good(Instant::now()));
        assert_eq!(health.connect_failed(Instant::now()), None);
        assert!(!health.connected(), "it had not been ejected");
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_response_forgives_connections_that_were_closed() {
        let health = Health::default();
        for _ in 0..2 {
            assert_eq!(health.hung_up(Instant::now()), None);
            assert!(!health.connected());
        }
        assert!(about(health.hung_up(Instant::now()), 5.0));
        assert!(!health.connected());
        assert!(!health.is_good(Instant::now()));
        assert!(health.may_connect().await.unwrap().is_none(), "connections are made");
        tokio::time::advance(FIRST_EJECTION * 2).await;
        assert!(health.is_good(Instant::now()), "the next request decides");
        assert!(about(health.hung_up(Instant::now()), 10.0));
        assert!(health.answered());
        assert!(health.is_good(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_attempt_decides_and_others_wait_for_a_moment() {
        let health = Health::default();
        assert!(health.may_connect().await.unwrap().is_none());
        for _ in 0..3 {
            health.connect_failed(Instant::now());
        }
        tokio::time::advance(LONGEST_EJECTION).await;
        let attempt = health.may_connect().await.unwrap();
        assert!(attempt.is_some());
        let begun = Instant::now();
        assert_eq!(health.may_connect().await.err(), Some(Ejected));
        assert_eq!(begun.elapsed(), PATIENCE);
        let (waited, ()) = tokio::join!(health.may_connect(), async {
            health.connected();
            drop(attempt);
        });
        assert!(waited.unwrap().is_none(), "the target serves again");
    }

    #[test]
    fn two_failed_checks_take_a_target_out_and_one_brings_it_back() {
        let health = Health::default();
        let now = Instant::now();
        assert_eq!(health.checked(true), None);
        assert_eq!(health.checked(false), None);
        assert!(health.is_good(now));
        assert_eq!(health.checked(false), Some(false));
        assert!(!health.is_good(now));
        assert_eq!(health.checked(false), None);
        assert_eq!(health.checked(true), Some(true));
        assert!(health.is_good(now));
    }
}
