//! Turns at refreshing, changes by other processes, and what counts once.

use std::time::{Duration, SystemTime};

use ::redis::from_redis_value;
use async_trait::async_trait;
use oidc_core::token::Algorithm;

use super::{ANY, RedisStore, Stored, choices, command::Command, connect::Role, millis, scripts};
use crate::{
    digest::Digest,
    record::Record,
    store::{Change, HeldTurn, InTurn, SharedStore, StoreError, TURN, Turn},
    ticket::Ticket,
};

/// Time to wait for a replica to have a refreshed record, in milliseconds.
const WAIT: u64 = 100;
/// Time for which replicas are not waited for after one was late.
const LATE: Duration = Duration::from_secs(1);

impl RedisStore {
    /// Waits until a replica has what this process has written under the session's key, if there is a replica: were the primary
    /// lost now, the provider's one-time refresh token would be lost with it. The wait is short and may fail; the record is stored.
    async fn wait_for_copy(&self, digest: &Digest) {
        let near = self.names.session(digest);
        let role = Command::Near(near.clone(), ::redis::cmd("ROLE"));
        let replicas = match self.turns.call("wait", role).await.map(Role::from_reply) {
            Ok(Ok(role)) => role.replicas,
            Ok(Err(_)) | Err(_) => 0,
        };
        if replicas == 0 || self.late.holds() {
            return;
        }
        let wait = Command::Near(near, ::redis::cmd("WAIT")).arg(1).arg(WAIT);
        let copies = self.turns.call::<u64>("wait", wait).await;
        if !matches!(copies, Ok(1..)) {
            // Each wait holds up the turns of other sessions: a replica that lags is not waited for again at once.
            self.late.set(LATE);
            tracing::warn!(
                store = %self.options.servers,
                "no replica has a refreshed record within {WAIT}ms; if the primary is lost now, that session may end"
            );
        }
    }
}

#[async_trait]
impl SharedStore for RedisStore {
    async fn take_turn(&self, ticket: &Ticket, generation: u64) -> Result<Turn, StoreError> {
        let digest = ticket.digest();
        let held = HeldTurn::random();
        let [record, last_seen] = self.keys_of(&digest);
        let script = scripts::TAKE_TURN
            .on([record, self.names.turn(&digest), last_seen])
            .arg(generation)
            .arg(held.number())
            .arg(millis(TURN));
        let mut parts =
            self.turns.call::<Vec<::redis::Value>>("take_turn", script).await?.into_iter();
        let mut read = || -> Result<(u8, Option<Vec<u8>>, Option<u64>), ::redis::ParsingError> {
            let mut next = || parts.next().unwrap_or(::redis::Value::Nil);
            Ok((from_redis_value(next())?, from_redis_value(next())?, from_redis_value(next())?))
        };
        let reply = read().map_err(|error| self.misread(&error))?;
        Ok(match reply {
            (1, ..) => Turn::Ours(held),
            (2, Some(sealed), last_seen) => {
                match self.opened(&digest, &sealed, last_seen.unwrap_or_default()) {
                    Some(record) => Turn::Over(Box::new(record)),
                    None => Turn::Ended,
                }
            }
            (3, ..) => Turn::Theirs,
            _ => Turn::Ended,
        })
    }

    async fn keep_turn(&self, ticket: &Ticket, held: &HeldTurn) -> Result<bool, StoreError> {
        let turn = self.names.turn(&ticket.digest());
        let script = scripts::KEEP_TURN.on([turn]).arg(held.number()).arg(millis(TURN));
        self.turns.call("keep_turn", script).await
    }

    async fn give_up_turn(&self, ticket: &Ticket, held: &HeldTurn) -> Result<(), StoreError> {
        let turn = self.names.turn(&ticket.digest());
        let script = scripts::GIVE_UP_TURN.on([turn]).arg(held.number());
        self.turns.call("give_up_turn", script).await
    }

    async fn replace_in_turn(
        &self,
        ticket: &Ticket,
        record: &Record,
        held: &HeldTurn,
    ) -> Result<InTurn, StoreError> {
        let digest = ticket.digest();
        let stored = match self.store(&self.turns, &digest, record, true).await? {
            Stored::Yes(_) => {
                self.wait_for_copy(&digest).await;
                InTurn::Stored
            }
            Stored::Overtaken(sealed, last_seen) => {
                match self.opened(&digest, &sealed, last_seen) {
                    Some(record) => InTurn::Overtaken(Box::new(record)),
                    None => InTurn::Ended,
                }
            }
            Stored::Ended => InTurn::Ended,
        };
        // The record is stored; a turn that stays ends by itself.
        if let Err(error) = self.give_up_turn(ticket, held).await {
            tracing::debug!(%error, "turn at refreshing not ended");
        }
        Ok(stored)
    }

    async fn next_change(&self) -> Change {
        self.changes.next().await
    }

    fn trusted_for(&self) -> Duration {
        self.changes.trusted_for()
    }

    async fn signed_out_since(
        &self,
        record: &Record,
        exchanged_at: SystemTime,
    ) -> Result<bool, StoreError> {
        let age = self.clock.now().duration_since(exchanged_at).unwrap_or(Duration::ZERO);
        // The server reads its clock within the deadline after this one was read.
        let since = millis(age + self.options.timeout);
        for which in choices(record) {
            let script = scripts::SIGNED_OUT.on([self.names.sign_outs(&which)]).arg(since);
            let algorithms: Vec<String> = self.calls.call("signed_out", script).await?;
            let ends = |name: &String| {
                name == ANY || name.parse::<Algorithm>().is_ok_and(|one| record.ended_by(Some(one)))
            };
            if algorithms.iter().any(ends) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn first_use(&self, name: &Digest, lifetime: Duration) -> Result<bool, StoreError> {
        let script = scripts::FIRST_USE
            .on([self.names.use_of(name)])
            .arg(&rand::random::<[u8; 16]>())
            .arg(millis(lifetime).max(1));
        self.calls.call("first_use", script).await
    }

    async fn forget_use(&self, name: &Digest) -> Result<(), StoreError> {
        self.calls.call("first_use", Command::new("DEL", &self.names.use_of(name))).await
    }
}
