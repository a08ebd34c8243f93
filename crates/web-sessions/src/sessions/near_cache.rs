//! Decides how long a record that was read from a shared store may be used without reading it again.
//!
//! A read makes its session trusted for a few seconds, unless a change arrived while it ran: what it returned may then be the old
//! record. A change ends the trust at once. Both happen under one lock, so that a change is never lost between a read and its
//! result.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use crate::{digest::Digest, sessions::LiveSession};

/// The longest time for which a session is trusted, whatever the store says. A clock that was set back further than this is
/// noticed, because the trust then seems to last longer.
pub(super) const MOST_TRUST: Duration = Duration::from_secs(60);

/// Records in use, by the digest of their ticket, and reads in progress.
#[derive(Default)]
pub(super) struct NearCache {
    state: Mutex<State>,
    /// A task takes the changes. Without one, no session is trusted.
    followed: AtomicBool,
}

#[derive(Default)]
struct State {
    live: HashMap<Digest, Weak<LiveSession>>,
    reads: HashMap<Digest, Reads>,
    /// Number of changes so far.
    changes: u64,
    /// Its value when changes were last missed.
    missed: u64,
}

/// The reads in progress of one record.
#[derive(Default)]
struct Reads {
    running: usize,
    /// Number of the last change of the record while they run.
    changed: u64,
}

/// Changes are taken until this is dropped.
pub(super) struct Following<'c>(&'c NearCache);

/// A read in progress, until it is dropped.
pub(super) struct Read<'c> {
    cache: &'c NearCache,
    digest: Digest,
    /// Number of changes when it began.
    began: u64,
}

impl NearCache {
    /// Begins to take the changes.
    pub(super) fn follow(&self) -> Following<'_> {
        self.followed.store(true, Relaxed);
        Following(self)
    }

    /// Begins a read. Call it before the store is asked.
    pub(super) fn begin(&self, digest: Digest) -> Read<'_> {
        let mut state = self.state();
        state.reads.entry(digest).or_default().running += 1;
        Read { cache: self, digest, began: state.changes }
    }

    /// Has changes of this record find the session.
    pub(super) fn join(&self, digest: Digest, session: &Arc<LiveSession>) {
        self.state().live.insert(digest, Arc::downgrade(session));
    }

    /// The session of a ticket, if it is in use.
    pub(super) fn live(&self, digest: &Digest) -> Option<Arc<LiveSession>> {
        self.state().live.get(digest).and_then(Weak::upgrade)
    }

    /// Notes that a record has changed, and returns its session, if it is in use.
    pub(super) fn changed(&self, digest: &Digest) -> Option<Arc<LiveSession>> {
        let mut state = self.state();
        state.changes += 1;
        let number = state.changes;
        if let Some(reads) = state.reads.get_mut(digest) {
            reads.changed = number;
        }
        let session = state.live.get(digest).and_then(Weak::upgrade)?;
        session.distrust();
        Some(session)
    }

    /// Notes that any record may have changed, and returns the sessions in use.
    pub(super) fn missed(&self) -> Vec<Arc<LiveSession>> {
        let mut state = self.state();
        state.changes += 1;
        state.missed = state.changes;
        let sessions: Vec<_> = state.live.values().filter_map(Weak::upgrade).collect();
        sessions.iter().for_each(|session| session.distrust());
        sessions
    }

    /// Removes the sessions that are in use no longer.
    pub(super) fn tidy(&self) {
        self.state().live.retain(|_, session| session.strong_count() > 0);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read<'_> {
    /// Whether a change arrived since it began.
    pub(super) fn is_overtaken(&self) -> bool {
        self.overtaken_in(&self.cache.state())
    }

    /// Trusts the session that was read until this time, unless a change arrived meanwhile.
    pub(super) fn trust(&self, session: &LiveSession, until: SystemTime) {
        let state = self.cache.state();
        if self.cache.followed.load(Relaxed) && !self.overtaken_in(&state) {
            session.trust_until(until);
        }
    }

    fn overtaken_in(&self, state: &State) -> bool {
        let changed = state.reads.get(&self.digest).map_or(0, |reads| reads.changed);
        changed.max(state.missed) > self.began
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        self.0.followed.store(false, Relaxed);
    }
}

impl Drop for Read<'_> {
    fn drop(&mut self) {
        let mut state = self.cache.state();
        if let Some(reads) = state.reads.get_mut(&self.digest) {
            reads.running -= 1;
            if reads.running == 0 {
                state.reads.remove(&self.digest);
            }
        }
    }
}
