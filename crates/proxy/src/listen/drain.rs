//! Shutdown of the process, in stages: not ready but still accepting, then no new connections while running ones finish, then
//! closing of those that remain.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::config::Shutdown;

/// Time for close frames and last bytes after the last stage.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// Time before the end of the grace in which the answers still reach their clients; half of the grace, if that is less.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Signals that the gateway is shutting down. A clone is the same drain.
#[derive(Debug, Clone)]
pub struct Drain {
    stages: Arc<Stages>,
}

#[derive(Debug)]
struct Stages {
    times: Mutex<Shutdown>,
    announced: AtomicBool,
    replaced: CancellationToken,
    accepting_over: CancellationToken,
    begun: CancellationToken,
    answers_due: CancellationToken,
    requests_over: CancellationToken,
    streams_are_over: AtomicBool,
    streams_over: CancellationToken,
    ended: CancellationToken,
    cut: AtomicUsize,
}

/// Result of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every connection finished.
    Clean,
    /// The time was over before all connections finished.
    Cut {
        /// connections and tunnels that were cut
        connections: usize,
    },
}

impl Drain {
    /// A drain without a lame-duck time that leaves requests `grace` to finish once it has begun, and streams no time.
    pub fn new(grace: Duration) -> Self {
        Self::with_times(Shutdown { lame_duck: Duration::ZERO, grace, streams: Duration::ZERO })
    }

    /// A drain with these times.
    pub fn with_times(times: Shutdown) -> Self {
        let stages = Stages {
            times: Mutex::new(times),
            announced: AtomicBool::new(false),
            replaced: CancellationToken::new(),
            accepting_over: CancellationToken::new(),
            begun: CancellationToken::new(),
            answers_due: CancellationToken::new(),
            requests_over: CancellationToken::new(),
            streams_are_over: AtomicBool::new(false),
            streams_over: CancellationToken::new(),
            ended: CancellationToken::new(),
            cut: AtomicUsize::new(0),
        };
        Self { stages: Arc::new(stages) }
    }

    /// Changes the times of a drain that is not announced yet.
    pub fn set_times(&self, times: Shutdown) {
        *self.stages.times.lock().unwrap_or_else(PoisonError::into_inner) = times;
    }

    /// The times.
    pub fn times(&self) -> Shutdown {
        *self.stages.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces the drain, once, and begins it after the lame-duck time; must be called within the runtime.
    pub fn begin(&self) {
        self.pass_stages(self.times());
    }

    /// Begins the drain without a lame-duck time and without time for streams: a person waits.
    pub fn begin_at_once(&self) {
        let times = self.times();
        self.pass_stages(Shutdown { lame_duck: Duration::ZERO, streams: Duration::ZERO, ..times });
    }

    /// Announces the drain as [`Drain::begin`] does, but accepts nothing more at once: another process accepts the connections
    /// from now on. The lame-duck time is left to those that are open.
    pub fn begin_replaced(&self) {
        if !self.is_announced() {
            self.stages.replaced.cancel();
            self.stages.accepting_over.cancel();
        }
        self.begin();
    }

    /// Ends the drain, whatever is open.
    pub fn end(&self) {
        let stages = &self.stages;
        stages.announced.store(true, Ordering::Release);
        stages.begin();
        stages.answers_due.cancel();
        stages.requests_over.cancel();
        stages.end_streams();
        stages.ended.cancel();
    }

    fn pass_stages(&self, times: Shutdown) {
        let stages = Arc::clone(&self.stages);
        if stages.announced.swap(true, Ordering::AcqRel) {
            return;
        }
        let Shutdown { lame_duck, grace, streams } = times;
        if lame_duck.is_zero() {
            stages.begin();
        }
        tokio::spawn(async move {
            if !lame_duck.is_zero() {
                sleep(lame_duck).await;
                stages.begin();
            }
            let requests = async {
                let last = LAST_ANSWERS.min(grace / 2);
                sleep(grace - last).await;
                stages.answers_due.cancel();
                sleep(last).await;
                stages.requests_over.cancel();
            };
            let open_streams = async {
                sleep(streams).await;
                stages.end_streams();
            };
            tokio::join!(requests, open_streams);
            sleep(LAST_BYTES).await;
            stages.ended.cancel();
        });
    }

    /// Whether it is announced: a gateway that drains is not ready, and asks clients for other connections. Reads one atomic.
    pub fn is_announced(&self) -> bool {
        self.stages.announced.load(Ordering::Acquire)
    }

    /// Whether another process accepts the connections, and owns the files of the unix sockets.
    pub fn is_replaced(&self) -> bool {
        self.stages.replaced.is_cancelled()
    }

    /// Waits until another process accepts the connections.
    pub async fn replaced(&self) {
        self.stages.replaced.cancelled().await;
    }

    /// Waits until no connection is accepted any more.
    pub async fn accepting_over(&self) {
        self.stages.accepting_over.cancelled().await;
    }

    /// Waits until HTTP/2 connections get GOAWAY: at the end of the lame-duck time or, since no request is lost by it, at once when
    /// another process accepts the connections.
    pub async fn goaway(&self) {
        tokio::select! {
            () = self.begun() => {}
            () = self.replaced() => {}
        }
    }

    /// Waits for the end of the lame-duck time: idle connections are closed, the others finish.
    pub async fn begun(&self) {
        self.stages.begun.cancelled().await;
    }

    /// Waits for the last moment at which an answer still reaches its client before the end of the grace.
    pub async fn answers_due(&self) {
        self.stages.answers_due.cancelled().await;
    }

    /// Waits for the end of the grace: connections without a stream are closed.
    pub async fn requests_over(&self) {
        self.stages.requests_over.cancelled().await;
    }

    /// Waits for the end of the time of streams. A tunnel then sends a close frame.
    pub async fn streams_over(&self) {
        self.stages.streams_over.cancelled().await;
    }

    /// Whether the time of streams is over. Reads one atomic.
    pub fn are_streams_over(&self) -> bool {
        self.stages.streams_are_over.load(Ordering::Acquire)
    }

    /// Ends with the time of streams; its waiters share no lock with those of other streams.
    pub fn end_of_streams(&self) -> CancellationToken {
        self.stages.streams_over.child_token()
    }

    /// Waits for the end of the drain.
    pub async fn ended(&self) {
        self.stages.ended.cancelled().await;
    }

    /// Counts a connection that was cut.
    pub(super) fn count_cut(&self) {
        self.stages.cut.fetch_add(1, Ordering::Relaxed);
    }

    /// The result, with this many connections left.
    pub(super) fn result(&self, left: usize) -> Drained {
        match self.stages.cut.load(Ordering::Relaxed) + left {
            0 => Drained::Clean,
            connections => Drained::Cut { connections },
        }
    }
}

impl Stages {
    fn begin(&self) {
        self.accepting_over.cancel();
        self.begun.cancel();
    }

    fn end_streams(&self) {
        self.streams_are_over.store(true, Ordering::Release);
        self.streams_over.cancel();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn times([lame_duck, grace, streams]: [u64; 3]) -> Shutdown {
        let [lame_duck, grace, streams] = [lame_duck, grace, streams].map(Duration::from_secs);
        Shutdown { lame_duck, grace, streams }
    }

    /// Seconds from the start to each stage.
    async fn stages(drain: &Drain) -> [u64; 4] {
        let start = Instant::now();
        let after = async |stage: &CancellationToken| {
            stage.cancelled().await;
            start.elapsed().as_secs()
        };
        let stages = &drain.stages;
        let (begun, requests, streams, ended) = tokio::join!(
            after(&stages.begun),
            after(&stages.requests_over),
            after(&stages.streams_over),
            after(&stages.ended),
        );
        [begun, requests, streams, ended]
    }

    #[tokio::test(start_paused = true)]
    async fn stages_follow_each_other_after_a_signal() {
        let drain = Drain::with_times(times([5, 30, 60]));
        assert!(!drain.is_announced());
        drain.begin();
        assert!(drain.is_announced(), "not ready at once");
        drain.begin_at_once();
        assert_eq!(stages(&drain).await, [5, 35, 65, 66]);
        assert!(drain.are_streams_over());
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_due_before_their_connections_are_cut() {
        for (grace, due) in [(30, 29_000), (1, 500), (0, 0)] {
            let drain = Drain::with_times(times([0, grace, 0]));
            let start = Instant::now();
            drain.begin();
            drain.answers_due().await;
            assert_eq!(start.elapsed().as_millis(), due);
            drain.requests_over().await;
            assert_eq!(start.elapsed().as_secs(), grace);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn streams_may_end_before_requests() {
        let drain = Drain::with_times(times([1, 20, 3]));
        drain.begin();
        assert_eq!(stages(&drain).await, [1, 21, 4, 22]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_person_at_a_terminal_waits_for_requests_only() {
        let drain = Drain::with_times(times([5, 30, 60]));
        drain.begin_at_once();
        assert_eq!(stages(&drain).await, [0, 30, 0, 31]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_replaced_process_accepts_nothing_more_at_once() {
        let drain = Drain::with_times(times([5, 30, 60]));
        drain.begin_replaced();
        drain.accepting_over().await;
        assert!(drain.is_replaced());
        assert_eq!(stages(&drain).await, [5, 35, 65, 66]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_ends_every_stage() {
        let drain = Drain::with_times(times([5, 30, 60]));
        drain.begin();
        drain.end();
        assert_eq!(stages(&drain).await, [0, 0, 0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_changes_the_times() {
        let drain = Drain::with_times(times([5, 30, 60]));
        drain.set_times(times([1, 2, 3]));
        drain.begin();
        assert_eq!(stages(&drain).await, [1, 3, 4, 5]);
    }
}
