//! The port for records that several processes share: one refresh for all of them, and what one process changes reaches the
//! others.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;

use crate::{
    digest::Digest,
    record::Record,
    store::StoreError,
    ticket::{SessionId, Ticket},
};

/// The part of a store that knows of other processes. A [`SessionStore`](super::SessionStore) that has it returns it from
/// [`shared`](super::SessionStore::shared).
#[async_trait]
pub trait SharedStore: Send + Sync + fmt::Debug {
    /// Takes the turn at refreshing a session, whose record had this generation when it was last read. One process at a time has
    /// the turn; it ends by itself [`TURN`] after it was taken or last kept, so that a killed process holds up none.
    async fn take_turn(&self, ticket: &Ticket, generation: u64) -> Result<Turn, StoreError>;

    /// Keeps the turn for another [`TURN`]; `false` when it was lost.
    async fn keep_turn(&self, ticket: &Ticket, held: &HeldTurn) -> Result<bool, StoreError>;

    /// Ends the turn without a new record, because the refresh failed.
    async fn give_up_turn(&self, ticket: &Ticket, held: &HeldTurn) -> Result<(), StoreError>;

    /// Stores the record of a refresh, waits a moment for a copy of it where the store has replicas, and ends the turn. The
    /// record is stored although the turn was lost, unless another process has stored one of the same generation or a later one.
    async fn replace_in_turn(
        &self,
        ticket: &Ticket,
        record: &Record,
        held: &HeldTurn,
    ) -> Result<InTurn, StoreError>;

    /// The next change that another process made, or this one. Never resolves to an error: while the store is out of reach,
    /// the first result is [`Change::Missed`], and the next comes when it is back. One task calls it.
    async fn next_change(&self) -> Change;

    /// Time for which a record may be used without reading it again. Zero while changes do not arrive.
    fn trusted_for(&self) -> Duration;

    /// Whether the provider has signed this record's session out at any process since a login exchanged its code. Call it after
    /// the record is stored.
    async fn signed_out_since(
        &self,
        record: &Record,
        exchanged_at: SystemTime,
    ) -> Result<bool, StoreError>;

    /// Remembers something that counts once, such as a logout token, for a time; `false` if any process has remembered it
    /// before.
    async fn first_use(&self, name: &Digest, lifetime: Duration) -> Result<bool, StoreError>;

    /// Forgets it, because its use failed and it may come again.
    async fn forget_use(&self, name: &Digest) -> Result<(), StoreError>;
}

/// Time after which the turn of a process ends that no longer keeps it.
pub const TURN: Duration = Duration::from_secs(8);

/// The turn at refreshing a session.
#[derive(Debug)]
pub enum Turn {
    /// This process has it now.
    Ours(HeldTurn),
    /// Another process has it.
    Theirs,
    /// Another process has refreshed the session since; this is its record now.
    Over(Box<Record>),
    /// The session has ended.
    Ended,
}

/// A turn that this process holds. Its number is unique, so that a process that lost its turn ends no other's.
#[derive(Clone, PartialEq, Eq)]
pub struct HeldTurn([u8; 16]);

impl HeldTurn {
    /// A turn with a number of its own (128 random bits).
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// Its number.
    pub fn number(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for HeldTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeldTurn")
    }
}

/// Result of storing a refreshed record.
#[derive(Debug)]
pub enum InTurn {
    /// It is stored.
    Stored,
    /// Another process has stored one of the same generation or a later one: this one.
    Overtaken(Box<Record>),
    /// The session has ended meanwhile, and stays ended.
    Ended,
}

/// A change in a shared store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The record of a ticket was replaced or deleted: read it again before it is used.
    Record(Digest),
    /// An entry was written or deleted (see [`EntryStore`](super::EntryStore)).
    Entry(Digest),
    /// A session ended.
    Ended(SessionId),
    /// Changes may have been missed: read every record again before it is used.
    Missed,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::{
        fixtures::{MovableClock, shared::Shared},
        store::conformance::{conforms, shares},
    };

    #[tokio::test]
    async fn the_shared_store_of_the_tests_conforms() {
        conforms(|clock| Arc::into_inner(Shared::new(clock).process()).unwrap()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_shared_store_of_the_tests_shares() {
        let clock = MovableClock::new();
        let shared = Shared::new(Arc::clone(&clock));
        let (here, there) = (shared.process(), shared.process());
        shares(&*here, &*there, &clock).await;
    }
}
