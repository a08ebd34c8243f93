//! Keeps a session's tokens fresh (RFC 6749 §6), with one refresh per session, however many requests need it.
//!
//! A refresh begins ahead of expiry, in its own task, while requests go on with the present token. Requests wait for the same
//! refresh in two cases: the token has expired, or the ticket is the record, so that the answer has to carry the new ticket. A
//! client that disconnects does not cancel it. Its result is stored before it is used. `invalid_grant` ends the session; a
//! provider that does not answer does not.
//!
//! Where other processes use the store too, they take turns (`turns`).

mod state;
mod turns;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::BoxFuture;
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

pub(super) use self::state::Refreshing;
use self::state::{Begun, Granted, Need, Outcome, Running};
use super::{LiveSession, RenewError, Sessions};
use crate::{record::Record, store::StoreError};

/// The longest time that a request waits for a refresh.
const WAIT: Duration = Duration::from_secs(10);
/// The longest time that a refresh may take, whether or not a request waits for it.
const GRANT: Duration = Duration::from_secs(30);
/// A refresh is due when less than this remains, or a fifth of the token's life if that is longer.
const AHEAD: Duration = Duration::from_secs(10);
/// An explicit request does not refresh a token younger than this.
const YOUNG: Duration = Duration::from_secs(5);

/// Performs the refresh grant for a record: the same session with new tokens and, if the issuer states one, a new identity.
///
/// [`Sessions`] sets `id`, `created_at`, `last_seen`, `renewed_at` and `generation`; the function need not.
pub type Renew =
    dyn Fn(Arc<Record>) -> BoxFuture<'static, Result<Record, RenewError>> + Send + Sync;

/// Whether a session without a refresh token keeps its identity after its access token has expired.
pub type KeepsIdentity = dyn Fn(&Record) -> bool + Send + Sync;

/// Makes a refresh work for the request that begins it.
pub type Carry = dyn Fn(BoxFuture<'static, ()>) -> BoxFuture<'static, ()> + Send + Sync;

/// Freshness of a session's identity and access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// The access token is valid.
    Current,
    /// The access token was refreshed while this request waited.
    Renewed,
    /// The access token has expired, nothing can refresh it, and the session keeps its identity without it.
    Kept,
    /// The access token has expired and the provider is unavailable; the old identity is still accepted.
    Grace {
        /// end of the grace
        until: SystemTime,
    },
}

/// Time at which a record's tokens should be refreshed. Jittered, so that sessions that began together do not refresh together.
pub(super) fn due_at(record: &Record) -> SystemTime {
    let expires_at = record.access_expires_at;
    let life = expires_at.duration_since(record.renewed_at).unwrap_or(Duration::ZERO);
    let ahead = (life / 5).max(AHEAD).mul_f64(jitter(0.9, 1.1)).min(life / 2);
    expires_at.checked_sub(ahead).unwrap_or(expires_at)
}

pub(super) fn jitter(from: f64, to: f64) -> f64 {
    from + (to - from) * rand::random::<f64>()
}

impl Sessions {
    /// Makes sure that the session's access token is valid, and refreshes it when due.
    ///
    /// Call it before using the record's token or identity. It returns at once unless the token has expired.
    pub async fn fresh(
        self: &Arc<Self>,
        session: &Arc<LiveSession>,
    ) -> Result<Freshness, RenewError> {
        if session.ended().is_cancelled() {
            return Err(RenewError::Ended);
        }
        let now = self.clock().now();
        if !self.store().keeps_records() {
            Box::pin(self.keep_seen(session, now)).await;
        }
        let (due_at, expires_at, can) = {
            let present = session.present();
            let record = &present.record;
            (present.due_at, record.access_expires_at, record.refresh_token.is_some())
        };
        let expired = now >= expires_at;
        if !expired && now < due_at {
            return Ok(Freshness::Current);
        }
        match (can && self.renews(), expired) {
            (false, false) => Ok(Freshness::Current),
            (false, true) if self.keeps_identity(&session.record()) => Ok(Freshness::Kept),
            (false, true) => {
                Box::pin(self.end_over(session)).await;
                Err(RenewError::NoRefreshToken)
            }
            (true, false) if self.store().keeps_records() => {
                self.begin(session, Need::Soon);
                Ok(Freshness::Current)
            }
            // The answer to this request carries the new ticket. A later refresh, by another process or by this one after a
            // restart, could only use the old ticket's refresh token again, and the provider would end the session.
            (true, false) => match Box::pin(self.renewed(session, Need::Now)).await {
                Err(error) if error.session_ended() => Err(error),
                Ok(_) | Err(_) => Ok(Freshness::Current),
            },
            (true, true) => Box::pin(self.renewed(session, Need::Now)).await,
        }
    }

    /// Refreshes the session's tokens now, unless that has just been done.
    pub async fn renew_now(
        self: &Arc<Self>,
        session: &Arc<LiveSession>,
    ) -> Result<Freshness, RenewError> {
        if session.ended().is_cancelled() {
            return Err(RenewError::Ended);
        }
        let (age, can) = {
            let present = session.present();
            let age = self.clock().now().duration_since(present.record.renewed_at);
            (age.unwrap_or(Duration::ZERO), present.record.refresh_token.is_some())
        };
        if !can || !self.renews() || age < YOUNG {
            return self.fresh(session).await;
        }
        self.renewed(session, Need::Forced).await
    }

    /// Whether the provider's last confirmation of the session has expired, and only a request can renew it: the ticket is the
    /// record, so that nothing is refreshed between requests. A stream must not stay open on an expired confirmation.
    pub fn is_unconfirmed(&self, session: &LiveSession) -> bool {
        if self.store().keeps_records() {
            return false;
        }
        let record = session.record();
        let ends_at = record.access_expires_at + self.grace();
        self.clock().now() >= ends_at && !self.keeps_identity(&record)
    }

    /// Refreshes the tokens of a session that has open streams but perhaps no requests. Does nothing where the ticket is the
    /// record, because no answer could carry the new one.
    pub(super) fn refresh_if_due(self: &Arc<Self>, session: &Arc<LiveSession>) {
        if !self.store().keeps_records() {
            return;
        }
        let (due, can) = {
            let present = session.present();
            (present.due_at <= self.clock().now(), present.record.refresh_token.is_some())
        };
        if due && can && self.renews() {
            self.begin(session, Need::Soon);
        }
    }

    /// Waits for the session's only refresh.
    async fn renewed(
        self: &Arc<Self>,
        session: &Arc<LiveSession>,
        need: Need,
    ) -> Result<Freshness, RenewError> {
        let error = loop {
            let Running { mut outcome, deadline } = match self.begin(session, need) {
                Begun::Done => return Ok(Freshness::Renewed),
                Begun::Pausing(error) => break error,
                Begun::Running(running) => running,
            };
            let outcome = timeout_at(deadline, outcome.wait_for(Option::is_some)).await;
            match outcome.map(|ended| ended.ok().and_then(|outcome| outcome.clone())) {
                Ok(Some(Ok(Outcome::Renewed))) => return Ok(Freshness::Renewed),
                // It began before this request needed its result.
                Ok(Some(Ok(Outcome::Elsewhere))) => {}
                Ok(Some(Err(error))) => break error,
                Ok(None) => break RenewError::unavailable("refresh did not finish"),
                Err(_) => break RenewError::unavailable("provider did not answer in time"),
            }
        };
        if error.session_ended() {
            return Err(error);
        }
        let until = session.present().record.access_expires_at + self.grace();
        if self.clock().now() < until { Ok(Freshness::Grace { until }) } else { Err(error) }
    }

    /// Begins a refresh, unless one is in progress, has just been done, or has just failed.
    fn begin(self: &Arc<Self>, session: &Arc<LiveSession>, need: Need) -> Begun {
        let mut refreshing = session.refreshing();
        // If the sender of this receiver is gone, its task ended without a result.
        if let Some(running) = &refreshing.running
            && running.outcome.has_changed().is_ok()
        {
            return Begun::Running(running.clone());
        }
        let needless = match need {
            // Another refresh may have replaced the record since this request read it.
            Need::Now => self.clock().now() < session.present().due_at,
            Need::Soon => {
                self.clock().now() < session.present().due_at
                    || refreshing.elsewhere.is_some_and(|until| Instant::now() < until)
            }
            Need::Forced => false,
            Need::Granted => refreshing.granted.is_none(),
        };
        if needless {
            return Begun::Done;
        }
        if need != Need::Granted
            && let Some(failed) = &refreshing.failed
        {
            let left = failed.not_before.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Begun::Pausing(failed.error.clone().after(left));
            }
        }
        let (sender, outcome) = watch::channel(None);
        let running = Running { outcome, deadline: Instant::now() + WAIT };
        refreshing.running = Some(running.clone());
        let granted = refreshing.granted.take();
        drop(refreshing);

        let (sessions, session) = (Arc::clone(self), Arc::clone(session));
        let refresh: BoxFuture<'static, ()> = Box::pin(async move {
            let outcome = sessions.refresh(&session, granted, need).await;
            session.refreshing().ended(&outcome);
            sender.send_replace(Some(outcome));
        });
        self.refreshes.spawn(match &self.carry {
            Some(carry) => carry(refresh),
            None => refresh,
        });
        Begun::Running(running)
    }

    /// Performs the refresh: calls the provider, stores the result, then uses it.
    async fn refresh(
        self: &Arc<Self>,
        session: &Arc<LiveSession>,
        granted: Option<Granted>,
        need: Need,
    ) -> Result<Outcome, RenewError> {
        if let Some(shared) = self.store().shared() {
            return self.refresh_in_turn(shared, session, granted, need).await;
        }
        let generation = session.record().generation;
        let record = match granted {
            Some(granted) => granted.record,
            None => match self.grant(session).await {
                Err(error) => {
                    tracing::warn!(session = %session.id(), %error, "tokens not refreshed");
                    if !error.session_ended() {
                        return Err(error);
                    }
                    // Another process refreshed the session, and a request brought its newer ticket meanwhile.
                    if session.record().generation > generation {
                        return Ok(Outcome::Renewed);
                    }
                    self.end_over(session).await;
                    return Err(error);
                }
                Ok(record) => record,
            },
        };
        if session.ended().is_cancelled() {
            return Err(RenewError::Ended);
        }
        let ticket = session.ticket();
        match self.store().replace(&ticket, &record).await {
            Ok(Some(ticket)) => {
                self.advance(session, record, ticket);
                Ok(Outcome::Renewed)
            }
            Ok(None) => {
                self.deny(session.id());
                Err(RenewError::Ended)
            }
            Err(error) => {
                Err(self.not_stored(session, Granted { record, held: None }, error).await)
            }
        }
    }

    /// Ends a session whose new tokens the store has no room for; keeps tokens that may be stored later.
    async fn not_stored(
        &self,
        session: &Arc<LiveSession>,
        granted: Granted,
        error: StoreError,
    ) -> RenewError {
        if matches!(error, StoreError::TooLarge { .. }) {
            // Asking again would not make them smaller.
            tracing::error!(session = %session.id(), %error, "session ended: refreshed tokens do not fit");
            self.end_over(session).await;
        } else {
            tracing::error!(session = %session.id(), %error, "refreshed tokens not stored");
            session.refreshing().granted = Some(granted);
        }
        error.into()
    }

    async fn grant(&self, session: &LiveSession) -> Result<Record, RenewError> {
        let old = session.record();
        let renewed = self.renew(Arc::clone(&old), GRANT).await?;
        let same_issuer = old.known.iss.is_empty() || old.known.iss == renewed.known.iss;
        if !same_issuer
            || (&renewed.known.issuer, &renewed.known.subject)
                != (&old.known.issuer, &old.known.subject)
        {
            // OpenID Connect Core 1.0 §12.2: a refresh never changes the subject.
            return Err(RenewError::refused("refreshed tokens have another subject"));
        }
        Ok(Record {
            id: old.id.clone(),
            created_at: old.created_at,
            last_seen: session.last_seen(),
            renewed_at: self.clock().now(),
            generation: old.generation + 1,
            ..renewed
        })
    }

    /// Makes a new ticket now and then where the store does not keep the time of last use, because only the ticket holds it.
    async fn keep_seen(&self, session: &Arc<LiveSession>, now: SystemTime) {
        let present = session.present_now();
        let unrecorded = now.duration_since(present.record.last_seen).unwrap_or(Duration::ZERO);
        if unrecorded < self.limits().idle / 4 || session.refreshing().running.is_some() {
            return;
        }
        let Some(_alone) = session.reseal() else { return };
        let record = Record { last_seen: now, ..(*present.record).clone() };
        match self.store().replace(&present.ticket, &record).await {
            Ok(Some(ticket)) => self.advance(session, record, ticket),
            Ok(None) => self.deny(session.id()),
            Err(error) => tracing::warn!(session = %session.id(), %error, "ticket not renewed"),
        }
    }
}

/// Limits the time of a grant.
pub(super) async fn within<F>(limit: Duration, grant: F) -> Result<Record, RenewError>
where
    F: Future<Output = Result<Record, RenewError>>,
{
    timeout(limit, grant)
        .await
        .unwrap_or_else(|_| Err(RenewError::unavailable("provider did not answer in time")))
}

#[cfg(test)]
mod tests;
