//! Bounds second attempts: a share of the recent requests, and a few.
//!
//! Without a bound, an upstream that fails under load would get twice the load.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Time over which requests and second attempts are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// One second attempt for so many requests.
const SHARE: u64 = 5;
/// Second attempts in a window that need no requests.
const FEW: u64 = 10;

/// The second attempts of one upstream.
#[derive(Debug, Default)]
pub(super) struct RetryBudget {
    requests: AtomicU64,
    window: Mutex<Option<Window>>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    since: Instant,
    /// `requests` at its beginning.
    from: u64,
    retries: u64,
}

impl RetryBudget {
    /// Counts a request.
    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a second attempt is permitted; it is then counted.
    pub(super) fn retry(&self, now: Instant) -> bool {
        let requests = self.requests.load(Ordering::Relaxed);
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let current = match *window {
            Some(current) if now.duration_since(current.since) < WINDOW => current,
            _ => Window { since: now, from: requests, retries: 0 },
        };
        let most = FEW + requests.saturating_sub(current.from) / SHARE;
        let permitted = current.retries < most;
        let retries = current.retries + u64::from(permitted);
        *window = Some(Window { retries, ..current });
        permitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(budget: &RetryBudget, asked: usize) -> usize {
        (0..asked).filter(|_| budget.retry(Instant::now())).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_fifth_of_the_requests_and_a_few_may_be_tried_again() {
        let budget = RetryBudget::default();
        assert_eq!(retries(&budget, 100), 10);
        for _ in 0..100 {
            budget.request();
        }
        assert_eq!(retries(&budget, 100), 20);
        tokio::time::advance(WINDOW).await;
        assert_eq!(retries(&budget, 100), 10);
    }
}
