//! State of a session's refresh: the one in progress, the last failure, tokens that wait for the store.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};

use super::jitter;
use crate::{record::Record, sessions::RenewError, store::HeldTurn};

/// The longest pause after failures.
pub(super) const PAUSE: Duration = Duration::from_secs(30);
/// The pause when the store failed, and when another process has the turn: neither costs the provider anything.
const SHORT: Duration = Duration::from_secs(1);

/// State of a session's refresh.
#[derive(Default)]
pub(in crate::sessions) struct Refreshing {
    pub(super) running: Option<Running>,
    pub(super) failed: Option<Failed>,
    /// Another process had the turn; the present token is good until then.
    pub(super) elsewhere: Option<Instant>,
    /// Issued by the provider, not yet stored. Asking again would use the old refresh token a second time.
    pub(super) granted: Option<Granted>,
    /// A task stores it as soon as the store answers again.
    pub(super) storing: bool,
}

/// New tokens that are not stored yet.
pub(super) struct Granted {
    pub(super) record: Record,
    /// The turn they were granted in, at a store that several processes share.
    pub(super) held: Option<HeldTurn>,
}

/// Reasons to refresh.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// The token expires soon.
    Soon,
    /// A request needs the new token.
    Now,
    /// A request asks for new tokens, even if the present one is good.
    Forced,
    /// Tokens that are granted wait for the store.
    Granted,
}

/// Results of a refresh.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The session has the new tokens.
    Renewed,
    /// Another process refreshes the session now, and the present token is good.
    Elsewhere,
}

/// A refresh in progress.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) outcome: watch::Receiver<Option<Result<Outcome, RenewError>>>,
    /// Time until which requests wait for it.
    pub(super) deadline: Instant,
}

/// Failed refreshes since the last success.
pub(super) struct Failed {
    pub(super) times: u32,
    pub(super) error: RenewError,
    pub(super) not_before: Instant,
}

pub(super) enum Begun {
    /// One is in progress now.
    Running(Running),
    /// There is nothing to do: another request's refresh has ended in the meantime.
    Done,
    /// The last one failed a moment ago.
    Pausing(RenewError),
}

impl Refreshing {
    pub(super) fn ended(&mut self, outcome: &Result<Outcome, RenewError>) {
        self.running = None;
        self.elsewhere = None;
        self.failed = match outcome {
            Ok(Outcome::Renewed) => None,
            Ok(Outcome::Elsewhere) => {
                self.elsewhere = Some(Instant::now() + SHORT.mul_f64(jitter(0.75, 1.25)));
                self.failed.take()
            }
            Err(error) => {
                let times = self.failed.take().map_or(0, |failed| failed.times).saturating_add(1);
                let (asked, most) = match error {
                    RenewError::Unavailable { retry_after, .. } => (*retry_after, PAUSE),
                    RenewError::Store(_) => (Duration::ZERO, SHORT),
                    _ => (Duration::ZERO, PAUSE),
                };
                let pause =
                    Duration::from_secs(1 << (times - 1).min(5)).mul_f64(jitter(0.75, 1.25));
                let pause = pause.max(asked).clamp(SHORT, most);
                Some(Failed { times, error: error.clone(), not_before: Instant::now() + pause })
            }
        };
    }
}
