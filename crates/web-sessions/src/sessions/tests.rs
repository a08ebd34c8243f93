use std::sync::atomic::Ordering::SeqCst;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    fixtures::*,
    store::{CookieStore, EmbeddedStore},
};

const IDLE: Duration = Duration::from_secs(3600);
const LIFETIME: Duration = Duration::from_secs(12 * 3600);

struct World {
    clock: Arc<MovableClock>,
    store: Arc<Faulty>,
    sessions: Arc<Sessions>,
    _directory: tempfile::TempDir,
}

impl World {
    fn embedded() -> Self {
        let directory = tempfile::TempDir::new().unwrap();
        let store = EmbeddedStore::open(&directory.path().join("s.redb"), keys()).unwrap();
        Self::with(Faulty::new(store), MovableClock::new(), directory)
    }

    fn cookie() -> Self {
        let clock = MovableClock::new();
        let store = CookieStore::new(keys(), LIFETIME, Arc::clone(&clock) as Arc<dyn Clock>);
        Self::with(Faulty::new(store), clock, tempfile::TempDir::new().unwrap())
    }

    fn with(store: Arc<Faulty>, clock: Arc<MovableClock>, directory: tempfile::TempDir) -> Self {
        let sessions = sessions(&store, &clock);
        Self { clock, store, sessions, _directory: directory }
    }

    /// The gateway after a restart: the same store, nothing in memory.
    fn restarted(&self) -> Arc<Sessions> {
        sessions(&self.store, &self.clock)
    }

    async fn signed_in(&self) -> (Ticket, Arc<LiveSession>) {
        self.sessions.create(lasting(self.clock.now())).await.unwrap()
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

fn sessions(store: &Arc<Faulty>, clock: &Arc<MovableClock>) -> Arc<Sessions> {
    let (store, clock) = (Arc::clone(store) as _, Arc::clone(clock) as _);
    Arc::new(Sessions::new(store, Limits::new(IDLE, LIFETIME), clock))
}

/// A record whose access token outlives the session.
fn lasting(now: SystemTime) -> Record {
    Record { access_expires_at: now + LIFETIME * 2, ..record(now) }
}

#[tokio::test]
async fn a_session_is_loaded_once_however_many_requests_open_it() {
    let world = World::embedded();
    let (ticket, session) = world.signed_in().await;
    drop(session);
    let cold = world.restarted();
    let opened = join_all((0..100).map(|_| cold.open(&ticket))).await;
    let opened: Vec<_> = opened.into_iter().map(|opened| opened.unwrap().unwrap()).collect();
    assert_eq!(world.store.loads.load(SeqCst), 1);
    assert!(opened.iter().all(|session| Arc::ptr_eq(session, &opened[0])));
    assert!(Arc::ptr_eq(&cold.cached(&ticket).unwrap(), &opened[0]));
}

#[tokio::test]
async fn two_tickets_of_one_session_share_it() {
    let world = World::cookie();
    let (first, session) = world.signed_in().await;
    let second = world.store.replace(&first, &session.record()).await.unwrap().unwrap();
    assert_ne!(first.expose(), second.expose());
    let cold = world.restarted();
    let one = cold.open(&first).await.unwrap().unwrap();
    let two = cold.open(&second).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&one, &two));
    assert_eq!(cold.count(), 1);
}

#[tokio::test]
async fn a_planted_ticket_or_name_is_never_adopted() {
    for world in [World::embedded(), World::cookie()] {
        let planted = Ticket::random();
        assert!(world.sessions.open(&planted).await.unwrap().is_none());
        let record = lasting(world.clock.now());
        let planted_id = record.id.clone();
        let (ticket, session) = world.sessions.create(record.clone()).await.unwrap();
        let (again, other) = world.sessions.create(record).await.unwrap();
        assert_ne!(ticket.expose(), planted.expose());
        assert_ne!(ticket.expose(), again.expose());
        assert!(session.id() != other.id() && *session.id() != planted_id);
        assert!(world.sessions.open(&planted).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_session_ends_when_nobody_uses_it() {
    for world in [World::embedded(), World::cookie()] {
        let (ticket, session) = world.signed_in().await;
        for _ in 0..3 {
            world.pass(IDLE - Duration::from_secs(1));
            assert!(world.sessions.cached(&ticket).is_some());
        }
        // `peek` does not count as use.
        world.pass(IDLE - Duration::from_secs(1));
        assert!(world.sessions.peek(&ticket).await.unwrap().is_some());
        world.pass(Duration::from_secs(1));
        assert!(world.sessions.cached(&ticket).is_none());
        assert!(world.sessions.open(&ticket).await.unwrap().is_none());
        assert!(session.ended().is_cancelled());
        // Setting the clock back does not restore it.
        world.clock.turn_back(IDLE);
        assert!(world.sessions.open(&ticket).await.unwrap().is_none());
        let stored = world.store.load(&ticket).await.unwrap();
        assert_eq!(stored.is_some(), !world.store.keeps_records(), "a ticket that is the record");
    }
}

#[tokio::test]
async fn a_spent_ticket_takes_no_newer_one_with_it() {
    let world = World::cookie();
    let (old, session) = world.signed_in().await;
    let record = session.record();
    world.pass(IDLE - Duration::from_secs(1));
    // Another process made a newer ticket meanwhile.
    let newer = Record { last_seen: world.clock.now(), generation: 1, ..Record::clone(&record) };
    let newer = CookieStore::new(keys(), LIFETIME, Arc::clone(&world.clock) as Arc<dyn Clock>)
        .create(&newer)
        .await
        .unwrap();
    world.pass(Duration::from_secs(2));
    assert!(world.sessions.open(&old).await.unwrap().is_none());
    assert!(world.sessions.open(&newer).await.unwrap().is_some());
    assert!(world.sessions.open(&old).await.unwrap().is_none(), "still over");
    world.sessions.end(session.id()).await.unwrap();
    assert!(world.sessions.open(&newer).await.unwrap().is_none(), "signed out");
}

#[tokio::test]
async fn a_session_ends_with_its_lifetime_however_active() {
    let world = World::embedded();
    let (ticket, session) = world.signed_in().await;
    for _ in 0..23 {
        world.pass(IDLE / 2);
        assert!(world.sessions.open(&ticket).await.unwrap().is_some());
    }
    let ends = world.sessions.ends(&session);
    assert_eq!(ends.lifetime_at, world.clock.now() + IDLE / 2);
    assert_eq!(ends.idle_at, world.clock.now() + IDLE);
    world.pass(IDLE / 2);
    assert!(world.sessions.open(&ticket).await.unwrap().is_none());
}

#[tokio::test]
async fn a_clock_that_is_set_back_ends_no_session() {
    let world = World::embedded();
    let (ticket, _session) = world.signed_in().await;
    world.clock.turn_back(Duration::from_secs(7200));
    assert!(world.sessions.cached(&ticket).is_some());
    assert!(world.restarted().open(&ticket).await.unwrap().is_some());
}

#[tokio::test]
async fn use_is_written_down_and_known_after_a_restart() {
    let world = World::embedded();
    let (ticket, session) = world.signed_in().await;
    world.pass(IDLE - Duration::from_secs(60));
    for _ in 0..1000 {
        assert!(world.sessions.cached(&ticket).is_some());
    }
    world.sessions.flush().await.unwrap();
    world.sessions.flush().await.unwrap();
    let touches = world.store.touches.lock().unwrap().clone();
    assert_eq!(touches, [(session.id().clone(), world.clock.now())]);
    world.pass(IDLE - Duration::from_secs(60));
    assert!(world.restarted().open(&ticket).await.unwrap().is_some());
}

#[tokio::test]
async fn use_that_could_not_be_written_is_written_later() {
    let world = World::embedded();
    let (ticket, session) = world.signed_in().await;
    world.pass(Duration::from_secs(60));
    assert!(world.sessions.cached(&ticket).is_some());
    world.store.down(true);
    world.sessions.flush().await.unwrap_err();
    world.store.down(false);
    world.sessions.flush().await.unwrap();
    let touches = world.store.touches.lock().unwrap().clone();
    assert_eq!(touches, [(session.id().clone(), world.clock.now())]);
}

#[tokio::test]
async fn with_the_cookie_store_a_new_ticket_tells_of_use() {
    let world = World::cookie();
    let (ticket, session) = world.signed_in().await;
    assert!(session.newer_ticket(&ticket).is_none());
    world.pass(IDLE / 2);
    assert!(world.sessions.cached(&ticket).is_some());
    world.sessions.fresh(&session).await.unwrap();
    let newer = session.newer_ticket(&ticket).unwrap();
    world.pass(IDLE * 3 / 4);
    let elsewhere = World::cookie();
    elsewhere.pass(world.clock.now().duration_since(elsewhere.clock.now()).unwrap());
    assert!(elsewhere.sessions.open(&newer).await.unwrap().is_some());
}

#[tokio::test]
async fn a_store_that_is_down_logs_nobody_out() {
    let world = World::embedded();
    let (ticket, _session) = world.signed_in().await;
    let cold = world.restarted();
    world.store.down(true);
    assert!(matches!(cold.open(&ticket).await, Err(StoreError::Unavailable { .. })));
    // An open session stays open.
    assert!(world.sessions.open(&ticket).await.unwrap().is_some());
    assert!(cold.ready().await.is_err());
    world.store.down(false);
    assert!(cold.open(&ticket).await.unwrap().is_some());
}

#[tokio::test]
async fn a_login_that_cannot_be_stored_is_an_error() {
    let world = World::embedded();
    world.store.down(true);
    assert!(world.sessions.create(lasting(world.clock.now())).await.is_err());
    assert_eq!(world.sessions.count(), 0);
}

#[tokio::test]
async fn a_session_that_ended_stays_ended() {
    for world in [World::embedded(), World::cookie()] {
        let (ticket, session) = world.signed_in().await;
        let stream = session.hold();
        world.sessions.end(session.id()).await.unwrap();
        assert!(stream.session().ended().is_cancelled());
        assert!(world.sessions.cached(&ticket).is_none());
        assert!(world.sessions.open(&ticket).await.unwrap().is_none());
        assert_eq!(world.sessions.fresh(&session).await, Err(RenewError::Ended));
        world.sessions.seen(&session);
        world.sessions.flush().await.unwrap();
        assert!(world.restarted().open(&ticket).await.unwrap().is_none());
        assert!(world.sessions.list(10).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_logout_counts_at_once_even_when_the_store_fails() {
    let world = World::embedded();
    let (ticket, session) = world.signed_in().await;
    world.store.down(true);
    assert!(world.sessions.end(session.id()).await.is_err());
    assert!(session.ended().is_cancelled());
    world.store.down(false);
    assert!(world.sessions.open(&ticket).await.unwrap().is_none());
}

#[tokio::test]
async fn a_logout_ends_the_session_for_streams_that_outlive_the_cache() {
    let world = World::embedded();
    let (ticket, session) = world.signed_in().await;
    let stream = session.hold();
    drop(session);
    world.sessions.opened.invalidate_all();
    // Opened again for another request, it is the same session.
    let again = world.sessions.open(&ticket).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&again, stream.session()));
    world.sessions.end(again.id()).await.unwrap();
    assert!(stream.session().ended().is_cancelled());
}

#[tokio::test]
async fn the_provider_ends_sessions_in_memory_and_in_the_store() {
    let which = Which::ProviderSession { issuer: "main".to_owned(), sid: "sid-1".to_owned() };
    for world in [World::embedded(), World::cookie()] {
        let (one, live) = world.signed_in().await;
        let (two, _) = world.signed_in().await;
        let other = lasting(world.clock.now()).with_provider_session(Some("sid-2".to_owned()));
        let (three, _) = world.sessions.create(other).await.unwrap();
        let ended = world.sessions.end_matching(&which).await.unwrap();
        assert_eq!(ended.len(), 2);
        assert!(live.ended().is_cancelled());
        for sessions in [&world.sessions, &world.restarted()] {
            assert!(sessions.open(&one).await.unwrap().is_none());
            assert!(sessions.open(&two).await.unwrap().is_none());
            assert!(sessions.open(&three).await.unwrap().is_some());
        }
    }
}

#[tokio::test]
async fn a_logout_token_signed_otherwise_ends_nothing() {
    let which = Which::ProviderSession { issuer: "main".to_owned(), sid: "sid-1".to_owned() };
    for world in [World::embedded(), World::cookie()] {
        let (ticket, live) = world.signed_in().await;
        let ended = world.sessions.end_signed(&which, Some(Algorithm::ES256)).await.unwrap();
        assert_eq!(ended, Ended { ids: Vec::new(), spared: vec![live.id().clone()] });
        assert!(!live.ended().is_cancelled());
        for sessions in [&world.sessions, &world.restarted()] {
            assert!(sessions.open(&ticket).await.unwrap().is_some());
        }
        let ended = world.sessions.end_signed(&which, Some(Algorithm::RS256)).await.unwrap();
        assert_eq!(ended, Ended { ids: vec![live.id().clone()], spared: Vec::new() });
        assert!(live.ended().is_cancelled());
        for sessions in [&world.sessions, &world.restarted()] {
            assert!(sessions.open(&ticket).await.unwrap().is_none());
        }
    }
}

#[tokio::test]
async fn an_administrator_sees_the_sessions_there_are() {
    let world = World::embedded();
    let (ticket, session) = world.signed_in().await;
    world.signed_in().await;
    world.pass(Duration::from_secs(60));
    assert!(world.sessions.cached(&ticket).is_some());
    let listed = world.sessions.list(10).await.unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0].id, *session.id());
    assert_eq!(listed[0].last_seen, world.clock.now());
    assert_eq!(listed[0].name, "alice-name");
    assert_eq!(world.sessions.list(1).await.unwrap().len(), 1);
    let shown = serde_json::to_string(&listed).unwrap();
    assert!(!shown.contains("token") && !shown.contains(ticket.expose()));
}

#[tokio::test]
async fn tending_ends_what_is_over() {
    let world = World::embedded();
    let (_, idle) = world.signed_in().await;
    let short = Record {
        refresh_token: None,
        access_expires_at: world.clock.now() + Duration::from_secs(300),
        ..record(world.clock.now())
    };
    let (_, unrenewable) = world.sessions.create(short).await.unwrap();
    world.sessions.tend().await;
    assert!(!idle.ended().is_cancelled() && !unrenewable.ended().is_cancelled());
    world.pass(Duration::from_secs(300));
    world.sessions.tend().await;
    assert!(!idle.ended().is_cancelled() && unrenewable.ended().is_cancelled());
    world.pass(IDLE);
    world.sessions.tend().await;
    assert!(idle.ended().is_cancelled());
}

#[tokio::test]
async fn stopping_writes_down_what_was_used() {
    let world = World::embedded();
    let (ticket, _session) = world.signed_in().await;
    let shutdown = CancellationToken::new();
    let kept = tokio::spawn(Arc::clone(&world.sessions).keep(shutdown.clone()));
    tokio::task::yield_now().await;
    world.pass(Duration::from_secs(60));
    assert!(world.sessions.cached(&ticket).is_some());
    shutdown.cancel();
    kept.await.unwrap();
    assert_eq!(world.store.touches.lock().unwrap().last().unwrap().1, world.clock.now());
}
