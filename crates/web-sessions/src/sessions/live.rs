//! An opened session, shared by requests, streams and the refresh.
//!
//! There is one [`LiveSession`] per session in the process, whichever ticket opened it. Readers take a snapshot of its record
//! and never wait. Only [`Sessions`](crate::sessions::Sessions) changes it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::SystemTime,
};

use arc_swap::ArcSwap;
use oidc_core::Secret;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    near_cache::MOST_TRUST,
    refresh::{Refreshing, due_at},
};
use crate::{
    digest::Digest,
    moment::{from_nanos, nanos},
    record::{Limits, Record},
    store::Seen,
    ticket::{SessionId, Ticket},
};
use access_policy::Known;

/// A session that is open in this process.
pub struct LiveSession {
    id: SessionId,
    present: ArcSwap<Present>,
    /// nanoseconds since 1970
    last_seen: AtomicU64,
    /// `last_seen` waits to be written to the store.
    unwritten: AtomicBool,
    /// A stream moved `last_seen`; the next flush looks for it.
    stirred: AtomicBool,
    /// A ticket with the present `last_seen` is being made (cookie store).
    resealing: AtomicBool,
    /// Time until which the record may be used without reading it again (shared store); nanoseconds since 1970, 0 for none
    trusted_until: AtomicU64,
    /// Notified when the record has changed in the store (shared store).
    changes: Notify,
    ended: CancellationToken,
    renewals: Notify,
    streams: AtomicUsize,
    refreshing: Mutex<Refreshing>,
}

/// The part of a session that a refresh replaces.
#[derive(Clone)]
pub(super) struct Present {
    pub(super) record: Arc<Record>,
    pub(super) ticket: Ticket,
    pub(super) digest: Digest,
    /// Time at which the next refresh is due.
    pub(super) due_at: SystemTime,
}

impl LiveSession {
    pub(super) fn new(record: Record, ticket: Ticket) -> Self {
        Self {
            id: record.id.clone(),
            last_seen: AtomicU64::new(nanos(record.last_seen)),
            present: ArcSwap::from_pointee(Present::new(record, ticket)),
            unwritten: AtomicBool::new(false),
            stirred: AtomicBool::new(false),
            resealing: AtomicBool::new(false),
            trusted_until: AtomicU64::new(0),
            changes: Notify::new(),
            ended: CancellationToken::new(),
            renewals: Notify::new(),
            streams: AtomicUsize::new(0),
            refreshing: Mutex::default(),
        }
    }

    /// Its public name.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// The record as it is now.
    pub fn record(&self) -> Arc<Record> {
        Arc::clone(&self.present.load().record)
    }

    /// The access token to send. `None` if it has expired and nothing can refresh it.
    pub fn access_token(&self, now: SystemTime) -> Option<Secret> {
        let present = self.present.load();
        let record = &present.record;
        let live = record.refresh_token.is_some() || now < record.access_expires_at;
        live.then(|| record.access_token.clone())
    }

    /// Identity of the person who signed in, as the issuer last stated it.
    pub fn known(&self) -> Arc<Known> {
        Arc::clone(&self.present.load().record.known)
    }

    /// The present ticket.
    pub fn ticket(&self) -> Ticket {
        self.present.load().ticket.clone()
    }

    /// The present ticket, if the browser presented an older one. The answer must then carry it
    /// ([`Cookies::set_session`](crate::Cookies::set_session)).
    pub fn newer_ticket(&self, presented: &Ticket) -> Option<Ticket> {
        let present = self.present.load();
        (present.ticket.expose() != presented.expose()).then(|| present.ticket.clone())
    }

    /// Time of the last request.
    pub fn last_seen(&self) -> SystemTime {
        from_nanos(self.last_seen.load(Relaxed))
    }

    /// Cancelled when the session ends: by logout, by its limits, by the provider. Streams close then.
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Notified when a refresh has brought another record: its identity may have other roles.
    pub fn renewals(&self) -> &Notify {
        &self.renewals
    }

    /// Registers an open stream of this session until the guard is dropped. While one is open, the tokens are refreshed
    /// although no request comes.
    pub fn hold(self: &Arc<Self>) -> StreamGuard {
        self.streams.fetch_add(1, Relaxed);
        StreamGuard { session: Arc::clone(self) }
    }

    /// The record and its ticket.
    pub(super) fn present(&self) -> arc_swap::Guard<Arc<Present>> {
        self.present.load()
    }

    /// The same, to be held across an `await`.
    pub(super) fn present_now(&self) -> Arc<Present> {
        self.present.load_full()
    }

    /// Sets the issuer's identifier in a record of a version that did not store it.
    pub fn complete_issuer(&self, iss: &str) {
        self.present.rcu(|present| {
            if !present.record.known.iss.is_empty() {
                return Arc::clone(present);
            }
            let known = Known { iss: iss.to_owned(), ..Known::clone(&present.record.known) };
            let record = Record { known: Arc::new(known), ..Record::clone(&present.record) };
            Arc::new(Present { record: Arc::new(record), ..Present::clone(present) })
        });
    }

    /// Whether it may still be used.
    pub(super) fn usable(&self, limits: &Limits, now: SystemTime) -> bool {
        !self.ended.is_cancelled() && !self.past(limits, now)
    }

    pub(super) fn past(&self, limits: &Limits, now: SystemTime) -> bool {
        limits.passed(self.present.load().record.created_at, self.last_seen(), now)
    }

    /// Takes a newer record of the same session; ignores an older one.
    pub(super) fn advance(&self, record: Record, ticket: Ticket) {
        self.last_seen.fetch_max(nanos(record.last_seen), Relaxed);
        let newer = Arc::new(Present::new(record, ticket));
        let age = |present: &Present| (present.record.generation, present.record.last_seen);
        self.present.rcu(|present| {
            if age(&newer) > age(present) { Arc::clone(&newer) } else { Arc::clone(present) }
        });
        self.renewals.notify_waiters();
    }

    /// Takes a record of the same ticket that was read from a shared store. Does nothing but keep its time of last use unless it is
    /// newer, so that reading again wakes no stream.
    pub(super) fn meet(&self, record: Record, ticket: Ticket) {
        self.last_seen.fetch_max(nanos(record.last_seen), Relaxed);
        if record.generation > self.present.load().record.generation {
            self.advance(record, ticket);
        }
    }

    /// Whether its record may be used now without reading it again. A trust that would last longer than it can shows a clock that
    /// was set back.
    pub(super) fn is_trusted(&self, now: SystemTime) -> bool {
        let left = self.trusted_until.load(Relaxed).saturating_sub(nanos(now));
        (1..=MOST_TRUST.as_nanos()).contains(&u128::from(left))
    }

    pub(super) fn trust_until(&self, until: SystemTime) {
        self.trusted_until.store(nanos(until), Relaxed);
    }

    /// Has the next request read the record again.
    pub(super) fn distrust(&self) {
        self.trusted_until.store(0, Relaxed);
        self.changes.notify_waiters();
    }

    /// Notified when the record has changed in a shared store.
    pub(super) fn changes(&self) -> &Notify {
        &self.changes
    }

    /// Notes a request. Returns the time of the use before it when the store must be updated and no update is pending.
    pub(super) fn saw(&self, now: SystemTime) -> Option<SystemTime> {
        let before = self.last_seen.fetch_max(nanos(now), Relaxed);
        let first = !self.unwritten.load(Relaxed) && !self.unwritten.swap(true, Relaxed);
        first.then(|| from_nanos(before))
    }

    /// Notes activity on an open stream: atomics only, so that it costs a stream next to nothing.
    pub(super) fn stir(&self, now: SystemTime) {
        self.last_seen.fetch_max(nanos(now), Relaxed);
        if !self.stirred.load(Relaxed) {
            self.stirred.store(true, Relaxed);
        }
    }

    /// Whether a stream was active since the last call.
    pub(super) fn take_stirred(&self) -> bool {
        self.stirred.load(Relaxed) && self.stirred.swap(false, Relaxed)
    }

    /// The time of last use, to be written to the store.
    pub(super) fn take_seen(&self) -> Seen {
        self.unwritten.store(false, Relaxed);
        Seen { id: self.id.clone(), ticket: self.present.load().digest, at: self.last_seen() }
    }

    pub(super) fn streaming(&self) -> bool {
        self.streams.load(Relaxed) > 0
    }

    pub(super) fn refreshing(&self) -> MutexGuard<'_, Refreshing> {
        self.refreshing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets one caller make a new ticket; `None` for the others until it is done.
    pub(super) fn reseal(&self) -> Option<Resealing<'_>> {
        (!self.resealing.swap(true, Relaxed)).then(|| Resealing(&self.resealing))
    }
}

impl fmt::Debug for LiveSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveSession").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Present {
    fn new(record: Record, ticket: Ticket) -> Self {
        Self { due_at: due_at(&record), digest: ticket.digest(), record: Arc::new(record), ticket }
    }
}

/// A new ticket is being made until this is dropped.
pub(super) struct Resealing<'s>(&'s AtomicBool);

impl Drop for Resealing<'_> {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

/// An open stream of a session; see [`LiveSession::hold`].
#[derive(Debug)]
pub struct StreamGuard {
    session: Arc<LiveSession>,
}

impl StreamGuard {
    /// The session whose stream it is.
    pub fn session(&self) -> &Arc<LiveSession> {
        &self.session
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.session.streams.fetch_sub(1, Relaxed);
    }
}
