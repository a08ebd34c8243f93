//! Chooses the worker with the least load.
//!
//! The number of connections alone says little: one may carry nothing and another a stream that fills a core. The time in which a
//! worker was busy alone comes late: it would send every connection of a burst to the same worker. The sum of both shares has
//! neither fault.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::Worker;

/// Shortest time over which business is measured.
const LOOK: Duration = Duration::from_millis(100);
/// The whole of a share.
const WHOLE: u128 = 1000;

/// Business of the workers between the last two looks.
pub(super) struct Loads {
    at: Instant,
    of: Vec<Seen>,
}

/// One worker at the last look.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// Time in which it had been busy since its start.
    busy: Duration,
    /// Number of times that it had begun or ended to wait.
    turns: u64,
    /// The part of the time between the last two looks in which it was busy.
    share: u128,
}

impl Loads {
    pub(super) fn new(workers: usize) -> Self {
        Self { at: Instant::now(), of: vec![Seen::default(); workers] }
    }

    /// The worker with the least load; the first of several.
    pub(super) fn least<'w>(&mut self, workers: &'w [Arc<Worker>]) -> Option<&'w Arc<Worker>> {
        self.look(workers);
        let connections: Vec<u128> =
            workers.iter().map(|worker| worker.load().connections as u128).collect();
        let all = connections.iter().sum::<u128>().max(1);
        let loads =
            connections.iter().zip(&self.of).map(|(own, seen)| seen.share + own * WHOLE / all);
        let least = loads.enumerate().min_by_key(|(_, load)| *load)?.0;
        workers.get(least)
    }

    /// Measures again, if the last look is long enough ago.
    fn look(&mut self, workers: &[Arc<Worker>]) {
        let now = Instant::now();
        let passed = now.duration_since(self.at);
        if passed < LOOK {
            return;
        }
        self.at = now;
        for (seen, worker) in self.of.iter_mut().zip(workers) {
            let metrics = worker.runtime.metrics();
            let (busy, turns) =
                (metrics.worker_total_busy_duration(0), metrics.worker_park_unpark_count(0));
            // The runtime counts the time of a task when it returns: until then a worker that does not return looks idle. An
            // even number of turns means that it does not wait.
            let stuck = turns == seen.turns && turns % 2 == 0;
            let share = busy.saturating_sub(seen.busy).as_micros() * WHOLE / passed.as_micros();
            *seen = Seen { busy, turns, share: if stuck { WHOLE } else { share.min(WHOLE) } };
        }
    }
}
