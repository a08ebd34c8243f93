//! Maintains the sessions between requests: stores the times of last use, ends expired sessions, refreshes those that only have
//! streams, sweeps the store.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::sessions::Sessions;
use crate::store::StoreError;

/// Interval at which sessions are checked. Shorter than the time ahead of expiry at which a refresh is due, so that a token
/// does not expire under an open stream.
const TICK: Duration = Duration::from_secs(3);
/// Number of checks between two writes of `last_seen`.
const FLUSH: u64 = 5;
/// Number of checks between two sweeps of the store.
const SWEEP: u64 = 100;

impl Sessions {
    /// Stores the times at which sessions were last used.
    pub async fn flush(&self) -> Result<(), StoreError> {
        for session in self.all() {
            self.settle(&session);
        }
        let sessions = std::mem::take(&mut *self.unwritten());
        if sessions.is_empty() {
            return Ok(());
        }
        let seen: Vec<_> = sessions.iter().map(|session| session.take_seen()).collect();
        let written = self.store.touch(&seen).await;
        if written.is_err() {
            sessions.iter().for_each(|session| self.saw(session, session.last_seen()));
        }
        written
    }

    /// Maintains the sessions until `shutdown`: stores the times of last use, ends expired sessions, refreshes those that only
    /// have streams, and sweeps the store. Spawn it once.
    pub async fn maintain(self: Arc<Self>, shutdown: CancellationToken) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for round in 0_u64.. {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.cancelled() => break,
            }
            if round % FLUSH == 0
                && let Err(error) = self.flush().await
            {
                tracing::warn!(%error, "times of last use not stored");
            }
            self.check().await;
            if round % SWEEP == 0 {
                match self.store.sweep(&self.limits, self.clock.now()).await {
                    Ok(swept) => tracing::debug!(swept, "swept the session store"),
                    Err(error) => tracing::warn!(%error, "session store not swept"),
                }
            }
        }
        if let Err(error) = self.flush().await {
            tracing::warn!(%error, "times of last use not stored");
        }
    }

    /// Performs one round of [`maintain`](Self::maintain): ends expired sessions, refreshes those that only have streams.
    pub(super) async fn check(self: &Arc<Self>) {
        let now = self.clock.now();
        for session in self.all() {
            let record = session.record();
            let unrenewable = record.refresh_token.is_none() || !self.renews();
            let over =
                || unrenewable && now >= record.access_expires_at && !self.keeps_identity(&record);
            if session.past(&self.limits, now) || over() {
                self.end_over(&session).await;
            } else if self.is_unconfirmed(&session) {
                session.renewals().notify_waiters();
            } else if session.streaming() {
                self.refresh_if_due(&session);
            }
        }
        self.live().retain(|_, session| session.strong_count() > 0);
        self.opened.run_pending_tasks();
    }
}
