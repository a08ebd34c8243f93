//! Asking the source on behalf of all processes: look, lock, look again, ask, write.

use std::time::{Duration, SystemTime};

use oidc_core::Clock;
use tokio::time::{Instant, sleep};

use super::record::{Failed, Kept, Record};
use super::{Entry, Turn};
use crate::access_token::AccessToken;
use crate::cache::backoff::Failure;
use crate::cache::flight::{Outcome, Why};
use crate::cache::held::{is_due, renewal_pause};
use crate::source::{TokenError, TokenSource};

/// Longest wait for another process's answer while a still valid token is at hand.
const SHORT_WAIT: Duration = Duration::from_secs(1);
/// Locks held by the process that asks, and by the one that asks in its place once it has stopped.
const LOCK: &str = "lock";
const STAND_IN: &str = "stand-in.lock";

/// Pause between two reads of the file, in milliseconds. Random, so that waiting processes do not
/// all read at once.
const LOOK_AGAIN: std::ops::RangeInclusive<u64> = 10..=50;

/// Conclusion from the file's content.
enum Finding {
    /// The file has the answer; the issuer is not asked.
    Answer(Outcome),
    /// The issuer is to be asked. Carries the token that is valid meanwhile, if there is one.
    Ask(Option<Kept>),
}

impl Entry {
    /// Asks the source once for all processes. `failures` is the number this process has seen.
    pub(crate) async fn ask(
        &self,
        source: &dyn TokenSource,
        clock: &dyn Clock,
        why: &Why,
        failures: u32,
    ) -> Outcome {
        let finding = self.read(clock.now()).await.finding(why, clock.now());
        let wait = match (finding, why) {
            (Finding::Answer(outcome), _) => return outcome,
            (Finding::Ask(Some(_)), Why::Absent) => SHORT_WAIT.min(self.files.lock_wait),
            (Finding::Ask(_), _) => self.files.lock_wait,
        };
        let mut until = Instant::now() + wait;
        let mut stand_in = Some(STAND_IN);
        let mut lock = LOCK;
        // Waiting processes read the file and do not queue for the lock: one answer serves all.
        let (turn, record, present) = loop {
            let turn = self.lock(lock);
            let over = Instant::now() >= until;
            let record = self.read(clock.now()).await;
            match record.finding(why, clock.now()) {
                Finding::Answer(outcome) => return outcome,
                Finding::Ask(_) if matches!(turn, Turn::Others) && !over => {}
                Finding::Ask(Some(kept)) if matches!((&turn, why), (Turn::Others, Why::Absent)) => {
                    return kept.until_later(SHORT_WAIT);
                }
                // The holder has stopped: one of the waiting processes asks in its place.
                Finding::Ask(_) if matches!(turn, Turn::Others) && stand_in.is_some() => {
                    lock = stand_in.take().unwrap_or(lock);
                    until = Instant::now() + wait;
                    continue;
                }
                Finding::Ask(present) => break (turn, record, present),
            }
            sleep(Duration::from_millis(rand::random_range(LOOK_AGAIN))).await;
        };
        let outcome = self.ask_and_write(source, clock, why, failures, record, present).await;
        drop(turn);
        outcome
    }

    async fn ask_and_write(
        &self,
        source: &dyn TokenSource,
        clock: &dyn Clock,
        why: &Why,
        failures: u32,
        before: Record,
        present: Option<Kept>,
    ) -> Outcome {
        let begun = clock.now();
        let renewed_at = match why {
            Why::Rejected(_) => Some(begun),
            Why::Absent | Why::Due(_) => before.renewed_at,
        };
        let answer = match why {
            Why::Rejected(rejected) => source.token_after(rejected).await,
            Why::Absent | Why::Due(_) => source.token().await,
        };
        let now = clock.now();
        match answer {
            Ok(token) => {
                let kept = Kept { token, obtained: now };
                let token = Some(kept.clone());
                self.write(Record { token, failure: None, renewed_at }).await;
                kept.into_outcome(None)
            }
            Err(error) => {
                let failure = match error.is_outage() {
                    true => self.share(error, failures, now, Record { renewed_at, ..before }).await,
                    // Another process may have the right secret: it asks for itself.
                    false => Failure::after(failures, error),
                };
                match present {
                    Some(kept) => kept.into_outcome(Some(failure)),
                    None => Outcome::failed(failure),
                }
            }
        }
    }
}

impl Entry {
    /// Has the other processes wait too, since the issuer answers none of them.
    async fn share(
        &self,
        error: TokenError,
        failures: u32,
        now: SystemTime,
        before: Record,
    ) -> Failure {
        let others = before.failure.as_ref().map_or(0, |failed| failed.failure.failures);
        let failure = Failure::after(failures.max(others), error);
        let failed = Some(Failed { failure: failure.clone(), at: now });
        // Another service may accept a token that one service rejected.
        let token = before.token.filter(|kept| kept.is_good(now));
        self.write(Record { token, failure: failed, ..before }).await;
        failure
    }
}

impl Record {
    fn finding(&self, why: &Why, now: SystemTime) -> Finding {
        let failing = self.failure.as_ref().and_then(|failed| failed.now(now));
        let good = self.token.clone().filter(|kept| kept.is_good(now));
        let (present, wanted) = match (good, why) {
            (Some(kept), Why::Rejected(rejected)) if kept.token == *rejected => {
                let pause = renewal_pause(kept.life());
                let renewed = self.renewed_at.and_then(|at| now.duration_since(at).ok());
                if renewed.is_some_and(|ago| ago < pause) {
                    return Finding::Answer(kept.into_outcome(None));
                }
                (None, true)
            }
            (Some(kept), Why::Due(present)) if kept.token == *present => (Some(kept), true),
            (Some(kept), _) => {
                let due = is_due(&kept.token, kept.obtained, now);
                (Some(kept), due)
            }
            (None, _) => (None, true),
        };
        match (present, failing) {
            (Some(kept), _) if !wanted => Finding::Answer(kept.into_outcome(None)),
            (Some(kept), Some(failure)) => Finding::Answer(kept.into_outcome(Some(failure))),
            (None, Some(failure)) => Finding::Answer(Outcome::failed(failure)),
            (present, None) => Finding::Ask(present),
        }
    }
}

impl Kept {
    fn is_good(&self, now: SystemTime) -> bool {
        self.token.expires_at().is_none_or(|at| at > now)
    }

    fn life(&self) -> Duration {
        crate::cache::held::life(&self.token, self.obtained)
    }

    fn into_outcome(self, failure: Option<Failure>) -> Outcome {
        let (token, obtained) = (self.token, self.obtained);
        Outcome::Token { token, obtained, refresh_in: failure.as_ref().map(|f| f.wait), failure }
    }

    /// The present token, while another process renews it.
    fn until_later(self, wait: Duration) -> Outcome {
        let (token, obtained): (AccessToken, _) = (self.token, self.obtained);
        Outcome::Token { token, obtained, refresh_in: Some(wait), failure: None }
    }
}
