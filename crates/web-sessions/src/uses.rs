//! Last use of each application by each user, for programs that stop what is unused.
//!
//! Kept in memory, and longer than the sessions: a user may have left hours ago. A session remembers its own entries, so that a
//! request takes no lock unless it is the session's first to an application.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::SystemTime,
};

use access_policy::Known;
use arc_swap::ArcSwap;
use serde::Serialize;

use crate::{
    moment::{from_nanos, nanos},
    record::rfc3339,
};

/// Number of pairs of user and application that are remembered. Those of open sessions are kept in any case.
const CAPACITY: usize = 50_000;

/// The use of one application by one user, through all their sessions in this process.
#[derive(Debug)]
pub struct Use {
    key: Key,
    user: Option<String>,
    /// nanoseconds since 1970
    last: AtomicU64,
    streams: AtomicUsize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    issuer: String,
    subject: String,
    application: String,
}

/// Last use of one application by one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastUse {
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// `sub`
    pub subject: String,
    /// The name that the user signs in with.
    pub user: Option<String>,
    /// The route's name.
    pub route: String,
    /// Time of the last activity.
    #[serde(serialize_with = "rfc3339")]
    pub last_activity: SystemTime,
    /// Whole seconds since then.
    pub idle_seconds: u64,
    /// Number of open streams.
    pub streams: usize,
}

/// The known uses of applications.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastUses {
    /// Beginning of the process: earlier activity is unknown.
    #[serde(serialize_with = "rfc3339")]
    pub since: SystemTime,
    /// The uses, the latest first.
    pub activity: Vec<LastUse>,
}

/// The uses that a session has begun.
#[derive(Debug, Default)]
pub(crate) struct OwnUses(ArcSwap<Vec<Arc<Use>>>);

/// The uses by all users.
#[derive(Debug)]
pub(crate) struct Uses {
    since: SystemTime,
    all: Mutex<HashMap<Key, Arc<Use>>>,
}

/// An open stream of a use.
#[derive(Debug)]
pub struct OpenUse(Arc<Use>);

impl Use {
    /// Notes activity at this time.
    pub(crate) fn note(&self, nanos: u64) {
        self.last.fetch_max(nanos, Relaxed);
    }

    /// Counts a stream until the guard is dropped.
    pub fn open(self: &Arc<Self>) -> OpenUse {
        self.streams.fetch_add(1, Relaxed);
        OpenUse(Arc::clone(self))
    }

    fn last_use(&self, now: SystemTime) -> LastUse {
        let Key { issuer, subject, application } = self.key.clone();
        let last_activity = from_nanos(self.last.load(Relaxed));
        LastUse {
            issuer,
            subject,
            user: self.user.clone(),
            route: application,
            last_activity,
            idle_seconds: now.duration_since(last_activity).unwrap_or_default().as_secs(),
            streams: self.streams.load(Relaxed),
        }
    }
}

impl OwnUses {
    /// Applies `note` to the use of an application, and begins it in `all` if this session has not used the application before.
    pub(crate) fn of<T>(
        &self,
        application: &str,
        all: &Uses,
        known: impl FnOnce() -> Arc<Known>,
        note: impl FnOnce(&Arc<Use>) -> T,
    ) -> T {
        if let Some(found) = self.0.load().iter().find(|own| own.key.application == application) {
            return note(found);
        }
        let begun = all.begin(&known(), application);
        self.0.rcu(|own| {
            let mut own = Vec::clone(own);
            if !own.iter().any(|own| own.key.application == application) {
                own.push(Arc::clone(&begun));
            }
            own
        });
        note(&begun)
    }
}

impl Uses {
    /// Those of a process that began at this time.
    pub(crate) fn new(since: SystemTime) -> Self {
        Self { since, all: Mutex::default() }
    }

    /// All uses, as they are `now`.
    pub(crate) fn list(&self, now: SystemTime) -> LastUses {
        let mut activity: Vec<LastUse> =
            self.lock().values().map(|used| used.last_use(now)).collect();
        activity.sort_unstable_by_key(|used| std::cmp::Reverse(used.last_activity));
        LastUses { since: self.since, activity }
    }

    fn begin(&self, known: &Known, application: &str) -> Arc<Use> {
        let key = Key {
            issuer: known.issuer.clone(),
            subject: known.subject.clone(),
            application: application.to_owned(),
        };
        let mut uses = self.lock();
        if let Some(used) = uses.get(&key) {
            return Arc::clone(used);
        }
        if uses.len() >= CAPACITY {
            forget_oldest(&mut uses, CAPACITY / 10);
        }
        let begun = Arc::new(Use {
            key: key.clone(),
            user: known.preferred_username.clone(),
            last: AtomicU64::new(nanos(SystemTime::UNIX_EPOCH)),
            streams: AtomicUsize::new(0),
        });
        uses.insert(key, Arc::clone(&begun));
        begun
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Use>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the oldest uses that no open session holds.
fn forget_oldest(uses: &mut HashMap<Key, Arc<Use>>, count: usize) {
    let free = uses.values().filter(|used| Arc::strong_count(used) == 1);
    let mut ages: Vec<u64> = free.map(|used| used.last.load(Relaxed)).collect();
    ages.sort_unstable();
    let Some(&newest) = ages.get(count.min(ages.len()).saturating_sub(1)) else { return };
    uses.retain(|_, used| Arc::strong_count(used) > 1 || used.last.load(Relaxed) > newest);
}

impl Drop for OpenUse {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fixtures::person;

    fn at(seconds: u64) -> u64 {
        seconds * 1_000_000_000
    }

    fn time(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn uses() -> Uses {
        Uses::new(time(1))
    }

    fn touch(own: &OwnUses, all: &Uses, application: &str, seconds: u64) {
        own.of(
            application,
            all,
            || Arc::new(person("main", "alice")),
            |used| {
                used.note(at(seconds));
            },
        );
    }

    #[test]
    fn sessions_of_a_user_share_the_use_of_an_application() {
        let (all, laptop, phone) = (uses(), OwnUses::default(), OwnUses::default());
        touch(&laptop, &all, "lab", 5);
        touch(&phone, &all, "lab", 9);
        touch(&phone, &all, "lab", 7);
        touch(&phone, &all, "dashboard", 6);
        drop((laptop, phone));
        let LastUses { since, activity: listed } = all.list(time(20));
        assert_eq!(since, time(1));
        let seen: Vec<_> = listed.iter().map(|used| (&*used.route, used.last_activity)).collect();
        assert_eq!(seen, [("lab", time(9)), ("dashboard", time(6))]);
        assert_eq!(listed[0].user.as_deref(), Some("alice-name"));
        let json = serde_json::to_value(&listed[0]).unwrap();
        assert_eq!(json["idle_seconds"], 11);
        assert_eq!(json["last_activity"], "1970-01-01T00:00:09Z");
    }

    #[test]
    fn open_streams_are_counted_until_they_end() {
        let (all, own) = (uses(), OwnUses::default());
        let open =
            |own: &OwnUses| own.of("lab", &all, || Arc::new(person("main", "alice")), Use::open);
        let (first, second) = (open(&own), open(&OwnUses::default()));
        assert_eq!(all.list(time(20)).activity[0].streams, 2);
        drop((first, second));
        assert_eq!(all.list(time(20)).activity[0].streams, 0);
    }

    #[test]
    fn the_oldest_uses_make_room_but_those_of_open_sessions_stay() {
        let (all, open) = (uses(), OwnUses::default());
        touch(&open, &all, "held", 1);
        for number in 0..CAPACITY as u64 {
            touch(&OwnUses::default(), &all, &format!("route-{number}"), 10 + number);
        }
        let listed = all.list(time(20)).activity;
        assert!(listed.len() <= CAPACITY);
        let has = |name: &str| listed.iter().any(|used| used.route == name);
        assert!(has("held") && has(&format!("route-{}", CAPACITY - 1)) && !has("route-0"));
    }
}
