//! Follows what other processes change in a shared store.
//!
//! A session that ended elsewhere ends here at once, with its streams. A record that changed is read again by the next request,
//! or now if the session has streams. The record under a stream is read again also when its trust is over, so that an end whose
//! notice was lost reaches it too. A store that does not answer ends no session and no stream.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::pending,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, sleep_until};

use super::{Closed, LiveSession, Sessions, maintenance::TICK, refresh::jitter};
use crate::{key_ring::ApiKeys, store::Change};

/// Number of records that are read at once.
const READS: usize = 32;
/// Pause before the next attempt when the store did not answer.
const AWAY: Duration = Duration::from_millis(300);

/// Sessions with streams whose record must be read.
#[derive(Default)]
struct Due {
    sessions: VecDeque<Weak<LiveSession>>,
}

impl Sessions {
    /// Follows the changes in a shared store until it is dropped; without a shared store there are none.
    pub(super) async fn follow(&self) -> Infallible {
        let Some(shared) = self.store.shared() else { return pending().await };
        let _following = self.near.follow();
        let _followed = self.api_keys.as_deref().map(Followed::begin);
        let mut due = Due::default();
        let mut reads = FuturesUnordered::new();
        let mut change = shared.next_change();
        let mut next_round = Instant::now() + TICK;
        loop {
            while reads.len() < READS
                && let Some(session) = due.next()
            {
                reads.push(self.read_again(session));
            }
            tokio::select! {
                arrived = &mut change => {
                    self.take(arrived, &mut due);
                    change = shared.next_change();
                }
                Some(answered) = reads.next() => {
                    if !answered {
                        // The others would wait for the same store.
                        due.sessions.clear();
                        next_round = Instant::now() + AWAY.mul_f64(jitter(0.75, 1.25));
                    }
                }
                () = sleep_until(next_round) => {
                    next_round = Instant::now() + TICK;
                    if due.sessions.is_empty() {
                        let now = self.clock.now();
                        let sessions = self.all().into_iter();
                        due.add(sessions.filter(|session| !session.is_trusted(now)));
                    }
                }
            }
        }
    }

    fn take(&self, change: Change, due: &mut Due) {
        match change {
            Change::Ended(id) => self.deny(&id),
            Change::Entry(name) => {
                if let Some(keys) = &self.api_keys {
                    keys.changed(&name);
                }
            }
            Change::Record(digest) => {
                self.unknown.invalidate(&digest);
                due.add(self.near.changed(&digest));
            }
            Change::Missed => {
                self.unknown.invalidate_all();
                if let Some(keys) = &self.api_keys {
                    keys.missed();
                }
                due.sessions.clear();
                due.add(self.near.missed());
            }
        }
    }

    /// Reads the record of a session unless that has been done meanwhile; `false` if the store did not answer.
    async fn read_again(&self, session: Arc<LiveSession>) -> bool {
        // The first result may be that of a read which had ended when the change arrived.
        for _ in 0..2 {
            if session.ended().is_cancelled() || session.is_trusted(self.clock.now()) {
                return true;
            }
            let present = session.present_now();
            match self.reading(&present.ticket, present.digest).await {
                Err(Closed::Failed(_)) => return false,
                Err(Closed::Nothing) => return true,
                Ok(_) => {}
            }
        }
        true
    }
}

/// API keys learn of changes until this is dropped.
struct Followed<'k>(&'k ApiKeys);

impl<'k> Followed<'k> {
    fn begin(keys: &'k ApiKeys) -> Self {
        keys.follow(true);
        Self(keys)
    }
}

impl Drop for Followed<'_> {
    fn drop(&mut self) {
        self.0.follow(false);
    }
}

impl Due {
    /// Adds those that have streams.
    fn add(&mut self, sessions: impl IntoIterator<Item = Arc<LiveSession>>) {
        let streaming = sessions.into_iter().filter(|session| session.streaming());
        self.sessions.extend(streaming.map(|session| Arc::downgrade(&session)));
    }

    fn next(&mut self) -> Option<Arc<LiveSession>> {
        std::iter::from_fn(|| self.sessions.pop_front()).find_map(|session| session.upgrade())
    }
}
