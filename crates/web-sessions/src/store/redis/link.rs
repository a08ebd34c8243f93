//! Keeps one connection, and gives each call a deadline.
//!
//! A call waits for a connection only while the first attempt after a loss runs. After a failed attempt calls fail at once, until
//! one succeeds. A connection without calls is checked every second, so that a loss is found before a call meets it.
//!
//! A cluster is one connection here, to many servers. It serves the slots of the others while one server hangs, so it is replaced
//! only when another one stands.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ::redis::{FromRedisValue, RedisResult, Value, from_redis_value};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    command::Command,
    connect::{Connection, Connector, Role},
    fault::{self, unavailable},
    options::RedisEvent,
};
use crate::store::StoreError;

/// Calls in flight on one connection; more are refused at once, so that a slow server does not pile up requests here.
const IN_FLIGHT: usize = 512;
/// Interval between two checks of the connection.
const CHECK: Duration = Duration::from_secs(1);
/// Time between two attempts to connect: the first, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Shortest deadline of an attempt to connect, which takes several round trips.
const CONNECT: Duration = Duration::from_secs(1);

/// One connection that calls share.
pub(super) struct Link {
    shared: Arc<Shared>,
    _keeper: AbortOnDropHandle<()>,
}

struct Shared {
    connector: Connector,
    /// Its use, for metrics.
    purpose: &'static str,
    /// A key near which commands without a key run.
    near: String,
    state: watch::Sender<State>,
    permits: Semaphore,
    /// A call found the cluster's connection wanting.
    suspect: Notify,
    /// Number of connections so far.
    made: AtomicU64,
}

#[derive(Clone)]
enum State {
    /// The first attempt since the start or the loss runs.
    Connecting,
    Up(u64, Connection),
    Down(Arc<str>),
}

impl Link {
    /// Begins to connect. `moved` changes when the primary may be another one.
    ///
    /// Must be called within a Tokio runtime.
    pub(super) fn new(
        connector: Connector,
        purpose: &'static str,
        near: String,
        moved: watch::Receiver<u64>,
    ) -> Self {
        let shared = Arc::new(Shared {
            connector,
            purpose,
            near,
            state: watch::Sender::new(State::Connecting),
            permits: Semaphore::new(IN_FLIGHT),
            suspect: Notify::new(),
            made: AtomicU64::new(0),
        });
        let keeper = tokio::spawn(Arc::clone(&shared).keep(moved));
        Self { shared, _keeper: AbortOnDropHandle::new(keeper) }
    }

    /// Sends a call. On a connection that turns out to be lost it is repeated once, within its deadline.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        operation: &'static str,
        command: Command,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let (reply, outcome) = self.shared.call(&command, began).await;
        let event = RedisEvent::Call { operation, outcome, took: began.elapsed() };
        (self.shared.connector.options().observe)(event);
        let parsed = reply?;
        from_redis_value(parsed)
            .map_err(|error| self.shared.failed(&format!("answered in another form: {error}")))
    }
}

impl Shared {
    async fn call(
        &self,
        command: &Command,
        began: Instant,
    ) -> (Result<Value, StoreError>, &'static str) {
        let Ok(_permit) = self.permits.try_acquire() else {
            let reason = format!("has {IN_FLIGHT} calls of this process in flight");
            return (Err(self.failed(&reason)), "refused");
        };
        let mut used = None;
        let limit = self.connector.options().timeout;
        let attempt = timeout_at(began + limit, self.attempt(command, &mut used)).await;
        match attempt {
            Ok(Ok(value)) => (Ok(value), "ok"),
            Ok(Err(error)) => (Err(error), "failed"),
            Err(_) => {
                let reason = format!("gave no answer in {}ms", limit.as_millis());
                if let Some(generation) = used {
                    self.lost(generation, &reason);
                }
                (Err(self.failed(&reason)), "timeout")
            }
        }
    }

    async fn attempt(
        &self,
        command: &Command,
        used: &mut Option<u64>,
    ) -> Result<Value, StoreError> {
        let mut again = true;
        loop {
            let (generation, mut connection) = self.connection().await?;
            *used = Some(generation);
            let error = match command.run(&mut connection).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let reason = self.connector.describe(&error);
            if !fault::breaks(&error) {
                return Err(unavailable(reason));
            }
            *used = None;
            self.lost(generation, &reason);
            // A cluster's connection repeats calls itself.
            let repeats = matches!(connection, Connection::Cluster(_));
            if repeats || !std::mem::replace(&mut again, false) {
                return Err(unavailable(reason));
            }
        }
    }

    async fn connection(&self) -> Result<(u64, Connection), StoreError> {
        let mut states = self.state.subscribe();
        let known = states.wait_for(|state| !matches!(state, State::Connecting)).await;
        match known.as_deref() {
            Ok(State::Up(generation, connection)) => Ok((*generation, connection.clone())),
            Ok(State::Down(reason)) => Err(unavailable(&**reason)),
            Ok(State::Connecting) | Err(_) => Err(self.failed("is not connected")),
        }
    }

    fn lost(&self, generation: u64, reason: &str) {
        if matches!(&*self.state.borrow(), State::Up(_, Connection::Cluster(_))) {
            return self.suspect.notify_one();
        }
        let lost = self.state.send_if_modified(|state| {
            let current = matches!(state, State::Up(known, _) if *known == generation);
            if current {
                *state = State::Connecting;
            }
            current
        });
        if lost {
            tracing::warn!(purpose = self.purpose, reason, "connection to the session store lost");
        }
    }

    /// Makes the connection again whenever it is lost.
    async fn keep(self: Arc<Self>, mut moved: watch::Receiver<u64>) {
        loop {
            moved.mark_unchanged();
            self.connect().await;
            self.watch(&mut moved).await;
        }
    }

    async fn connect(&self) {
        let mut pause = BACK_OFF.0;
        loop {
            match self.fresh().await {
                Ok(connection) => return self.up(connection),
                Err(reason) => self.down(reason),
            }
            // Between half of it and all of it, so that many processes do not come at once.
            sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
            pause = (pause * 2).min(BACK_OFF.1);
        }
    }

    /// A new connection.
    async fn fresh(&self) -> Result<Connection, String> {
        let limit = self.connector.options().timeout.max(CONNECT);
        timeout(limit, self.connector.connect()).await.unwrap_or_else(|_| {
            let servers = &self.connector.options().servers;
            Err(format!("{servers} cannot be reached: no connection in {}ms", limit.as_millis()))
        })
    }

    fn up(&self, connection: Connection) {
        let generation = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        if generation > 1 {
            (self.connector.options().observe)(RedisEvent::Reconnected {
                connection: self.purpose,
            });
            tracing::info!(purpose = self.purpose, "connected to the session store");
        }
        self.state.send_replace(State::Up(generation, connection));
    }

    fn down(&self, reason: String) {
        let before = self.state.send_replace(State::Down(reason.as_str().into()));
        if !matches!(before, State::Down(before) if *before == *reason) {
            tracing::warn!(purpose = self.purpose, reason, "no connection to the session store");
        }
    }

    /// Returns when the connection is lost.
    async fn watch(&self, moved: &mut watch::Receiver<u64>) {
        let mut states = self.state.subscribe();
        loop {
            let (generation, connection) = match &*states.borrow_and_update() {
                State::Up(generation, connection) => (*generation, connection.clone()),
                State::Connecting | State::Down(_) => return,
            };
            tokio::select! {
                _ = states.changed() => {}
                Ok(()) = moved.changed() => self.lost(generation, "another server is the primary"),
                () = self.suspect.notified() => self.replace().await,
                () = sleep(CHECK) => {
                    let limit = self.connector.options().timeout;
                    match timeout(limit, self.check(connection)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(reason)) => self.lost(generation, &reason),
                        Err(_) => self.lost(generation, "no answer in time"),
                    }
                }
            }
        }
    }

    /// Replaces the connection of a cluster. Calls use the former one meanwhile.
    async fn replace(&self) {
        match self.fresh().await {
            Ok(connection) => self.up(connection),
            Err(reason) => self.down(reason),
        }
        // One at a time, however many calls fail.
        sleep(BACK_OFF.1 / 2).await;
    }

    /// Checks that the server still answers, and still may be used.
    async fn check(&self, mut connection: Connection) -> Result<(), String> {
        let checked: RedisResult<Role> = match &connection {
            Connection::Node(_) => {
                let reply = connection.query_near(&self.near, ::redis::cmd("ROLE")).await;
                reply.and_then(Role::from_reply)
            }
            Connection::Cluster(_) => {
                let mut exists = ::redis::cmd("EXISTS");
                exists.arg(&self.near);
                let reply = connection.query(&exists).await;
                reply.map(|_| Role { primary: true, replicas: 0 })
            }
        };
        match checked {
            Ok(role) if self.connector.accepts(role) => Ok(()),
            Ok(_) => Err("the server is no longer the primary".to_owned()),
            Err(error) => Err(self.connector.describe(&error)),
        }
    }

    fn failed(&self, reason: &str) -> StoreError {
        unavailable(format!("{} {reason}", self.connector.options().servers))
    }
}
