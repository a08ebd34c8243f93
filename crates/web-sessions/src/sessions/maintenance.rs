//! Maintains the sessions between requests: stores the times of last use, ends expired sessions, refreshes those that only have
//! streams, sweeps the store.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{Closed, LiveSession, Sessions};
use crate::store::StoreError;

/// Interval at which sessions are checked. Shorter than the time ahead of expiry at which a refresh is due, so that a token
/// does not expire under an open stream.
pub(super) const TICK: Duration = Duration::from_secs(3);
/// Number of checks between two writes of `last_seen`.
const FLUSH: u64 = 5;
/// A shorter `idle` than this has times of last use written at each check, if other processes judge by them.
const SHORT: Duration = Duration::from_secs(60);
/// Number of checks between two sweeps of the store.
const SWEEP: u64 = 100;
/// The longest time that the end of the process waits for refreshes in progress. The provider may have used up the refresh token
/// already, and the session ends if the new one is not stored.
const LAST: Duration = Duration::from_secs(5);

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
    /// have streams, and sweeps the store. Where other processes use the store too, follows their changes: a session that ended
    /// there ends here with its streams. Spawn it once.
    pub async fn maintain(self: Arc<Self>, shutdown: CancellationToken) {
        tokio::select! {
            () = self.check_until(&shutdown) => {}
            never = self.follow() => match never {},
        }
        self.refreshes.close();
        if timeout(LAST, self.refreshes.wait()).await.is_err() {
            tracing::warn!(refreshes = self.refreshes.len(), "stopped before refreshes had ended");
        }
        if let Err(error) = self.flush().await {
            tracing::warn!(%error, "times of last use not stored");
        }
        if let Some(keys) = &self.api_keys {
            keys.flush().await;
        }
    }

    async fn check_until(self: &Arc<Self>, shutdown: &CancellationToken) {
        let flush = if self.shares && self.limits.idle < SHORT { 1 } else { FLUSH };
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = 0_u64;
        loop {
            let regular = tokio::select! {
                _ = ticks.tick() => true,
                () = self.flush_soon.notified() => false,
                () = shutdown.cancelled() => return,
            };
            if (!regular || round.is_multiple_of(flush))
                && let Err(error) = self.flush().await
            {
                tracing::warn!(%error, "times of last use not stored");
            }
            if !regular {
                continue;
            }
            self.check().await;
            if let Some(keys) = self.api_keys.as_ref().filter(|_| round.is_multiple_of(FLUSH)) {
                keys.flush().await;
            }
            if round.is_multiple_of(SWEEP) {
                match self.store.sweep(&self.limits, self.clock.now()).await {
                    Ok(swept) => tracing::debug!(swept, "swept the session store"),
                    Err(error) => tracing::warn!(%error, "session store not swept"),
                }
                if let Some(keys) = &self.api_keys
                    && let Err(error) = keys.sweep().await
                {
                    tracing::warn!(%error, "API keys not swept");
                }
            }
            round += 1;
        }
    }

    /// Performs one round of [`maintain`](Self::maintain): ends expired sessions, refreshes those that only have streams.
    pub(super) async fn check(self: &Arc<Self>) {
        let now = self.clock.now();
        let mut away = false;
        for session in self.all() {
            if self.is_over(&session, now) {
                away = away || !self.end_if_over(&session, now).await;
            } else if self.is_unconfirmed(&session) {
                session.renewals().notify_waiters();
            } else if session.streaming() {
                self.refresh_if_due(&session);
            }
        }
        self.live().retain(|_, session| session.strong_count() > 0);
        self.near.tidy();
        self.opened.run_pending_tasks();
    }

    fn is_over(&self, session: &LiveSession, now: SystemTime) -> bool {
        let record = session.record();
        let unrenewable = record.refresh_token.is_none() || !self.renews();
        let over =
            || unrenewable && now >= record.access_expires_at && !self.keeps_identity(&record);
        session.past(&self.limits, now) || over()
    }

    /// Ends a session whose time seems to be over. Another process may have seen a request since, so that a shared store is asked
    /// first; `false` if it did not answer.
    async fn end_if_over(&self, session: &Arc<LiveSession>, now: SystemTime) -> bool {
        if self.shares {
            let present = session.present_now();
            match self.reading(&present.ticket, present.digest).await {
                Err(Closed::Failed(_)) => return false,
                Err(Closed::Nothing) => return true,
                Ok(_) if !self.is_over(session, now) => return true,
                Ok(_) => {}
            }
        }
        self.end_over(session).await;
        true
    }
}
