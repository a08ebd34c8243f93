//! Timers of a connection: each has one sleep, which is created when first needed and then moved.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::Limits;

/// A deadline that a task waits for from time to time.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Ready once `at` has passed; then wakes the task. A later `at` than last time moves the timer only when it fires.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, at: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
        }
        while sleep.as_mut().poll(context).is_ready() {
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
        Poll::Pending
    }
}

/// Checks that a body arrives fast enough. Only the time in which the gateway waits for it counts.
#[derive(Debug)]
pub(super) struct BodyClock {
    grace: Duration,
    rate: u32,
    waited: Duration,
    since: Option<Instant>,
    received: u64,
    deadline: Deadline,
}

impl BodyClock {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            grace: limits.body_grace,
            rate: limits.body_rate.max(1),
            waited: Duration::ZERO,
            since: None,
            received: 0,
            deadline: Deadline::default(),
        }
    }

    /// Starts with a new body.
    pub(super) fn restart(&mut self) {
        self.waited = Duration::ZERO;
        self.since = None;
        self.received = 0;
    }

    /// Notes that bytes arrived, which ends the wait.
    pub(super) fn received(&mut self, bytes: usize) {
        self.received += bytes as u64;
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Called when no bytes are available; ready when the wait is too long.
    pub(super) fn poll_waiting(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let earned = Duration::from_secs(self.received / u64::from(self.rate));
        let left = (self.grace + earned).saturating_sub(self.waited);
        self.deadline.poll(context, since + left)
    }
}
