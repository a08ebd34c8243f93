//! One refresh for all processes that share a store.
//!
//! A process takes the turn at refreshing before it calls the provider, keeps it while it waits for the answer, and ends it when
//! the new record is stored. The others read that record. A process that is killed in its turn loses it after
//! [`TURN`](crate::store::TURN); the next one goes on with the refresh token that the store has.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{Begun, GRANT, Granted, Need, Outcome, jitter};
use crate::{
    record::Record,
    sessions::{LiveSession, RenewError, Sessions},
    store::{HeldTurn, InTurn, SharedStore, TURN, Turn},
    ticket::Ticket,
};

/// Interval at which a process looks whether the turn of another one has ended, spread by half of it.
const LOOK: Duration = Duration::from_millis(100);
/// Time for which a process whose refresh token was refused waits for the record of another one that may have used it: the turn
/// does not keep two processes apart after a failover that lost it.
const LATE: Duration = Duration::from_secs(1);
/// Interval of the attempts to store new tokens while the store does not answer, spread by half of it.
const STORE: Duration = Duration::from_millis(200);

/// Result of waiting for the turn.
enum Taken {
    Ours(HeldTurn),
    Over(Outcome),
}

impl Sessions {
    pub(super) async fn refresh_in_turn(
        self: &Arc<Self>,
        shared: &dyn SharedStore,
        session: &Arc<LiveSession>,
        granted: Option<Granted>,
        need: Need,
    ) -> Result<Outcome, RenewError> {
        let ticket = session.ticket();
        let (record, held) = match granted {
            Some(Granted { record, held }) => (record, held.unwrap_or_else(HeldTurn::random)),
            None => {
                let held = match self.turn(shared, session, &ticket, need).await? {
                    Taken::Ours(held) => held,
                    Taken::Over(outcome) => return Ok(outcome),
                };
                let generation = session.record().generation;
                match self.grant_in_turn(shared, session, &ticket, &held).await {
                    Ok(record) => (record, held),
                    Err(error) => {
                        tracing::warn!(session = %session.id(), %error, "tokens not refreshed");
                        let outcome = self.refused(session, &ticket, generation, error).await;
                        if !session.ended().is_cancelled()
                            && let Err(error) = shared.give_up_turn(&ticket, &held).await
                        {
                            tracing::debug!(session = %session.id(), %error, "turn not given up");
                        }
                        return outcome;
                    }
                }
            }
        };
        if session.ended().is_cancelled() {
            return Err(RenewError::Ended);
        }
        match shared.replace_in_turn(&ticket, &record, &held).await {
            Ok(InTurn::Stored) => self.advance(session, record, ticket),
            Ok(InTurn::Overtaken(record)) => self.advance(session, *record, ticket),
            Ok(InTurn::Ended) => {
                self.close(session);
                return Err(RenewError::Ended);
            }
            Err(error) => {
                let granted = Granted { record, held: Some(held) };
                let error = self.not_stored(session, granted, error).await;
                self.store_when_back(session);
                return Err(error);
            }
        }
        Ok(Outcome::Renewed)
    }

    /// Waits for the turn, or for the record of the process that has it.
    async fn turn(
        &self,
        shared: &dyn SharedStore,
        session: &Arc<LiveSession>,
        ticket: &Ticket,
        need: Need,
    ) -> Result<Taken, RenewError> {
        let until = Instant::now() + GRANT;
        loop {
            if session.ended().is_cancelled() {
                return Err(RenewError::Ended);
            }
            let mut changed = pin!(session.changes().notified());
            changed.as_mut().enable();
            match shared.take_turn(ticket, session.record().generation).await? {
                Turn::Ours(held) => return Ok(Taken::Ours(held)),
                Turn::Ended => {
                    self.close(session);
                    return Err(RenewError::Ended);
                }
                Turn::Over(record) => {
                    self.advance(session, *record, ticket.clone());
                    if !self.has_expired(session) {
                        return Ok(Taken::Over(Outcome::Renewed));
                    }
                    sleep(LOOK).await;
                }
                Turn::Theirs if need == Need::Soon && !self.has_expired(session) => {
                    return Ok(Taken::Over(Outcome::Elsewhere));
                }
                Turn::Theirs => {
                    let _ = timeout(LOOK.mul_f64(jitter(0.5, 1.5)), changed).await;
                }
            }
            if Instant::now() >= until {
                return Err(RenewError::unavailable("another process has not refreshed in time"));
            }
        }
    }

    /// Calls the provider, and keeps the turn meanwhile.
    async fn grant_in_turn(
        &self,
        shared: &dyn SharedStore,
        session: &LiveSession,
        ticket: &Ticket,
        held: &HeldTurn,
    ) -> Result<Record, RenewError> {
        let keeping = async {
            loop {
                sleep(TURN / 3).await;
                match shared.keep_turn(ticket, held).await {
                    Ok(true) => {}
                    // The provider may have used up the refresh token already, so that the grant goes on.
                    Ok(false) => {
                        tracing::warn!(session = %session.id(), "turn at refreshing lost to another process");
                        break std::future::pending::<Infallible>().await;
                    }
                    Err(error) => {
                        tracing::warn!(session = %session.id(), %error, "turn at refreshing not kept");
                    }
                }
            }
        };
        tokio::select! {
            granted = self.grant(session) => granted,
            never = keeping => match never {},
        }
    }

    /// After a grant failed that used the refresh token of this generation. If the provider refused it because another process has
    /// used it before, the record of that process counts, which it may be about to store.
    async fn refused(
        &self,
        session: &Arc<LiveSession>,
        ticket: &Ticket,
        generation: u64,
        error: RenewError,
    ) -> Result<Outcome, RenewError> {
        if !error.session_ended() {
            return Err(error);
        }
        let until = Instant::now() + LATE;
        loop {
            match self.store().load(ticket).await? {
                Some(record) if record.generation > generation => {
                    self.advance(session, record, ticket.clone());
                    return Ok(Outcome::Renewed);
                }
                Some(_) if Instant::now() < until => sleep(LOOK.mul_f64(jitter(0.5, 1.5))).await,
                Some(_) => {
                    self.end_over(session).await;
                    return Err(error);
                }
                None => {
                    self.close(session);
                    return Err(error);
                }
            }
        }
    }

    /// Stores granted tokens as soon as the store answers again, before another process uses the old refresh token.
    fn store_when_back(self: &Arc<Self>, session: &Arc<LiveSession>) {
        {
            let mut refreshing = session.refreshing();
            if refreshing.granted.is_none() || refreshing.storing {
                return;
            }
            refreshing.storing = true;
        }
        let (sessions, session) = (Arc::clone(self), Arc::clone(session));
        tokio::spawn(async move {
            loop {
                sleep(STORE.mul_f64(jitter(0.5, 1.5))).await;
                {
                    let mut refreshing = session.refreshing();
                    if refreshing.granted.is_none() && refreshing.running.is_none()
                        || session.ended().is_cancelled()
                    {
                        refreshing.granted = None;
                        refreshing.storing = false;
                        return;
                    }
                }
                if let Begun::Running(mut running) = sessions.begin(&session, Need::Granted) {
                    let _ = running.outcome.wait_for(Option::is_some).await;
                }
            }
        });
    }

    fn has_expired(&self, session: &LiveSession) -> bool {
        self.clock().now() >= session.present().record.access_expires_at
    }
}
