//! The store that keeps no records: a ticket is the sealed record itself.
//!
//! For gateways that share a session key and nothing else. It has two costs. Only the process that ended a session remembers
//! that, in memory, until the session's lifetime is over. Two gateways that refresh one session at the same time both use its
//! refresh token. Where that matters, use a store that keeps records.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use moka::sync::Cache;
use oidc_core::token::Algorithm;
use oidc_core::{Clock, Secret};

use super::encoding;
use crate::{
    digest::Digest,
    logouts::Logouts,
    memory::remembered,
    record::{Limits, Record, Summary, Which},
    seal::{Keys, Purpose},
    store::{Ended, Seen, SessionStore, StoreError},
    ticket::{MAX_TICKET, SessionId, Ticket},
};

/// Name that tickets are sealed under, beside the purpose.
const NAME: &str = "session";
/// Time for which an old ticket leads to the record of its successor.
const SUCCESSION: Duration = Duration::from_secs(60);
/// Number of ended sessions that are remembered.
const ENDED: u64 = 200_000;
/// Number of successors that are remembered.
const SUCCESSORS: u64 = 20_000;
/// Most successors of one ticket that are followed within [`SUCCESSION`].
const STEPS: usize = 16;

/// Keeps sessions in the browser's cookies.
pub struct CookieStore {
    keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
    ended: Cache<SessionId, ()>,
    ended_matching: Logouts,
    successors: Cache<Digest, Ticket>,
}

impl CookieStore {
    /// Tickets sealed with `keys`. Ended sessions are remembered for `lifetime`, the longest that a session lasts.
    pub fn new(keys: Arc<Keys>, lifetime: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            keys,
            clock,
            ended: remembered(ENDED, lifetime),
            ended_matching: Logouts::new(lifetime),
            successors: remembered(SUCCESSORS, SUCCESSION),
        }
    }

    fn denies(&self, record: &Record) -> bool {
        if self.ended.contains_key(&record.id) {
            return true;
        }
        self.ended_matching.end(record, record.created_at)
    }

    fn seal(&self, record: &Record) -> Result<Ticket, StoreError> {
        match self.seal_whole(record) {
            // The ID token is only a hint to the provider at logout; a session without it is better than none.
            Err(StoreError::TooLarge { .. }) if record.id_token.is_some() => {
                self.seal_whole(&Record { id_token: None, ..record.clone() })
            }
            sealed => sealed,
        }
    }

    fn seal_whole(&self, record: &Record) -> Result<Ticket, StoreError> {
        let plaintext = encoding::encode(record).map_err(unavailable)?;
        let sealed = self.keys.seal(Purpose::Ticket, NAME, &plaintext).map_err(unavailable)?;
        if sealed.len() > MAX_TICKET {
            return Err(StoreError::TooLarge { size: sealed.len(), limit: MAX_TICKET });
        }
        Ok(Ticket::new(Secret::from(sealed)))
    }

    fn open(&self, ticket: &Ticket) -> Option<Record> {
        let plaintext = self.keys.open(Purpose::Ticket, NAME, ticket.expose())?;
        match encoding::decode(&plaintext) {
            Ok(record) => Some(record),
            Err(error) => {
                tracing::warn!(%error, "session cookie of another version of the gateway");
                None
            }
        }
    }
}

#[async_trait]
impl SessionStore for CookieStore {
    async fn create(&self, record: &Record) -> Result<Ticket, StoreError> {
        self.seal(record)
    }

    async fn load(&self, ticket: &Ticket) -> Result<Option<Record>, StoreError> {
        let mut latest = ticket.clone();
        for _ in 0..STEPS {
            let Some(successor) = self.successors.get(&latest.digest()) else { break };
            latest = successor;
        }
        Ok(self.open(&latest).filter(|record| !self.denies(record)))
    }

    async fn replace(
        &self,
        ticket: &Ticket,
        record: &Record,
    ) -> Result<Option<Ticket>, StoreError> {
        if self.denies(record) {
            return Ok(None);
        }
        let successor = self.seal(record)?;
        self.successors.insert(ticket.digest(), successor.clone());
        Ok(Some(successor))
    }

    async fn touch(&self, _seen: &[Seen]) -> Result<(), StoreError> {
        Ok(())
    }

    fn keeps_records(&self) -> bool {
        false
    }

    async fn end(&self, id: &SessionId) -> Result<(), StoreError> {
        self.ended.insert(id.clone(), ());
        Ok(())
    }

    async fn end_matching(
        &self,
        which: &Which,
        signed_with: Option<Algorithm>,
    ) -> Result<Ended, StoreError> {
        self.ended_matching.note(which, signed_with, self.clock.now());
        Ok(Ended::default())
    }

    async fn list(&self, _limit: usize) -> Result<Vec<Summary>, StoreError> {
        Ok(Vec::new())
    }

    async fn sweep(&self, _limits: &Limits, _now: SystemTime) -> Result<usize, StoreError> {
        Ok(0)
    }

    async fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl fmt::Debug for CookieStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieStore").field("keys", &self.keys).finish_non_exhaustive()
    }
}

fn unavailable(error: impl fmt::Display) -> StoreError {
    StoreError::Unavailable { reason: error.to_string() }
}

#[cfg(test)]
mod tests;
