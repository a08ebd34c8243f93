//! From a ticket to its one live session.

use std::{
    sync::{Arc, Weak},
    time::SystemTime,
};

use super::{Closed, LiveSession, Sessions, near_cache::MOST_TRUST};
use crate::{
    digest::Digest,
    record::Record,
    store::{HeldTurn, InTurn, SharedStore},
    ticket::{SessionId, Ticket},
};

/// Number of times that a record is read again because it changed while it was read.
const AGAIN: u32 = 2;

impl Sessions {
    /// Reads the session of a ticket, once however many callers need it now.
    pub(super) async fn reading(
        &self,
        ticket: &Ticket,
        digest: Digest,
    ) -> Result<Arc<LiveSession>, Closed> {
        let loaded = self.opening.try_get_with(digest, self.load(ticket, digest)).await;
        self.opening.invalidate(&digest).await;
        loaded.map_err(|closed| (*closed).clone())
    }

    /// Opens a ticket that is not open yet, or whose record has to be read again.
    pub(super) async fn load(
        &self,
        ticket: &Ticket,
        digest: Digest,
    ) -> Result<Arc<LiveSession>, Closed> {
        // Another request may have opened it a moment ago.
        if let Some(session) = self.opened.get(&digest)
            && self.needs_no_reading(&session, self.clock.now())
        {
            return Ok(session);
        }
        if self.spent.contains_key(&digest) || self.unknown.contains_key(&digest) {
            return Err(Closed::Nothing);
        }
        if let Some(shared) = self.store.shared() {
            return self.read(shared, ticket, digest).await;
        }
        match self.store.load(ticket).await {
            Err(error) => Err(Closed::Failed(error)),
            Ok(None) => {
                // A store without records reads only the ticket, and a key that is added later may open it.
                if self.store.keeps_records() {
                    self.unknown.insert(digest, ());
                }
                Err(Closed::Nothing)
            }
            Ok(Some(record)) => self.adopt(record, ticket.clone()).ok_or(Closed::Nothing),
        }
    }

    /// Reads a record that other processes may change.
    async fn read(
        &self,
        shared: &dyn SharedStore,
        ticket: &Ticket,
        digest: Digest,
    ) -> Result<Arc<LiveSession>, Closed> {
        let mut left = AGAIN;
        loop {
            let (now, trusted_for) = (self.clock.now(), shared.trusted_for());
            let read = self.near.begin(digest);
            let record = self.store.load(ticket).await.map_err(Closed::Failed)?;
            if read.is_overtaken() && left > 0 {
                left -= 1;
                continue;
            }
            let Some(record) = record else {
                self.unknown.insert(digest, ());
                if let Some(session) = self.near.live(&digest) {
                    self.close(&session);
                }
                return Err(Closed::Nothing);
            };
            let (id, generation) = (record.id.clone(), record.generation);
            let Some(session) = self.adopt(record, ticket.clone()) else {
                self.end_again(&id).await;
                return Err(Closed::Nothing);
            };
            // Zero at either end means that a change may not have arrived.
            let trusted_for = trusted_for.min(shared.trusted_for()).min(MOST_TRUST);
            read.trust(&session, now + trusted_for);
            if session.present().record.generation > generation {
                self.restore(shared, &session).await;
            }
            return Ok(session);
        }
    }

    /// Ends a session that has ended before, because the store has it still: it did not answer then, or has lost the end since.
    async fn end_again(&self, id: &SessionId) {
        match self.store.end(id).await {
            Ok(()) => {
                tracing::warn!(session = %id, "ended a session again, because the store had it still")
            }
            Err(error) => {
                tracing::warn!(session = %id, %error, "ended session not removed from the store")
            }
        }
    }

    /// Stores the record that this process has again, because the store lost it: a primary that failed takes its latest writes
    /// along. The provider no longer accepts the refresh token of the record that the store has.
    async fn restore(&self, shared: &dyn SharedStore, session: &Arc<LiveSession>) {
        let present = session.present_now();
        let held = HeldTurn::random();
        match shared.replace_in_turn(&present.ticket, &present.record, &held).await {
            Ok(InTurn::Stored) => {
                tracing::warn!(session = %session.id(), "stored a refreshed record again, because the store had lost it");
            }
            Ok(InTurn::Overtaken(record)) => session.meet(*record, present.ticket.clone()),
            Ok(InTurn::Ended) => self.close(session),
            // The next read finds it again.
            Err(error) => {
                tracing::warn!(session = %session.id(), %error, "record not stored again")
            }
        }
    }

    /// Whether a session may be used without a look at the store.
    pub(super) fn needs_no_reading(&self, session: &LiveSession, now: SystemTime) -> bool {
        // Another process may have seen a request since.
        !self.shares || session.is_trusted(now) && !session.past(&self.limits, now)
    }

    pub(super) fn look_up(&self, digest: &Digest, now: SystemTime) -> Option<Arc<LiveSession>> {
        let session = self.opened.get(digest)?;
        if session.ended().is_cancelled() {
            self.opened.invalidate(digest);
            return None;
        }
        if self.shares && !session.is_trusted(now) {
            return None;
        }
        session.usable(&self.limits, now).then_some(session)
    }

    /// Makes a loaded record live, or joins it with the live session of the same name. `None` if the session has ended here.
    pub(super) fn adopt(&self, record: Record, ticket: Ticket) -> Option<Arc<LiveSession>> {
        let digest = ticket.digest();
        let session = {
            let mut live = self.live();
            // Under the lock: `deny` first marks the session as ended and then takes the lock, so that one of the two sees the
            // other.
            if self.ended.contains_key(&record.id) {
                return None;
            }
            match live.get(&record.id).and_then(Weak::upgrade) {
                Some(session) => {
                    match self.shares {
                        true => session.meet(record, ticket),
                        false => session.advance(record, ticket),
                    }
                    session
                }
                None => {
                    let session = Arc::new(LiveSession::new(record, ticket));
                    live.insert(session.id().clone(), Arc::downgrade(&session));
                    session
                }
            }
        };
        if self.shares {
            self.near.join(digest, &session);
        }
        self.opened.insert(digest, Arc::clone(&session));
        Some(session)
    }

    /// Uses a record that has been stored.
    pub(super) fn advance(&self, session: &Arc<LiveSession>, record: Record, ticket: Ticket) {
        let digest = ticket.digest();
        session.advance(record, ticket);
        self.opened.insert(digest, Arc::clone(session));
    }
}
