//! Opens tickets, once each, and applies the rules that all stores share: the limits, one live session per session, and that an
//! ended session stays ended.

mod maintenance;
mod ending;
mod follow;
mod in_use;
mod listing;
mod live;
mod near_cache;
mod opening;
mod refresh;
mod renew_error;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use oidc_core::Clock;
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;

pub use self::{
    ending::Farewell,
    live::{LiveSession, StreamGuard},
    refresh::{Carry, Freshness, KeepsIdentity, Renew},
    renew_error::RenewError,
};
use self::{near_cache::NearCache, refresh::within};
use crate::{
    digest::Digest,
    key_ring::ApiKeys,
    logouts::Logouts,
    memory::remembered,
    record::{Limits, Record},
    store::{SessionStore, StoreError},
    ticket::{SessionId, Ticket},
    uses::Uses,
};

/// Number of opened sessions kept in memory by default.
const CAPACITY: u64 = 20_000;
/// An opened session that no request used for this long is removed from memory; the store still has it.
const UNUSED: Duration = Duration::from_secs(600);
/// Number of ended sessions that are remembered.
const ENDED: u64 = 200_000;
/// The longest interval between two notes of activity on a stream.
const ACTIVITY: Duration = Duration::from_secs(1);
/// Longest time between the exchange of a code and its session.
const LOGIN: Duration = Duration::from_secs(600);
/// Number of unknown tickets that are remembered.
const UNKNOWN: u64 = 50_000;
/// Time for which an unknown ticket is remembered.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
/// Time for which a result stays for the requests that waited for it.
const OPENING: Duration = Duration::from_secs(1);
/// Number of refreshes that run at once.
const GRANTS: usize = 32;

/// The sessions of this gateway.
pub struct Sessions {
    store: Arc<dyn SessionStore>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    renew: ArcSwapOption<Arc<Renew>>,
    keeps_identity: Option<Arc<KeepsIdentity>>,
    grace: Duration,
    grants: Semaphore,
    /// Opened sessions by ticket, for requests.
    opened: moka::sync::Cache<Digest, Arc<LiveSession>>,
    /// Tickets being opened, so that each is loaded once.
    opening: moka::future::Cache<Digest, Arc<LiveSession>>,
    /// Every session that is in use, by name. A stream may hold one longer than `opened` does.
    live: Mutex<HashMap<SessionId, Weak<LiveSession>>>,
    /// Sessions that ended here, even if the store still has them.
    ended: moka::sync::Cache<SessionId, ()>,
    /// Tickets that have ended although their session may continue, where the ticket is the record.
    spent: moka::sync::Cache<Digest, ()>,
    /// Sign-outs by the provider while logins were in progress.
    logouts: Logouts,
    /// Tickets that the store did not know a moment ago, so that a client that repeats one reads no store. A ticket is random, so
    /// none of them becomes one of a session later.
    unknown: moka::sync::Cache<Digest, ()>,
    /// Sessions used since the last flush.
    unwritten: Mutex<Vec<Arc<LiveSession>>>,
    uses: Uses,
    /// The next flush does not wait for its time.
    flush_soon: Notify,
    /// Other processes use the store too.
    shares: bool,
    /// Records of a shared store, and how long they may be used.
    near: NearCache,
    /// Refreshes in progress.
    refreshes: TaskTracker,
    /// Makes a refresh work for the request that began it.
    carry: Option<Arc<Carry>>,
    /// The API keys in the same store, which learn of its changes.
    api_keys: Option<Arc<ApiKeys>>,
    /// Drops what was made from an ended session.
    farewell: Option<Arc<Farewell>>,
}

/// End times of a session and its access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// End of the session unless a request comes.
    pub idle_at: SystemTime,
    /// End of the session in any case.
    pub lifetime_at: SystemTime,
    /// Expiry of the access token.
    pub token_at: SystemTime,
}

/// Reasons opening a ticket gave no session.
#[derive(Clone)]
enum Closed {
    Nothing,
    Failed(StoreError),
}

impl Sessions {
    /// Sessions kept in `store`.
    pub fn new(store: Arc<dyn SessionStore>, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let began = clock.now();
        Self {
            shares: store.shared().is_some(),
            store,
            limits,
            clock,
            renew: ArcSwapOption::empty(),
            keeps_identity: None,
            grace: Duration::from_secs(60),
            grants: Semaphore::new(GRANTS),
            opened: opened(CAPACITY),
            opening: moka::future::Cache::builder()
                .max_capacity(10_000)
                .time_to_live(OPENING)
                .build(),
            live: Mutex::default(),
            ended: remembered(ENDED, limits.lifetime),
            spent: remembered(ENDED, limits.lifetime),
            logouts: Logouts::new(LOGIN),
            unknown: remembered(UNKNOWN, UNKNOWN_FOR),
            unwritten: Mutex::default(),
            uses: Uses::new(began),
            flush_soon: Notify::new(),
            near: NearCache::default(),
            refreshes: TaskTracker::new(),
            carry: None,
            api_keys: None,
            farewell: None,
        }
    }

    /// With a way to refresh tokens; without one, sessions end with their access token.
    #[must_use]
    pub fn with_renew(self, renew: Arc<Renew>) -> Self {
        self.set_renew(renew);
        self
    }

    /// With a rule for sessions without a refresh token: those that it names keep their identity after their access token has
    /// expired, and end at the limits. Without the rule, they all end with their access token.
    #[must_use]
    pub fn with_identity_kept(self, keeps_identity: Arc<KeepsIdentity>) -> Self {
        Self { keeps_identity: Some(keeps_identity), ..self }
    }

    /// With a wrapper for each refresh, called in the task of the request that begins it: the refresh runs in a task of its own,
    /// which has none of that task's local values, such as a trace.
    #[must_use]
    pub fn with_carry(self, carry: Arc<Carry>) -> Self {
        Self { carry: Some(carry), ..self }
    }

    /// With API keys in the same store: [`maintain`](Self::maintain) has them learn of its changes, and stores their last use.
    #[must_use]
    pub fn with_api_keys(self, api_keys: Arc<ApiKeys>) -> Self {
        Self { api_keys: Some(api_keys), ..self }
    }

    /// Replaces the way to refresh tokens, after the configuration has changed.
    pub fn set_renew(&self, renew: Arc<Renew>) {
        self.renew.store(Some(Arc::new(renew)));
    }

    /// With another grace: the time for which an identity stays valid after its token has expired, while the provider is down.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// With room for another number of opened sessions in memory.
    #[must_use]
    pub fn with_capacity(self, sessions: u64) -> Self {
        Self { opened: opened(sessions), ..self }
    }

    /// The session of a ticket, if it is open already; never waits.
    pub fn cached(&self, ticket: &Ticket) -> Option<Arc<LiveSession>> {
        let now = self.clock.now();
        let session = self.look_up(&ticket.digest(), now)?;
        self.saw(&session, now);
        Some(session)
    }

    /// The session of a ticket; `None` when there is none. A store that does not answer is an error, not the end of a session.
    pub async fn open(&self, ticket: &Ticket) -> Result<Option<Arc<LiveSession>>, StoreError> {
        let session = self.peek(ticket).await?;
        if let Some(session) = &session {
            self.saw(session, self.clock.now());
        }
        Ok(session)
    }

    /// The same as [`open`](Self::open), but not a use of the session.
    pub async fn peek(&self, ticket: &Ticket) -> Result<Option<Arc<LiveSession>>, StoreError> {
        if self.store.keeps_records() && !ticket.names_a_record() {
            return Ok(None);
        }
        let (digest, now) = (ticket.digest(), self.clock.now());
        if let Some(session) = self.look_up(&digest, now) {
            return Ok(Some(session));
        }
        match self.reading(ticket, digest).await {
            Err(Closed::Nothing) => Ok(None),
            Err(Closed::Failed(error)) => Err(error),
            Ok(session) if session.ended().is_cancelled() => Ok(None),
            Ok(session) if session.past(&self.limits, now) => {
                self.end_over(&session).await;
                Ok(None)
            }
            Ok(session) => Ok(Some(session)),
        }
    }

    /// Notes activity on an open stream of a session. Takes no lock: the next flush finds it, as long as the stream holds the
    /// session. Call it at most once in [`activity_interval`](Self::activity_interval), so that a short `idle` is met too.
    pub fn active(&self, session: &LiveSession) {
        let now = self.clock.now();
        self.hurry(session.stir(now), now);
    }

    /// Has the store learn about the activity of a stream that ends. Its session may be held by nothing else until the next flush.
    pub fn settle(&self, session: &Arc<LiveSession>) {
        if session.take_stirred() {
            self.saw(session, session.last_seen());
        }
    }

    /// Interval at which an open stream notes activity: often enough for any `idle`.
    pub fn activity_interval(&self) -> Duration {
        (self.limits.idle / 8).min(ACTIVITY)
    }

    /// Begins a session, always under a new name and a new ticket.
    pub async fn create(&self, record: Record) -> Result<(Ticket, Arc<LiveSession>), StoreError> {
        let now = self.clock.now();
        let record = Record {
            id: SessionId::random(),
            created_at: now,
            last_seen: now,
            renewed_at: now,
            generation: 0,
            ..record
        };
        let ticket = self.store.create(&record).await?;
        let session = self.adopt(record, ticket.clone()).ok_or_else(|| {
            StoreError::Unavailable { reason: "a new session was ended at once".to_owned() }
        })?;
        Ok((ticket, session))
    }

    /// Begins the session of a login whose code was used at `exchanged_at` or later; `None` if the provider has ended that
    /// session since.
    pub async fn create_since(
        &self,
        record: Record,
        exchanged_at: SystemTime,
    ) -> Result<Option<(Ticket, Arc<LiveSession>)>, StoreError> {
        let (ticket, session) = self.create(record).await?;
        // The session is listed now, so that a sign-out finds either it or its place here.
        match self.signed_out_since(&session.record(), exchanged_at).await {
            Ok(false) => Ok(Some((ticket, session))),
            Ok(true) => {
                self.end(session.id()).await?;
                Ok(None)
            }
            // Whether the provider has ended it is not known, so it does not begin.
            Err(error) => {
                self.end_over(&session).await;
                Err(error)
            }
        }
    }

    /// End times of a session.
    pub fn ends(&self, session: &LiveSession) -> Ends {
        let record = session.record();
        Ends {
            idle_at: session.last_seen() + self.limits.idle,
            lifetime_at: record.created_at + self.limits.lifetime,
            token_at: record.access_expires_at,
        }
    }

    /// Whether the store can be used now.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.store.ready().await
    }

    /// Performs one refresh grant; the number of concurrent grants is bounded.
    pub(super) async fn renew(
        &self,
        record: Arc<Record>,
        limit: Duration,
    ) -> Result<Record, RenewError> {
        let renew = self.renew.load_full().ok_or(RenewError::NoRefreshToken)?;
        let Ok(_permit) = self.grants.acquire().await else {
            return Err(RenewError::unavailable("gateway is stopping"));
        };
        within(limit, renew(record)).await
    }

    /// Whether a session lives on without its access token.
    pub(super) fn keeps_identity(&self, record: &Record) -> bool {
        record.refresh_token.is_none()
            && self.keeps_identity.as_ref().is_some_and(|keeps_identity| keeps_identity(record))
    }

    pub(super) fn renews(&self) -> bool {
        self.renew.load().is_some()
    }

    pub(super) fn grace(&self) -> Duration {
        self.grace
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(super) fn store(&self) -> &dyn SessionStore {
        &*self.store
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    fn saw(&self, session: &Arc<LiveSession>, now: SystemTime) {
        let Some(before) = session.saw(now) else { return };
        if self.store.keeps_records() {
            self.unwritten().push(Arc::clone(session));
        }
        self.hurry(before, now);
    }

    /// Has the time of a use stored at once that came late in the idle time: another process would take the session for idle before
    /// the next regular flush.
    fn hurry(&self, before: SystemTime, now: SystemTime) {
        if self.shares && now.duration_since(before).is_ok_and(|idle| idle > self.limits.idle / 2) {
            self.flush_soon.notify_one();
        }
    }

    fn all(&self) -> Vec<Arc<LiveSession>> {
        self.live().values().filter_map(Weak::upgrade).collect()
    }

    fn live(&self) -> MutexGuard<'_, HashMap<SessionId, Weak<LiveSession>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unwritten(&self) -> MutexGuard<'_, Vec<Arc<LiveSession>>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("store", &self.store)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

fn opened(capacity: u64) -> moka::sync::Cache<Digest, Arc<LiveSession>> {
    moka::sync::Cache::builder().max_capacity(capacity).time_to_idle(UNUSED).build()
}

#[cfg(test)]
mod tests;
