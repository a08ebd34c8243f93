//! A moment that one task moves and others read without a lock.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

use super::millis;

/// Whether something holds until a moment.
#[derive(Debug)]
pub(super) struct Until {
    start: Instant,
    /// Milliseconds after `start`.
    end: AtomicU64,
}

impl Until {
    /// It does not hold.
    pub(super) fn past() -> Self {
        Self { start: Instant::now(), end: AtomicU64::new(0) }
    }

    /// It holds for this long from now.
    pub(super) fn set(&self, time: Duration) {
        self.end.store(millis(self.start.elapsed() + time), Relaxed);
    }

    /// It holds no more.
    pub(super) fn clear(&self) {
        self.end.store(0, Relaxed);
    }

    /// Whether it holds now.
    pub(super) fn holds(&self) -> bool {
        millis(self.start.elapsed()) < self.end.load(Relaxed)
    }
}
