//! A value that is fetched from elsewhere and kept fresh.
//!
//! One task fetches and publishes; readers take a snapshot and never wait. Concurrent requests
//! share one fetch. Fetches are repeated before the value is old, and backed off with jitter while
//! they fail. The task starts at the first request for the value and ends with the last handle.
//! Ages use the monotonic timer, so a jump of the wall clock does not change them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::misconfigured::IssuerMisconfigured;

mod retry;
mod state;

pub use retry::Retry;
pub(crate) use state::Standing;
use state::State;

/// No attempt may take longer, whatever the HTTP adapter does.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Age at which a value is old; it is fetched again before.
    pub(crate) max_age: Duration,
    /// Age at which a value that cannot be renewed is no longer served.
    pub(crate) max_stale: Option<Duration>,
    /// Longest time a caller waits for a fetch.
    pub(crate) wait: Duration,
    pub(crate) retry: Retry,
}

#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// A stable name of the cause.
    pub(crate) code: &'static str,
    pub(crate) reason: String,
    pub(crate) retry_after: Option<Duration>,
    /// The mistake that causes it, if time alone does not end the failure.
    pub(crate) mistake: Option<Box<IssuerMisconfigured>>,
}

impl Failure {
    pub(crate) fn new(code: &'static str, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), retry_after: None, mistake: None }
    }
}

/// A value that was fetched.
pub(crate) struct Fetched<T> {
    value: Arc<T>,
    /// Time to the next fetch, if sooner than the policy says.
    again_after: Option<Duration>,
}

impl<T> Fetched<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        Self { value, again_after: None }
    }

    /// Fetches again after `pause` at the latest. The value is served as long as any other.
    #[must_use]
    pub(crate) fn again_after(self, pause: Duration) -> Self {
        Self { again_after: Some(pause), ..self }
    }
}

/// Fetches a value; gets the previous one, to return it again when nothing changed.
pub(crate) type Fetch<T> =
    Box<dyn Fn(Option<Arc<T>>) -> BoxFuture<'static, Result<Fetched<T>, Failure>> + Send + Sync>;

/// Outcome of one attempt.
pub(crate) struct Attempt {
    pub(crate) outcome: Result<(), &'static str>,
    /// Whether the value changed.
    pub(crate) changed: bool,
    pub(crate) took: Duration,
}

/// Called after every attempt.
pub(crate) type Ended = Box<dyn Fn(Attempt) + Send + Sync>;

/// The handle. Dropping the last one ends the task.
pub(crate) struct Fresh<T> {
    shared: Arc<Shared<T>>,
    task: Mutex<Option<Task>>,
}

/// The task, and the process it runs in: a forked child inherits the handle, not the thread.
struct Task {
    process: u32,
    handle: AbortHandle,
}

impl Task {
    fn is_of_this_process(&self) -> bool {
        self.process == std::process::id()
    }
}

struct Shared<T> {
    policy: Policy,
    fetch: Fetch<T>,
    ended: Ended,
    state: watch::Sender<State<T>>,
    wake: Notify,
}

/// Names one fetch, to wait for its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket(u64);

impl<T: Send + Sync + 'static> Fresh<T> {
    pub(crate) fn new(policy: Policy, fetch: Fetch<T>, ended: Ended) -> Self {
        let (state, _) = watch::channel(State {
            value: None,
            failure: None,
            failures: 0,
            started: 0,
            finished: 0,
            wanted: 0,
            started_at: None,
            due: Instant::now(),
            urgent: false,
            epoch: 0,
        });
        let shared = Arc::new(Shared { policy, fetch, ended, state, wake: Notify::new() });
        Self { shared, task: Mutex::new(None) }
    }

    pub(crate) fn standing(&self) -> Standing<T> {
        self.shared.state.borrow().standing(&self.shared.policy)
    }

    /// The snapshot.
    pub(crate) fn current(&self) -> Result<Arc<T>, Failure> {
        match self.standing() {
            Standing::Fresh { value, .. } | Standing::Stale { value, .. } => Ok(value),
            Standing::None(failure) => Err(failure),
        }
    }

    /// Applies `read` to the snapshot.
    pub(crate) fn look<R>(&self, read: impl FnOnce(&T) -> R) -> Option<R> {
        let state = self.shared.state.borrow();
        let (value, fetched_at) = state.value.as_ref()?;
        state.serves(&self.shared.policy, fetched_at.elapsed()).then(|| read(value))
    }

    /// Whether a fetch began and ended since `fetches` of them had begun, so that another would
    /// return the same.
    pub(crate) fn asked_since(&self, fetches: u64) -> bool {
        self.shared.state.borrow().finished > fetches
    }

    /// Number of fetches begun.
    pub(crate) fn fetches(&self) -> u64 {
        self.shared.state.borrow().started
    }

    /// The fetch in progress, or the requested one about to begin.
    pub(crate) fn pending(&self) -> Option<Ticket> {
        let state = self.shared.state.borrow();
        if state.wanted > state.started {
            Some(Ticket(state.wanted))
        } else {
            state.in_flight().then_some(Ticket(state.started))
        }
    }

    /// Asks for a fetch that begins now.
    pub(crate) fn request(&self) -> Ticket {
        let mut ticket = Ticket(0);
        self.shared.state.send_if_modified(|state| {
            state.wanted = state.started + 1;
            ticket = Ticket(state.wanted);
            false
        });
        self.shared.wake.notify_one();
        ticket
    }

    /// Starts the task, unless it runs. Requires a Tokio runtime.
    pub(crate) fn start(&self) -> Result<(), Failure> {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_some_and(|task| task.is_of_this_process() && !task.handle.is_finished())
        {
            return Ok(());
        }
        let runtime = Handle::try_current()
            .map_err(|_| Failure::new("no_runtime", "there is no Tokio runtime to fetch it in"))?;
        let now = Instant::now();
        self.shared.state.send_modify(|state| {
            state.finished = state.started;
            state.wanted = state.started;
            state.due = now;
        });
        let shared = Arc::clone(&self.shared);
        let handle = runtime.spawn(async move { shared.run().await }).abort_handle();
        *task = Some(Task { process: std::process::id(), handle });
        Ok(())
    }

    /// The value. Waits for the first fetch, up to the policy's limit; does not wait while attempts
    /// fail.
    pub(crate) async fn value(&self) -> Result<Arc<T>, Failure> {
        self.start()?;
        match self.standing() {
            Standing::Fresh { value, .. } | Standing::Stale { value, .. } => return Ok(value),
            Standing::None(failure) if self.failing() => return Err(failure),
            Standing::None(_) => {}
        }
        let ticket = self.pending().unwrap_or_else(|| self.request());
        self.wait(ticket).await?;
        self.current()
    }

    /// Fetches now, ignoring the back-off, and waits for the result.
    pub(crate) async fn refresh(&self) -> Result<Arc<T>, Failure> {
        self.start()?;
        let ticket = self.request();
        self.wait(ticket).await?;
        match self.standing() {
            Standing::Fresh { value, .. } => Ok(value),
            Standing::Stale { failure, .. } | Standing::None(failure) => Err(failure),
        }
    }

    /// The outcome of the next attempt: one that begins now or, while attempts fail, the one that
    /// is scheduled. Callers therefore add no attempts while the back-off is running.
    pub(crate) async fn next(&self) -> Result<Arc<T>, Failure> {
        self.start()?;
        let finished = self.shared.state.borrow().finished;
        match self.standing() {
            Standing::None(failure) if self.failing() => {
                let wait = self.shared.policy.wait;
                let due = failure.retry_after.unwrap_or_default();
                if due > self.shared.policy.retry.cap_unready {
                    return Err(failure);
                }
                let mut changes = self.shared.state.subscribe();
                let ended = changes.wait_for(|state| state.finished > finished);
                let _ = timeout(due + wait, ended).await;
                self.current()
            }
            _ => self.refresh().await,
        }
    }

    /// Fetches at short intervals until an attempt succeeds, because a caller waits for a newer value
    /// while attempts fail. Returns the time until the next one.
    pub(crate) fn hasten(&self) -> Duration {
        let now = Instant::now();
        let mut due = now;
        let hastened = self.shared.state.send_if_modified(|state| {
            let hastens = !state.urgent && state.failure.is_some();
            if hastens {
                state.urgent = true;
                let pause = self.shared.policy.retry.pause_unready(1);
                state.due = state.due.min(now + pause);
            }
            due = state.due;
            hastens
        });
        if hastened {
            self.shared.wake.notify_one();
        }
        due.saturating_duration_since(now)
    }

    /// Drops the value at once, then fetches.
    pub(crate) async fn purge(&self) -> Result<Arc<T>, Failure> {
        self.shared.state.send_modify(|state| {
            state.value = None;
            state.failure = None;
            state.failures = 0;
            state.epoch += 1;
        });
        self.refresh().await
    }

    /// Whether the last attempt failed; callers then do not wait for the next.
    pub(crate) fn failing(&self) -> bool {
        self.shared.state.borrow().failure.is_some()
    }

    /// Waits for a fetch to end, but not longer than the policy says.
    pub(crate) async fn wait(&self, Ticket(number): Ticket) -> Result<(), Failure> {
        let mut changes = self.shared.state.subscribe();
        let wait = self.shared.policy.wait;
        match timeout(wait, changes.wait_for(|state| state.finished >= number)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Failure {
                code: "timed_out",
                reason: format!("no answer within {wait:?}"),
                retry_after: Some(Duration::from_secs(1)),
                mistake: None,
            }),
        }
    }
}

impl<T> Shared<T> {
    async fn run(&self) {
        loop {
            let (due, wanted) = {
                let state = self.state.borrow();
                (state.due, state.wanted > state.started)
            };
            if wanted || due <= Instant::now() {
                self.attempt().await;
                continue;
            }
            tokio::select! {
                () = sleep_until(due) => {}
                () = self.wake.notified() => {}
            }
        }
    }

    async fn attempt(&self) {
        let begun = Instant::now();
        let (mut before, mut epoch) = (None, 0);
        self.state.send_modify(|state| {
            state.started += 1;
            state.started_at = Some(begun);
            before = state.value.as_ref().map(|(value, _)| Arc::clone(value));
            epoch = state.epoch;
        });
        let outcome =
            timeout(ATTEMPT_LIMIT, (self.fetch)(before.clone())).await.unwrap_or_else(|_| {
                Err(Failure::new("timed_out", format!("no answer within {ATTEMPT_LIMIT:?}")))
            });
        let now = Instant::now();
        (self.ended)(Attempt {
            outcome: outcome.as_ref().map(|_| ()).map_err(|failure| failure.code),
            changed: outcome.as_ref().is_ok_and(|fetched| {
                before.as_ref().is_none_or(|before| !Arc::ptr_eq(before, &fetched.value))
            }),
            took: now.duration_since(begun),
        });
        self.state.send_modify(|state| {
            state.finished = state.started;
            match outcome {
                Ok(_) if state.epoch != epoch => state.due = now,
                Ok(Fetched { value, again_after }) => {
                    let max_age = self.policy.max_age;
                    let again_after = again_after.map_or(max_age, |sooner| sooner.min(max_age));
                    state.value = Some((value, now));
                    state.failure = None;
                    state.failures = 0;
                    state.urgent = false;
                    state.due = now + again_after.mul_f64(rand::random_range(0.7..=0.8));
                }
                Err(failure) => {
                    state.failures = state.failures.saturating_add(1);
                    let retry = &self.policy.retry;
                    let serves = state.value.as_ref().is_some_and(|(_, fetched_at)| {
                        self.policy.max_stale.is_none_or(|limit| fetched_at.elapsed() <= limit)
                    });
                    let pause = match serves && !state.urgent {
                        true => retry.pause(state.failures),
                        false => retry.pause_unready(state.failures),
                    };
                    let asked = failure.retry_after.unwrap_or_default().min(retry.cap);
                    state.due = now + pause.max(asked);
                    state.failure = Some(failure);
                }
            }
        });
    }
}

impl<T> Drop for Fresh<T> {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task.filter(Task::is_of_this_process) {
            task.handle.abort();
        }
    }
}

impl<T> fmt::Debug for Fresh<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh").field("policy", &self.shared.policy).finish_non_exhaustive()
    }
}
