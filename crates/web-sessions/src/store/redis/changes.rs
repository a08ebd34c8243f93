//! Changes that other processes make: records by the server's invalidations, ended sessions by a stream.
//!
//! Each primary has one connection (RESP3) on which the server names each key of a record that is written, deleted or expires
//! (`CLIENT TRACKING ON BCAST`). A record that was read may be used while all of these connections stand. They are checked every
//! second; the answer to a check comes after all invalidations before it. When one is lost, or the primaries are others, every
//! record is read again before it is used, until all connections stand again.
//!
//! A stream names ended sessions, so that open streams of such a session close. It is read by position, on another connection, and
//! loses nothing to a disconnect as long as its entries are there.

use std::{sync::Arc, time::Duration};

use ::redis::{
    Cmd, FromRedisValue as _, PushInfo, PushKind, Value,
    aio::{AsyncPushSender, MultiplexedConnection, SendError},
    from_redis_value,
};
use futures_util::future::try_join_all;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    connect::{Connection, Connector, Role},
    inbox::Inbox,
    names::Names,
    options::{RedisEvent, RedisNode, RedisServers},
    sentinels,
    until::Until,
};
use crate::{store::Change, ticket::SessionId};

/// Interval between two checks of the connections that track.
const CHECK: Duration = Duration::from_secs(1);
/// Time for which a record may be used without reading it again, although all changes arrive. It bounds what a failure can do that
/// no check finds, such as a primary that was replaced without its and the sentinels' knowledge.
const TRUSTED: Duration = Duration::from_secs(5);
/// Pause after a failed attempt to track.
const PAUSE: Duration = Duration::from_millis(500);
/// Time that one reading of the stream waits for an entry, in milliseconds.
const BLOCK: u64 = 2_000;
/// Entries that one reading of the stream returns.
const ENTRIES: usize = 512;

/// Receives changes.
pub(super) struct Changes {
    inbox: Arc<Inbox>,
    arriving: Arc<Until>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Changes {
    /// Begins to receive. `moved` is increased when sentinels name another primary.
    pub(super) fn new(connector: Connector, names: Names, moved: watch::Sender<u64>) -> Self {
        let (inbox, arriving) = (Arc::new(Inbox::default()), Arc::new(Until::past()));
        let receiver = Receiver {
            connector: connector.clone(),
            names,
            inbox: Arc::clone(&inbox),
            arriving: Arc::clone(&arriving),
        };
        let mut tasks = vec![
            tokio::spawn(receiver.clone().track(moved.subscribe())),
            tokio::spawn(receiver.read_stream(moved.subscribe())),
        ];
        if let RedisServers::Sentinel { .. } = connector.options().servers {
            tasks.push(tokio::spawn(sentinels::follow(connector, moved)));
        }
        let tasks = tasks.into_iter().map(AbortOnDropHandle::new).collect();
        Self { inbox, arriving, _tasks: tasks }
    }

    pub(super) async fn next(&self) -> Change {
        self.inbox.next().await
    }

    pub(super) fn trusted_for(&self) -> Duration {
        match self.arriving.holds() {
            true => TRUSTED,
            false => Duration::ZERO,
        }
    }
}

/// Begins to receive once, to see whether the servers allow it.
pub(super) async fn try_tracking(connector: &Connector, names: &Names) -> Result<(), String> {
    let receiver = Receiver {
        connector: connector.clone(),
        names: names.clone(),
        inbox: Arc::default(),
        arriving: Arc::new(Until::past()),
    };
    receiver.begin().await.map(drop)
}

#[derive(Clone)]
struct Receiver {
    connector: Connector,
    names: Names,
    inbox: Arc<Inbox>,
    arriving: Arc<Until>,
}

impl Receiver {
    async fn track(self, mut moved: watch::Receiver<u64>) {
        let mut reported = None;
        loop {
            moved.mark_unchanged();
            let reason = match self.begin().await {
                Ok(tracked) => {
                    // Again, because a record may have been read and changed before tracking began.
                    self.inbox.push(Change::Missed);
                    self.observe(RedisEvent::ChangesArriving(true));
                    tracing::info!("changes of other processes arrive");
                    let reason = self.hold(&tracked, &mut moved).await;
                    self.arriving.clear();
                    self.inbox.push(Change::Missed);
                    self.observe(RedisEvent::ChangesArriving(false));
                    reported = None;
                    reason
                }
                Err(reason) => {
                    self.observe(RedisEvent::ChangesArriving(false));
                    sleep(PAUSE).await;
                    reason
                }
            };
            if reported.as_ref() != Some(&reason) {
                tracing::warn!(
                    reason,
                    "changes of other processes do not arrive; every session is read before it is used"
                );
                reported = Some(reason);
            }
        }
    }

    async fn begin(&self) -> Result<Tracked, String> {
        let limit = self.connector.options().timeout.max(Duration::from_secs(1)) * 2;
        let begun = timeout(limit, async {
            let mut tracked = Tracked { nodes: Vec::new(), topology: None, lost: Arc::default() };
            let primaries = match &self.connector.options().servers {
                RedisServers::Cluster(_) => {
                    let mut cluster = self.connector.connect().await?;
                    let (slots, primaries) = self.slots(&mut cluster).await?;
                    tracked.topology = Some((cluster, slots));
                    primaries
                }
                RedisServers::Single(_) | RedisServers::Sentinel { .. } => {
                    vec![self.connector.primary().await?]
                }
            };
            let access = self.connector.access().await?;
            let pushes = self.pushes(Arc::clone(&tracked.lost));
            for primary in primaries {
                let node = self.connector.tracking(&primary, &access, Arc::clone(&pushes));
                let mut node = node.await?;
                self.turn_on(&primary, &mut node).await?;
                tracked.nodes.push((primary, node));
            }
            Ok(tracked)
        });
        begun.await.unwrap_or_else(|_| {
            Err(format!(
                "{} cannot be reached: no answer in time",
                self.connector.options().servers
            ))
        })
    }

    async fn turn_on(
        &self,
        primary: &RedisNode,
        node: &mut MultiplexedConnection,
    ) -> Result<(), String> {
        let mut command = ::redis::cmd("CLIENT");
        command.arg("TRACKING").arg("ON").arg("BCAST");
        for prefix in [self.names.tracked(), self.names.tracked_entries()] {
            command.arg("PREFIX").arg(prefix);
        }
        let on = command.query_async::<()>(node).await;
        on.map_err(|error| super::fault::describe(&self.connector.at(primary), &error))
    }

    /// Handles what the servers push, without a task in between.
    fn pushes(&self, lost: Arc<Notify>) -> Arc<dyn AsyncPushSender> {
        let (inbox, names) = (Arc::clone(&self.inbox), self.names.clone());
        Arc::new(move |push: PushInfo| -> Result<(), SendError> {
            match push.kind {
                PushKind::Invalidate => invalidated(push.data, &names, &inbox),
                PushKind::Disconnection => lost.notify_one(),
                _ => {}
            }
            Ok(())
        })
    }

    /// Returns the reason when changes arrive no more.
    async fn hold(&self, tracked: &Tracked, moved: &mut watch::Receiver<u64>) -> String {
        let limit = self.connector.options().timeout;
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = tracked.lost.notified() => return "the connection was closed".to_owned(),
                Ok(()) = moved.changed() => return "another server is the primary".to_owned(),
                () = sleep_until(next) => {}
            }
            match timeout(limit, self.check(tracked)).await {
                Ok(Ok(())) => self.arriving.set(CHECK + limit * 2),
                Ok(Err(reason)) => return reason,
                Err(_) => return "no answer in time".to_owned(),
            }
            next = Instant::now() + CHECK;
        }
    }

    async fn check(&self, tracked: &Tracked) -> Result<(), String> {
        let checked = tracked.nodes.iter().map(async |(primary, node)| {
            let reply = ::redis::cmd("ROLE").query_async::<Value>(&mut node.clone()).await;
            match reply.and_then(Role::from_reply) {
                Ok(role) if role.primary => Ok(()),
                Ok(_) => Err(format!("{} is no longer the primary", self.connector.at(primary))),
                Err(error) => Err(super::fault::describe(&self.connector.at(primary), &error)),
            }
        });
        try_join_all(checked).await?;
        if let Some((cluster, before)) = &tracked.topology {
            let (now, _) = self.slots(&mut cluster.clone()).await?;
            if now != *before {
                return Err("slots of the cluster have moved".to_owned());
            }
        }
        Ok(())
    }

    async fn slots(&self, cluster: &mut Connection) -> Result<(Value, Vec<RedisNode>), String> {
        let slots = Connector::slots(cluster, &self.names.all()).await;
        slots.map_err(|error| self.connector.describe(&error))
    }

    fn observe(&self, event: RedisEvent) {
        (self.connector.options().observe)(event);
    }

    /// Reads the stream of ended sessions.
    async fn read_stream(self, mut moved: watch::Receiver<u64>) {
        let mut position = None;
        loop {
            moved.mark_unchanged();
            let failed = self.read_entries(&mut position, &mut moved).await;
            tracing::debug!(reason = failed, "stream of ended sessions interrupted");
            // Another primary may lack entries, and its clock may be behind.
            self.inbox.push(Change::Missed);
            sleep(PAUSE).await;
        }
    }

    async fn read_entries(
        &self,
        position: &mut Option<String>,
        moved: &mut watch::Receiver<u64>,
    ) -> String {
        let limit = self.connector.options().timeout.max(Duration::from_secs(1));
        let mut connection = match timeout(limit, self.connector.connect()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(reason)) => return reason,
            Err(_) => return "no connection in time".to_owned(),
        };
        let key = self.names.ended();
        let mut last = ::redis::cmd("XREVRANGE");
        last.arg(&key).arg("+").arg("-").arg("COUNT").arg(1);
        let last = match timeout(limit, connection.query(&last)).await {
            Ok(Ok(last)) => entries(last).pop().map(|(position, _)| position),
            Ok(Err(error)) => return self.connector.describe(&error),
            Err(_) => return "no answer in time".to_owned(),
        };
        let last = last.unwrap_or_else(|| "0-0".to_owned());
        // Behind the position: entries were lost, and new ones may come before it.
        let behind = position.as_ref().is_none_or(|position| order(&last) < order(position));
        if behind {
            *position = Some(last);
        }
        loop {
            let Some(after) = position.clone() else { return "no position".to_owned() };
            let mut read = ::redis::cmd("XREAD");
            read.arg("COUNT").arg(ENTRIES).arg("BLOCK").arg(BLOCK);
            read.arg("STREAMS").arg(&key).arg(after);
            let found = tokio::select! {
                found = self.read(&mut connection, &read, limit) => found,
                Ok(()) = moved.changed() => return "another server is the primary".to_owned(),
            };
            match found {
                Ok(found) => {
                    for (at, id) in found {
                        self.inbox.push(Change::Ended(SessionId::from_name(id)));
                        *position = Some(at);
                    }
                }
                Err(reason) => return reason,
            }
        }
    }

    async fn read(
        &self,
        connection: &mut Connection,
        command: &Cmd,
        limit: Duration,
    ) -> Result<Vec<(String, String)>, String> {
        let limit = limit + Duration::from_millis(BLOCK);
        match timeout(limit, connection.query(command)).await {
            Ok(Ok(Value::Nil)) => Ok(Vec::new()),
            // One stream: its name, then its entries.
            Ok(Ok(reply)) => {
                let streams = Vec::<(String, Value)>::from_redis_value(reply);
                let streams = streams.map_err(|error| error.to_string())?;
                Ok(streams.into_iter().flat_map(|(_, found)| entries(found)).collect())
            }
            Ok(Err(error)) => Err(self.connector.describe(&error)),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }
}

/// Connections on which the servers name changed keys.
struct Tracked {
    nodes: Vec<(RedisNode, MultiplexedConnection)>,
    /// A cluster's slots as they were when tracking began, and a connection to ask for them.
    topology: Option<(Connection, Value)>,
    lost: Arc<Notify>,
}

/// Passes an invalidation on. One without keys means all of them (`FLUSHALL`).
fn invalidated(data: Vec<Value>, names: &Names, inbox: &Inbox) {
    let keys = data.into_iter().next().unwrap_or(Value::Nil);
    let Ok(Some(keys)) = from_redis_value::<Option<Vec<Vec<u8>>>>(keys) else {
        return inbox.push(Change::Missed);
    };
    for key in keys {
        let record = names.digest_of(&key).map(Change::Record);
        let change = record.or_else(|| names.entry_of(&key).map(Change::Entry));
        inbox.push(change.unwrap_or(Change::Missed));
    }
}

/// Positions and names of entries.
fn entries(reply: Value) -> Vec<(String, String)> {
    let entries = Vec::<(String, Vec<String>)>::from_redis_value(reply).unwrap_or_default();
    entries
        .into_iter()
        .map(|(at, fields)| (at, fields.into_iter().nth(1).unwrap_or_default()))
        .collect()
}

/// A position as numbers.
fn order(position: &str) -> (u64, u64) {
    let (time, number) = position.split_once('-').unwrap_or((position, "0"));
    (time.parse().unwrap_or(0), number.parse().unwrap_or(0))
}
