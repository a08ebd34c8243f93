//! The port for storing records, and its adapters.

mod cookie;
mod embedded;
mod encoding;
mod entries;
#[cfg(feature = "redis")]
mod redis;
mod shared;

#[cfg(any(test, feature = "test-util"))]
pub(crate) mod conformance;

use std::{fmt, time::SystemTime};

use async_trait::async_trait;
use oidc_core::token::Algorithm;

#[cfg(any(test, feature = "test-util"))]
pub use self::conformance::{conforms as session_store_conforms, shares as shared_store_conforms};
#[cfg(feature = "redis")]
pub use self::redis::{
    Observe, ReadPassword, RedisEvent, RedisNode, RedisOptions, RedisServers, RedisStore, RedisTls,
    SharedReplayMemory, ask_redis,
};
pub use self::{
    cookie::CookieStore,
    embedded::{EmbeddedError, EmbeddedStore},
    entries::{Entry, EntryStore},
    shared::{Change, HeldTurn, InTurn, SharedStore, TURN, Turn},
};
use crate::{
    digest::Digest,
    record::{Limits, Record, Summary, Which},
    ticket::{SessionId, Ticket},
};

/// Failures of a session store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached or failed; nothing is known about the session. Never treated as "logged out".
    #[error("session store unavailable: {reason}")]
    Unavailable {
        /// cause of the failure
        reason: String,
    },
    /// The record does not fit (cookie store: browsers keep at most 4096 bytes in a cookie).
    #[error(
        "session too large for the store: {size} bytes, at most {limit}; map fewer claims into tokens at the provider, or use the embedded store"
    )]
    TooLarge {
        /// its size, in bytes
        size: usize,
        /// the store's limit, in bytes
        limit: usize,
    },
}

/// Storage of session records.
#[async_trait]
pub trait SessionStore: Send + Sync + fmt::Debug {
    /// Stores a new record; the ticket goes into the browser's cookie.
    async fn create(&self, record: &Record) -> Result<Ticket, StoreError>;

    /// The record of a ticket; `None` when there is none (never existed, ended, or not ours).
    async fn load(&self, ticket: &Ticket) -> Result<Option<Record>, StoreError>;

    /// Stores a changed record of the same session; `None` when the session has ended meanwhile. It then stays ended.
    ///
    /// The ticket may change (cookie store); the new one must reach the browser. An old ticket of the same session keeps
    /// working for a minute, for requests already in progress.
    async fn replace(&self, ticket: &Ticket, record: &Record)
    -> Result<Option<Ticket>, StoreError>;

    /// Stores the times at which sessions were last used, many at once.
    async fn touch(&self, seen: &[Seen]) -> Result<(), StoreError>;

    /// Whether the store keeps records. If not, the ticket is the record. A refresh or a new time of last use then changes the
    /// ticket, and takes effect once the browser has the new one. Such a change is made while a request waits, so that its
    /// answer carries the new ticket.
    fn keeps_records(&self) -> bool {
        true
    }

    /// The part that knows of other processes; `None` where this process alone uses the store.
    fn shared(&self) -> Option<&dyn SharedStore> {
        None
    }

    /// The part that keeps entries, such as API keys; `None` where records are kept elsewhere (cookie store).
    fn entries(&self) -> Option<&dyn EntryStore> {
        None
    }

    /// Ends a session: no ticket of it opens again.
    async fn end(&self, id: &SessionId) -> Result<(), StoreError>;

    /// Ends the sessions of a provider session (`sid`) or of a subject, and returns the names that are known. With
    /// `signed_with`, ends only those whose ID token is signed with this algorithm, and those whose algorithm is not known.
    async fn end_matching(
        &self,
        which: &Which,
        signed_with: Option<Algorithm>,
    ) -> Result<Ended, StoreError>;

    /// The sessions in this store, at most `limit`; none where records are kept elsewhere (cookie store).
    async fn list(&self, limit: usize) -> Result<Vec<Summary>, StoreError>;

    /// Number of records in this store; `None` where records are kept elsewhere (cookie store).
    async fn count(&self) -> Result<Option<usize>, StoreError> {
        Ok(None)
    }

    /// Deletes records that are over, and returns their number. Deletes the state of logins that took too long as well.
    async fn sweep(&self, limits: &Limits, now: SystemTime) -> Result<usize, StoreError>;

    /// Whether the store can be used now, for readiness.
    async fn ready(&self) -> Result<(), StoreError>;

    /// Closes the store for another process that takes over: nothing can be read or stored afterwards. A store that several
    /// processes use has nothing to close.
    async fn release(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Keeps the sealed state of a login under a key until a time. `false`: this store keeps none, or has no room for another;
    /// the browser's cookie then holds the state.
    async fn keep_login(
        &self,
        _key: &Digest,
        _sealed: &[u8],
        _until: SystemTime,
    ) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// The sealed state of a login that [`keep_login`](Self::keep_login) kept.
    async fn login(&self, _key: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    /// Adds to a counter that lives until a time, and returns its value; the counter is new to the store when nothing was added
    /// before. All processes that use the store add to the same one. `None`: this store keeps none.
    ///
    /// A call that is repeated on a new connection may count twice.
    async fn add(
        &self,
        _counter: &Digest,
        _amount: u64,
        _until: SystemTime,
    ) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    /// Deletes the state of a login.
    async fn forget_login(&self, _key: &Digest) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The time at which a session was last used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Name of the session.
    pub id: SessionId,
    /// Digest of its present ticket.
    pub ticket: Digest,
    /// Time of the last request or the last activity on a stream.
    pub at: SystemTime,
}

/// Result of ending several sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// The sessions that ended, as far as their names are known.
    pub ids: Vec<SessionId>,
    /// The sessions that stay, because their ID token is signed with another algorithm than the logout token.
    pub spared: Vec<SessionId>,
}
