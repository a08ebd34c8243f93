//! Stores sessions in Valkey or Redis, for several processes.
//!
//! Records are sealed, under the SHA-256 of their tickets, so that the server, its dumps and its log open no session. Every key
//! expires. A call has a deadline, and the number of calls in flight is bounded; a server that does not answer costs a request the
//! deadline and never more. A session that is being made is entered into the indexes first and stored last, and one that ends is
//! deleted first and announced then, so that a process that is killed in between leaves only entries that lead nowhere.

mod changes;
mod command;
mod connect;
mod entries;
mod fault;
mod inbox;
mod link;
mod names;
mod options;
mod proofs;
mod records;
mod scripts;
mod sentinels;
mod shared;
mod until;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::try_join;
use oidc_core::{Clock, token::Algorithm};
use tokio::sync::watch;

use self::{
    changes::Changes, command::Command, connect::Connector, fault::unavailable, link::Link,
    names::Names, until::Until,
};
pub use self::{
    options::{Observe, ReadPassword, RedisEvent, RedisNode, RedisOptions, RedisServers, RedisTls},
    proofs::SharedReplayMemory,
};
use super::{Ended, Seen, StoreError, encoding};
use crate::{
    digest::Digest,
    record::{Limits, Record, Which},
    seal::Keys,
    ticket::SessionId,
};

/// Time that a key outlives the last moment at which its session can be used. Processes write times of last use late, and their
/// clocks differ a little.
const SLACK: Duration = Duration::from_secs(120);
/// Calls that one operation on many sessions has in flight.
const AT_ONCE: usize = 32;
/// Number of logins whose state is kept, which bounds what unknown callers can make the server grow by. The state of more logins
/// travels in the browser's cookie.
const LOGINS: u64 = 100_000;
/// Number of ended sessions that the stream names.
const STREAM: u64 = 10_000;
/// Time for which they are named. A process that was away for longer reads every record again anyway.
const STREAMED: Duration = Duration::from_secs(24 * 60 * 60);
/// Time for which a sign-out by the provider is remembered: longer than a login takes from the exchange of its code to its record.
const SIGN_OUT: Duration = Duration::from_secs(600);
/// The algorithm of a sign-out that ends sessions whatever their ID token is signed with.
const ANY: &str = "*";
/// Longest name of a session that is looked up; ours are shorter.
const LONGEST_ID: usize = 64;

/// Keeps sessions in Valkey 8 or newer, or Redis 7 or newer: one server, a primary watched by sentinels, or a cluster.
pub struct RedisStore {
    options: Arc<RedisOptions>,
    keys: Arc<Keys>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    names: Names,
    calls: Arc<Link>,
    /// `WAIT` holds up its connection, so turns have one of their own.
    turns: Link,
    changes: Changes,
    /// Replicas are late for now and are not waited for.
    late: Until,
}

/// Connects once, and checks that the gateway may do what it needs: it reads, runs a script, follows changes. Stores nothing.
/// Returns the name of the servers.
///
/// # Errors
///
/// The servers cannot be reached, or refuse something; the text says what to do.
pub async fn ask_redis(options: RedisOptions) -> Result<String, String> {
    let connector = Connector::new(Arc::new(options));
    let names = Names::new(&connector.options().prefix);
    let servers = connector.options().servers.to_string();
    let limit = connector.options().timeout.max(Duration::from_secs(1)) * 2;
    let asked = async {
        let mut connection = connector.connect().await?;
        let script = scripts::SWEEP.on([names.all()]);
        let swept = script.run(&mut connection).await;
        swept.map_err(|error| connector.describe(&error))?;
        changes::try_tracking(&connector, &names).await
    };
    match tokio::time::timeout(limit, asked).await {
        Ok(asked) => asked.map(|()| servers),
        Err(_) => Err(format!("{servers} cannot be reached: no answer in {}ms", limit.as_millis())),
    }
}

impl RedisStore {
    /// Begins to connect. Calls wait for the first attempt, and fail while there is no connection.
    ///
    /// Must be called within a Tokio runtime.
    pub fn new(
        options: RedisOptions,
        keys: Arc<Keys>,
        limits: Limits,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let options = Arc::new(options);
        let names = Names::new(&options.prefix);
        let connector = Connector::new(Arc::clone(&options));
        let moved = watch::Sender::new(0);
        let link = |purpose| Link::new(connector.clone(), purpose, names.all(), moved.subscribe());
        let (calls, turns) = (Arc::new(link("calls")), link("turns"));
        let changes = Changes::new(connector.clone(), names.clone(), moved);
        Self { options, keys, limits, clock, names, calls, turns, changes, late: Until::past() }
    }

    /// A memory for used DPoP proofs (RFC 9449 §11.1) that the processes share as they share the sessions.
    pub fn replay_memory(&self) -> SharedReplayMemory {
        SharedReplayMemory::new(Arc::clone(&self.calls), self.names.clone())
    }

    /// The keys of a session that its scripts work on.
    fn keys_of(&self, digest: &Digest) -> [String; 2] {
        [self.names.session(digest), self.names.last_seen(digest)]
    }

    fn sealed(&self, digest: &Digest, record: &Record) -> Result<Vec<u8>, StoreError> {
        encoding::seal(&self.keys, digest, record).map_err(|error| unavailable(error.to_string()))
    }

    /// Opens a sealed record. Logs and returns `None` if that fails.
    fn opened(&self, digest: &Digest, sealed: &[u8], last_seen: u64) -> Option<Record> {
        let last_seen = SystemTime::UNIX_EPOCH + Duration::from_millis(last_seen);
        let record = encoding::open(&self.keys, digest, sealed, last_seen);
        if record.is_none() {
            tracing::warn!(
                store = %self.options.servers,
                "skipped a session record that does not open: it is damaged, or its key is gone"
            );
        }
        record
    }

    async fn load_digest(&self, digest: &Digest) -> Result<Option<Record>, StoreError> {
        let script = scripts::LOAD.on(self.keys_of(digest));
        let found: Option<(Vec<u8>, u64)> = self.calls.call("load", script).await?;
        Ok(found.and_then(|(sealed, last_seen)| self.opened(digest, &sealed, last_seen)))
    }

    /// Time until a record can no longer be used, however active, with [`SLACK`].
    fn life_left(&self, record: &Record) -> Duration {
        let age = self.clock.now().duration_since(record.created_at).unwrap_or(Duration::ZERO);
        (self.limits.lifetime + SLACK).saturating_sub(age).max(Duration::from_millis(1))
    }

    /// Time to live of a session that is in use: the expiry then moves only once in half an idle time.
    fn in_use(&self) -> Duration {
        self.limits.idle + self.limits.idle / 2 + SLACK
    }

    /// Enters a session into the indexes of its subject and its provider session.
    async fn index(
        &self,
        digest: &Digest,
        record: &Record,
        left: Duration,
    ) -> Result<(), StoreError> {
        let [one, two] = choices(record);
        let enter = |which: &Digest| {
            let entry = names::member(digest, &record.id);
            let script = scripts::INDEX.on([self.names.index(which)]).arg(entry).arg(millis(left));
            self.calls.call::<()>("index", script)
        };
        try_join!(enter(&one), enter(&two)).map(drop)
    }

    async fn touch_one(&self, seen: &Seen) -> Result<(), StoreError> {
        let script = scripts::TOUCH
            .on(self.keys_of(&seen.ticket))
            .arg(since_epoch(seen.at))
            .arg(since_epoch(self.clock.now()))
            .arg(millis(self.limits.lifetime))
            .arg(millis(self.limits.idle + SLACK))
            .arg(millis(self.in_use()))
            .arg(millis(SLACK));
        let moved: u64 = self.calls.call("touch", script).await?;
        if moved > 0 {
            let entry = names::member(&seen.ticket, &seen.id);
            let script = scripts::PROLONG.on([self.names.all()]).arg(entry).arg(moved);
            self.calls.call::<()>("touch", script).await?;
        }
        Ok(())
    }

    /// The sessions that an index names.
    async fn indexed(
        &self,
        operation: &'static str,
        index: &str,
        last: i64,
    ) -> Result<Vec<(Digest, SessionId)>, StoreError> {
        let range = Command::new("ZRANGE", index).arg(0).arg(last);
        let entries: Vec<String> = self.calls.call(operation, range).await?;
        Ok(entries.iter().filter_map(|entry| names::from_member(entry)).collect())
    }

    /// Ends one session; whether there was a record.
    async fn end_one(&self, digest: &Digest, id: &SessionId) -> Result<bool, StoreError> {
        let [record, last_seen] = self.keys_of(digest);
        let script = scripts::END.on([record, last_seen, self.names.turn(digest)]);
        let found: Option<(String, String)> = self.calls.call("end", script).await?;
        let announced = scripts::ENDED
            .on([self.names.ended()])
            .arg(id.as_str())
            .arg(STREAM)
            .arg(millis(STREAMED));
        // Its deletion reaches the other processes also as a change of its record, so a full server fails no sign-out.
        if let Err(error) = self.calls.call::<()>("end", announced).await {
            tracing::warn!(session = %id, %error, "end of a session not announced");
        }
        let Some((one, two)) = found else { return Ok(false) };
        let entry = names::member(digest, id);
        let take_out =
            |index: String| self.calls.call::<()>("end", Command::new("ZREM", &index).arg(&entry));
        let named = |text: &str| names::digest(text.as_bytes()).unwrap_or_default();
        try_join!(
            take_out(self.names.index(&named(&one))),
            take_out(self.names.index(&named(&two))),
            take_out(self.names.all()),
            self.calls.call::<()>("end", Command::new("DEL", &self.names.id(id))),
        )?;
        Ok(true)
    }

    /// Ends a session of an index, unless its ID token is signed with another algorithm. A record that does not open counts as one
    /// without an algorithm.
    async fn end_signed(
        &self,
        digest: &Digest,
        id: &SessionId,
        signed_with: Option<Algorithm>,
    ) -> Result<Ended, StoreError> {
        let mut ended = Ended::default();
        if signed_with.is_some() {
            let record = self.load_digest(digest).await?;
            if record.is_some_and(|record| !record.ended_by(signed_with)) {
                ended.spared.push(id.clone());
                return Ok(ended);
            }
        }
        if self.end_one(digest, id).await? {
            ended.ids.push(id.clone());
        }
        Ok(ended)
    }

    /// Changes the record of a session that has not ended; with `fence` only one of an earlier generation.
    async fn store(
        &self,
        link: &Link,
        digest: &Digest,
        record: &Record,
        fence: bool,
    ) -> Result<Stored, StoreError> {
        let sealed = self.sealed(digest, record)?;
        let [one, two] = choices(record).map(|which| names::text(&which));
        // First, so that a sign-out never misses the session.
        self.index(digest, record, self.life_left(record)).await?;
        let script = scripts::REPLACE
            .on(self.keys_of(digest))
            .arg(sealed)
            .arg(record.generation)
            .arg(&one)
            .arg(&two)
            .arg(if fence { "fence" } else { "" });
        let reply: Vec<::redis::Value> = link.call("replace", script).await?;
        let stored = Stored::from_reply(reply).map_err(|error| self.misread(&error))?;
        if let Stored::Yes(before) = &stored {
            let entry = names::member(digest, &record.id);
            for gone in before.iter().filter(|before| **before != one && **before != two) {
                let Some(which) = names::digest(gone.as_bytes()) else { continue };
                let index = self.names.index(&which);
                self.calls.call::<()>("index", Command::new("ZREM", &index).arg(&entry)).await?;
            }
        }
        Ok(stored)
    }

    fn misread(&self, error: &dyn fmt::Display) -> StoreError {
        unavailable(format!("{} answered in another form: {error}", self.options.servers))
    }
}

/// Result of storing a changed record.
enum Stored {
    /// It is stored; the digests of its indexes from before.
    Yes([String; 2]),
    /// One of the same generation or a later one is stored: sealed, and the time of its last use.
    Overtaken(Vec<u8>, u64),
    /// The session has ended.
    Ended,
}

impl Stored {
    fn from_reply(reply: Vec<::redis::Value>) -> Result<Self, ::redis::ParsingError> {
        let mut parts = reply.into_iter();
        let mut next = || parts.next().unwrap_or(::redis::Value::Nil);
        Ok(match ::redis::from_redis_value::<u8>(next())? {
            1 => {
                Self::Yes([::redis::from_redis_value(next())?, ::redis::from_redis_value(next())?])
            }
            2 => Self::Overtaken(
                ::redis::from_redis_value(next())?,
                ::redis::from_redis_value(next())?,
            ),
            _ => Self::Ended,
        })
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The digests of the two choices that include a record.
fn choices(record: &Record) -> [Digest; 2] {
    let mut digests = Which::of(record).map(|which| which.digest());
    [digests.next().unwrap_or_default(), digests.next().unwrap_or_default()]
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn since_epoch(time: SystemTime) -> u64 {
    millis(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO))
}
