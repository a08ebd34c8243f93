//! Creates, loads, changes and ends sessions.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::{future::try_join_all, try_join};
use oidc_core::token::Algorithm;

use super::{
    ANY, AT_ONCE, LOGINS, LONGEST_ID, RedisStore, SIGN_OUT, Stored, choices, command::Command,
    millis, names, scripts, since_epoch,
};
use crate::{
    digest::Digest,
    record::{Limits, Record, Summary, Which},
    store::{Ended, EntryStore, Seen, SessionStore, SharedStore, StoreError},
    ticket::{SessionId, Ticket},
};

#[async_trait]
impl SessionStore for RedisStore {
    async fn create(&self, record: &Record) -> Result<Ticket, StoreError> {
        let ticket = Ticket::random();
        let digest = ticket.digest();
        let sealed = self.sealed(&digest, record)?;
        let left = self.life_left(record);
        let idle = left.min(self.in_use());
        let id = Command::new("SET", &self.names.id(&record.id))
            .arg(names::text(&digest))
            .arg("PX")
            .arg(millis(left));
        let all = scripts::INDEX
            .on([self.names.all()])
            .arg(names::member(&digest, &record.id))
            .arg(millis(idle));
        try_join!(
            self.index(&digest, record, left),
            self.calls.call::<()>("create", id),
            self.calls.call::<()>("create", all),
        )?;
        let [one, two] = choices(record).map(|which| names::text(&which));
        let script = scripts::CREATE
            .on(self.keys_of(&digest))
            .arg(sealed)
            .arg(record.generation)
            .arg(since_epoch(record.created_at))
            .arg(record.id.as_str())
            .arg(one)
            .arg(two)
            .arg(since_epoch(record.last_seen))
            .arg(millis(idle));
        self.calls.call::<()>("create", script).await?;
        Ok(ticket)
    }

    async fn load(&self, ticket: &Ticket) -> Result<Option<Record>, StoreError> {
        match ticket.names_a_record() {
            true => self.load_digest(&ticket.digest()).await,
            false => Ok(None),
        }
    }

    async fn replace(
        &self,
        ticket: &Ticket,
        record: &Record,
    ) -> Result<Option<Ticket>, StoreError> {
        let stored = self.store(&self.calls, &ticket.digest(), record, false).await?;
        Ok(matches!(stored, Stored::Yes(_)).then(|| ticket.clone()))
    }

    async fn touch(&self, seen: &[Seen]) -> Result<(), StoreError> {
        for some in seen.chunks(AT_ONCE) {
            try_join_all(some.iter().map(|seen| self.touch_one(seen))).await?;
        }
        Ok(())
    }

    fn shared(&self) -> Option<&dyn SharedStore> {
        Some(self)
    }

    fn entries(&self) -> Option<&dyn EntryStore> {
        Some(self)
    }

    async fn end(&self, id: &SessionId) -> Result<(), StoreError> {
        if id.as_str().len() > LONGEST_ID {
            return Ok(());
        }
        let key = self.names.id(id);
        let found: Option<String> = self.calls.call("end", Command::new("GET", &key)).await?;
        match found.and_then(|text| names::digest(text.as_bytes())) {
            Some(digest) => self.end_one(&digest, id).await.map(drop),
            None => Ok(()),
        }
    }

    async fn end_matching(
        &self,
        which: &Which,
        signed_with: Option<Algorithm>,
    ) -> Result<Ended, StoreError> {
        let which = which.digest();
        // Before the index is read: a login that ends meanwhile is either found there, or finds this.
        let noted = scripts::SIGN_OUT
            .on([self.names.sign_outs(&which)])
            .arg(signed_with.map_or(ANY, Algorithm::as_str))
            .arg(millis(SIGN_OUT));
        self.calls.call::<()>("end", noted).await?;
        let entries = self.indexed("end", &self.names.index(&which), -1).await?;
        let mut all = Ended::default();
        for some in entries.chunks(AT_ONCE) {
            let ended = some.iter().map(|(digest, id)| self.end_signed(digest, id, signed_with));
            for one in try_join_all(ended).await? {
                all.ids.extend(one.ids);
                all.spared.extend(one.spared);
            }
        }
        Ok(all)
    }

    async fn list(&self, limit: usize) -> Result<Vec<Summary>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let last = i64::try_from(limit - 1).unwrap_or(i64::MAX);
        let entries = self.indexed("list", &self.names.all(), last).await?;
        let mut all = Vec::new();
        for some in entries.chunks(AT_ONCE) {
            let records = try_join_all(some.iter().map(|(digest, _)| self.load_digest(digest)));
            all.extend(records.await?.iter().flatten().map(Summary::from));
        }
        Ok(all)
    }

    async fn count(&self) -> Result<Option<usize>, StoreError> {
        let script = scripts::SWEEP.on([self.names.all()]);
        let (_, kept): (usize, usize) = self.calls.call("count", script).await?;
        Ok(Some(kept))
    }

    /// The server deletes records by itself; this takes them out of the list.
    async fn sweep(&self, _limits: &Limits, _now: SystemTime) -> Result<usize, StoreError> {
        let script = scripts::SWEEP.on([self.names.all()]);
        let (over, _): (usize, usize) = self.calls.call("sweep", script).await?;
        Ok(over)
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.calls.call("ready", Command::new("EXISTS", &self.names.all())).await
    }

    async fn keep_login(
        &self,
        key: &Digest,
        sealed: &[u8],
        until: SystemTime,
    ) -> Result<bool, StoreError> {
        let left = until.duration_since(self.clock.now()).unwrap_or(Duration::ZERO);
        let left = millis(left).max(1);
        let entered =
            scripts::ENTER.on([self.names.logins()]).arg(names::text(key)).arg(left).arg(LOGINS);
        if self.calls.call::<i8>("login", entered).await? < 0 {
            return Ok(false);
        }
        let kept = Command::new("SET", &self.names.login(key)).arg(sealed).arg("PX").arg(left);
        self.calls.call::<()>("login", kept).await?;
        Ok(true)
    }

    async fn add(
        &self,
        counter: &Digest,
        amount: u64,
        until: SystemTime,
    ) -> Result<Option<u64>, StoreError> {
        let left = until.duration_since(self.clock.now()).unwrap_or(Duration::ZERO);
        let script =
            scripts::ADD.on([self.names.counter(counter)]).arg(amount).arg(millis(left).max(1));
        self.calls.call("add", script).await.map(Some)
    }

    async fn login(&self, key: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.calls.call("login", Command::new("GET", &self.names.login(key))).await
    }

    async fn forget_login(&self, key: &Digest) -> Result<(), StoreError> {
        let entry = names::text(key);
        try_join!(
            self.calls.call::<()>("login", Command::new("DEL", &self.names.login(key))),
            self.calls.call::<()>("login", Command::new("ZREM", &self.names.logins()).arg(entry)),
        )
        .map(drop)
    }
}
