//! From a ticket to its one live session.

use std::{
    sync::{Arc, Weak},
    time::SystemTime,
};

use super::{Closed, LiveSession, Sessions};
use crate::{digest::Digest, record::Record, ticket::Ticket};

impl Sessions {
    /// Opens a ticket that is not open yet.
    pub(super) async fn load(
        &self,
        ticket: &Ticket,
        digest: Digest,
    ) -> Result<Arc<LiveSession>, Closed> {
        // Another request may have opened it a moment ago.
        if let Some(session) = self.opened.get(&digest) {
            return Ok(session);
        }
        if self.spent.contains_key(&digest) || self.unknown.contains_key(&digest) {
            return Err(Closed::Nothing);
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

    pub(super) fn look_up(&self, digest: &Digest, now: SystemTime) -> Option<Arc<LiveSession>> {
        let session = self.opened.get(digest)?;
        if session.ended().is_cancelled() {
            self.opened.invalidate(digest);
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
                    session.advance(record, ticket);
                    session
                }
                None => {
                    let session = Arc::new(LiveSession::new(record, ticket));
                    live.insert(session.id().clone(), Arc::downgrade(&session));
                    session
                }
            }
        };
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
