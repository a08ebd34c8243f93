//! Ends sessions: by name, by the provider's identifiers, or because their time is over.

use std::{
    sync::{Arc, Weak},
    time::SystemTime,
};

use oidc_core::token::Algorithm;

use super::{LiveSession, Sessions};
use crate::{
    record::{Record, Which},
    store::{Ended, StoreError},
    ticket::SessionId,
};

/// Called with the last record of each session that ends in this process while it is open.
pub type Farewell = dyn Fn(&Record) + Send + Sync;

impl Sessions {
    /// With a call for each open session that ends here: what was made from its tokens ends with it. The call must not wait.
    #[must_use]
    pub fn with_farewell(self, farewell: Arc<Farewell>) -> Self {
        Self { farewell: Some(farewell), ..self }
    }

    /// Ends a session. It is refused here at once. An error means that the store still has it, so that it would be valid again
    /// after a restart.
    pub async fn end(&self, id: &SessionId) -> Result<(), StoreError> {
        self.deny(id);
        self.store.end(id).await
    }

    /// Ends the sessions of a provider session or of a subject, and returns the names that are known.
    pub async fn end_matching(&self, which: &Which) -> Result<Vec<SessionId>, StoreError> {
        self.end_signed(which, None).await.map(|ended| ended.ids)
    }

    /// The same for a logout token that is signed with `signed_with`: a session whose ID token is signed with another algorithm
    /// stays.
    pub async fn end_signed(
        &self,
        which: &Which,
        signed_with: Option<Algorithm>,
    ) -> Result<Ended, StoreError> {
        self.logouts.note(which, signed_with, self.clock.now());
        let mut ended = Ended::default();
        for session in self.all() {
            let record = session.record();
            match which.includes(&record) {
                true if record.ended_by(signed_with) => ended.ids.push(record.id.clone()),
                true => ended.spared.push(record.id.clone()),
                false => {}
            }
        }
        ended.ids.iter().for_each(|id| self.deny(id));
        let stored = self.store.end_matching(which, signed_with).await?;
        stored.ids.iter().for_each(|id| self.deny(id));
        for (all, more) in [(&mut ended.ids, stored.ids), (&mut ended.spared, stored.spared)] {
            all.extend(more);
            all.sort_unstable();
            all.dedup();
        }
        Ok(ended)
    }

    /// Whether the provider has signed out the session of this record, at any process, since a login exchanged its code.
    pub(super) async fn signed_out_since(
        &self,
        record: &Record,
        exchanged_at: SystemTime,
    ) -> Result<bool, StoreError> {
        match self.store.shared() {
            _ if self.logouts.end(record, exchanged_at) => Ok(true),
            Some(shared) => shared.signed_out_since(record, exchanged_at).await,
            None => Ok(false),
        }
    }

    /// Refuses this session here from now on.
    pub(super) fn deny(&self, id: &SessionId) {
        self.ended.insert(id.clone(), ());
        let session = self.live().remove(id).and_then(|session| session.upgrade());
        if let Some(session) = session {
            session.ended().cancel();
            self.bid_farewell(&session);
            self.opened.invalidate(&session.present().digest);
        }
    }

    /// Ends a session that is past its limits. A failure of the store is only logged, because its end is found again
    /// at its next use.
    ///
    /// If the ticket is the record, only this ticket has ended: another process may have made a newer one, which still opens.
    pub(super) async fn end_over(&self, session: &Arc<LiveSession>) {
        if !self.store.keeps_records() {
            return self.retire(session);
        }
        let id = session.id();
        if let Err(error) = self.end(id).await {
            tracing::warn!(session = %id, %error, "ended session not removed from the store");
        }
    }

    /// Refuses the ticket that a session has now, and no other.
    fn retire(&self, session: &Arc<LiveSession>) {
        self.spent.insert(session.present().digest, ());
        self.close(session);
    }

    /// Ends the use of a session, and its streams, because the store has no record that opens. It may have one later: a process
    /// that seals with a new key may be ahead of this one. A ticket then opens the session again.
    pub(super) fn close(&self, session: &Arc<LiveSession>) {
        let digest = session.present().digest;
        let mut live = self.live();
        let registered = live.get(session.id()).and_then(Weak::upgrade);
        if registered.is_some_and(|registered| Arc::ptr_eq(&registered, session)) {
            live.remove(session.id());
        }
        drop(live);
        session.ended().cancel();
        self.bid_farewell(session);
        self.opened.invalidate(&digest);
    }

    fn bid_farewell(&self, session: &LiveSession) {
        if let Some(farewell) = &self.farewell {
            farewell(&session.record());
        }
    }
}
