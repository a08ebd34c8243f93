//! Asking the source: one task asks, and all callers that need the answer wait for it.
//!
//! The request runs in its own task; cancelling one caller does not cancel it for the others.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::Shared;
use super::backoff::Failure;
use super::held::{Held, Now};
use crate::access_token::AccessToken;
use crate::source::{TokenError, TokenSource as _};

/// Time limit of a request to the source.
const LIMIT: Duration = Duration::from_secs(45);
/// Time after which callers stop waiting for a task, because its runtime no longer runs.
const GIVEN_UP: Duration = Duration::from_secs(50);
/// Attempts of a caller whose answer was lost, or was the rejected token itself.
const ATTEMPTS: usize = 3;

/// Reason for asking the source.
#[derive(Clone, Debug)]
pub(crate) enum Why {
    /// There is no valid token.
    Absent,
    /// This token is due for refresh before it expires.
    #[cfg_attr(
        not(all(unix, feature = "file-cache")),
        expect(dead_code, reason = "for the file cache")
    )]
    Due(AccessToken),
    /// A service answered 401 to this token.
    Rejected(AccessToken),
}

/// Result of asking the source.
#[derive(Debug)]
pub(crate) enum Outcome {
    Token {
        token: AccessToken,
        /// Time it was obtained, by the wall clock; earlier than now if another process obtained it.
        obtained: SystemTime,
        /// Wait before the next refresh; `None` for the usual time.
        refresh_in: Option<Duration>,
        /// Asking failed, but this token is still valid.
        failure: Option<Failure>,
    },
    Failed(Box<Failure>),
}

impl Outcome {
    pub(crate) fn failed(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

type Answer = Result<AccessToken, TokenError>;

/// The request under way, and the result of earlier ones.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    flight: Option<Flight>,
    failure: Option<(Failure, Instant)>,
    flown: u64,
    /// Start of the last renewal for a rejected token.
    renewed_at: Option<Instant>,
}

/// Answer that is known, or the request to wait for.
enum Joined {
    Known(Answer),
    /// The answer to come, and the end of the wait for it.
    Waiting(watch::Receiver<Option<Answer>>, Instant),
}

#[derive(Debug)]
struct Flight {
    number: u64,
    answer: watch::Receiver<Option<Answer>>,
    until: Instant,
    /// Process that runs the task. A child made by `fork` inherits this record, but not the task.
    process: u32,
}

impl Flight {
    fn is_alive(&self, now: Instant) -> bool {
        self.process == std::process::id() && now < self.until && self.answer.has_changed().is_ok()
    }
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The last failure, while the next attempt is not allowed yet.
    fn failing(&self, now: Now) -> Option<TokenError> {
        let (failure, at) = self.failure.as_ref()?;
        let passed = now.monotonic.saturating_duration_since(*at);
        failure.left_after(passed).map(|failure| failure.error)
    }
}

impl Shared {
    /// Begins a refresh, unless one is under way. Never waits.
    pub(super) fn begin_refresh(self: &Arc<Self>, now: Now) {
        let Ok(runtime) = Handle::try_current() else { return };
        let Ok(mut state) = self.flights.0.try_lock() else { return };
        let is_alive = state.flight.as_ref().is_some_and(|flight| flight.is_alive(now.monotonic));
        if let Some(held) = self.held.load_full().filter(|held| held.is_due(now) && !is_alive) {
            self.take_off(&runtime, &mut state, Why::Due(held.token.clone()), now);
        }
    }

    /// The answer that is known already, or else the answer of the source.
    pub(super) async fn answer(self: &Arc<Self>, why: Why) -> Answer {
        for _ in 0..ATTEMPTS {
            let (mut answer, until) = match self.join(&why) {
                Joined::Known(answer) => return answer,
                Joined::Waiting(answer, until) => (answer, until),
            };
            let landed = timeout_at(until, answer.wait_for(Option::is_some)).await;
            // No answer in time, or the task is gone: begin another one.
            let Ok(Ok(landed)) = landed else { continue };
            match (&*landed, &why) {
                (Some(Ok(token)), Why::Rejected(rejected)) if token == rejected => {}
                (Some(answer), _) => return answer.clone(),
                (None, _) => {}
            }
        }
        match why {
            Why::Rejected(rejected) => Ok(rejected),
            _ => Err(TokenError::not_asked("the task that asked the issuer was cancelled")),
        }
    }

    fn join(self: &Arc<Self>, why: &Why) -> Joined {
        let now = self.now();
        let mut state = self.flights.lock();
        let good = self.good(now);
        let rejected = |token: &AccessToken| matches!(why, Why::Rejected(it) if it == token);
        if let Some(held) = good.as_ref().filter(|held| !rejected(&held.token)) {
            return Joined::Known(Ok(held.token.clone()));
        }
        let Ok(runtime) = Handle::try_current() else {
            return Joined::Known(Err(TokenError::not_asked(
                "there is no Tokio runtime to wait in",
            )));
        };
        if let Some(flight) = &state.flight
            && flight.is_alive(now.monotonic)
        {
            return Joined::Waiting(flight.answer.clone(), flight.until);
        }
        if let Some(held) = &good
            && state.renewed_at.is_some_and(|at| now.monotonic < at + held.between_renewals())
        {
            return Joined::Known(Ok(held.token.clone()));
        }
        if let Some(error) = state.failing(now) {
            return Joined::Known(Err(error));
        }
        let (answer, until) = self.take_off(&runtime, &mut state, why.clone(), now);
        Joined::Waiting(answer, until)
    }

    fn take_off(
        self: &Arc<Self>,
        runtime: &Handle,
        state: &mut State,
        why: Why,
        now: Now,
    ) -> (watch::Receiver<Option<Answer>>, Instant) {
        if matches!(why, Why::Rejected(_)) {
            state.renewed_at = Some(now.monotonic);
        }
        let failures = state.failure.as_ref().map_or(0, |(failure, _)| failure.failures);
        let (tell, answer) = watch::channel(None);
        let until = now.monotonic + GIVEN_UP;
        state.flown += 1;
        let number = state.flown;
        let process = std::process::id();
        state.flight = Some(Flight { number, answer: answer.clone(), until, process });
        let shared = Arc::clone(self);
        runtime.spawn(async move {
            let asked = timeout(LIMIT, shared.ask(&why, failures)).await;
            let outcome = asked.unwrap_or_else(|_| {
                let error = TokenError::not_asked("the issuer gave no answer in time");
                Outcome::failed(Failure::after(failures, error))
            });
            tell.send_replace(Some(shared.land(number, outcome)));
        });
        (answer, until)
    }

    async fn ask(&self, why: &Why, failures: u32) -> Outcome {
        if let Some(entry) = &self.entry {
            return entry.ask(self.source.as_ref(), self.clock.as_ref(), why, failures).await;
        }
        let answer = match why {
            Why::Rejected(rejected) => self.source.token_after(rejected).await,
            Why::Absent | Why::Due(_) => self.source.token().await,
        };
        match answer {
            Ok(token) => {
                let obtained = self.clock.now();
                Outcome::Token { token, obtained, refresh_in: None, failure: None }
            }
            Err(error) => Outcome::failed(Failure::after(failures, error)),
        }
    }

    /// Publishes the result of asking.
    fn land(&self, number: u64, outcome: Outcome) -> Answer {
        let now = self.now();
        let mut state = self.flights.lock();
        let (next, failure, answer) = match outcome {
            Outcome::Token { token, obtained, refresh_in, failure } => {
                let answer = Ok(token.clone());
                let held = Held::new(token, obtained, now);
                let held = match refresh_in {
                    Some(wait) => held.refreshed_in(wait, now),
                    None => held,
                };
                (Some(held), failure, answer)
            }
            Outcome::Failed(failure) => {
                let answer = Err(failure.error.clone());
                let held = self.good(now).map(|held| held.refreshed_in(failure.wait, now));
                (held, Some(*failure), answer)
            }
        };
        if let Some(Failure { error, wait, .. }) = &failure {
            let still_good = next.is_some();
            tracing::warn!(%error, retry_in = ?wait, still_good, "no new token");
        }
        self.held.store(next.map(Arc::new));
        self.second.store(u64::MAX, Ordering::Relaxed);
        // A late result of a task that was given up: its token is used, but it does not change the
        // back-off.
        if state.flight.as_ref().is_none_or(|flight| flight.number == number) {
            state.failure = failure.map(|failure| (failure, now.monotonic));
            state.flight = None;
        }
        answer
    }
}
