mod answers;
mod providers;
mod replicas;
mod unknown;

use std::sync::atomic::Ordering::SeqCst;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use oidc_core::token::Algorithm;

use super::*;
use crate::{
    fixtures::*,
    store::{CookieStore, EmbeddedStore},
};
use crate::{record::Which, store::Ended};

const IDLE: Duration = Duration::from_secs(3600);
const LIFETIME: Duration = Duration::from_secs(12 * 3600);

struct Fixture {
    clock: Arc<MovableClock>,
    store: Arc<Faulty>,
    sessions: Arc<Sessions>,
    _directory: tempfile::TempDir,
}

impl Fixture {
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
    let fixture = Fixture::embedded();
    let (ticket, session) = fixture.signed_in().await;
    drop(session);
    let cold = fixture.restarted();
    let opened = join_all((0..100).map(|_| cold.open(&ticket))).await;
    let opened: Vec<_> = opened.into_iter().map(|opened| opened.unwrap().unwrap()).collect();
    assert_eq!(fixture.store.loads.load(SeqCst), 1);
    assert!(opened.iter().all(|session| Arc::ptr_eq(session, &opened[0])));
    assert!(Arc::ptr_eq(&cold.cached(&ticket).unwrap(), &opened[0]));
}

#[tokio::test]
async fn two_tickets_of_one_session_share_it() {
    let fixture = Fixture::cookie();
    let (first, session) = fixture.signed_in().await;
    let second = fixture.store.replace(&first, &session.record()).await.unwrap().unwrap();
    assert_ne!(first.expose(), second.expose());
    let cold = fixture.restarted();
    let one = cold.open(&first).await.unwrap().unwrap();
    let two = cold.open(&second).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&one, &two));
    assert_eq!(cold.count(), 1);
}

#[tokio::test]
async fn a_planted_ticket_or_name_is_never_adopted() {
    for fixture in [Fixture::embedded(), Fixture::cookie()] {
        let planted = Ticket::random();
        assert!(fixture.sessions.open(&planted).await.unwrap().is_none());
        let record = lasting(fixture.clock.now());
        let planted_id = record.id.clone();
        let (ticket, session) = fixture.sessions.create(record.clone()).await.unwrap();
        let (again, other) = fixture.sessions.create(record).await.unwrap();
        assert_ne!(ticket.expose(), planted.expose());
        assert_ne!(ticket.expose(), again.expose());
        assert!(session.id() != other.id() && *session.id() != planted_id);
        assert!(fixture.sessions.open(&planted).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_session_ends_after_its_idle_time() {
    for fixture in [Fixture::embedded(), Fixture::cookie()] {
        let (ticket, session) = fixture.signed_in().await;
        for _ in 0..3 {
            fixture.pass(IDLE - Duration::from_secs(1));
            assert!(fixture.sessions.cached(&ticket).is_some());
        }
        // `peek` does not count as use.
        fixture.pass(IDLE - Duration::from_secs(1));
        assert!(fixture.sessions.peek(&ticket).await.unwrap().is_some());
        fixture.pass(Duration::from_secs(1));
        assert!(fixture.sessions.cached(&ticket).is_none());
        assert!(fixture.sessions.open(&ticket).await.unwrap().is_none());
        assert!(session.ended().is_cancelled());
        // Setting the clock back does not restore it.
        fixture.clock.turn_back(IDLE);
        assert!(fixture.sessions.open(&ticket).await.unwrap().is_none());
        let stored = fixture.store.load(&ticket).await.unwrap();
        assert_eq!(stored.is_some(), !fixture.store.keeps_records(), "a ticket that is the record");
    }
}

#[tokio::test]
async fn a_spent_ticket_does_not_end_its_successor() {
    let fixture = Fixture::cookie();
    let (old, session) = fixture.signed_in().await;
    let record = session.record();
    fixture.pass(IDLE - Duration::from_secs(1));
    // Another process made a newer ticket meanwhile.
    let newer = Record { last_seen: fixture.clock.now(), generation: 1, ..Record::clone(&record) };
    let newer = CookieStore::new(keys(), LIFETIME, Arc::clone(&fixture.clock) as Arc<dyn Clock>)
        .create(&newer)
        .await
        .unwrap();
    fixture.pass(Duration::from_secs(2));
    assert!(fixture.sessions.open(&old).await.unwrap().is_none());
    assert!(fixture.sessions.open(&newer).await.unwrap().is_some());
    assert!(fixture.sessions.open(&old).await.unwrap().is_none(), "still over");
    fixture.sessions.end(session.id()).await.unwrap();
    assert!(fixture.sessions.open(&newer).await.unwrap().is_none(), "signed out");
}

#[tokio::test]
async fn a_session_ends_with_its_lifetime_however_active() {
    let fixture = Fixture::embedded();
    let (ticket, session) = fixture.signed_in().await;
    for _ in 0..23 {
        fixture.pass(IDLE / 2);
        assert!(fixture.sessions.open(&ticket).await.unwrap().is_some());
    }
    let ends = fixture.sessions.ends(&session);
    assert_eq!(ends.lifetime_at, fixture.clock.now() + IDLE / 2);
    assert_eq!(ends.idle_at, fixture.clock.now() + IDLE);
    fixture.pass(IDLE / 2);
    assert!(fixture.sessions.open(&ticket).await.unwrap().is_none());
}

#[tokio::test]
async fn a_clock_that_is_set_back_ends_no_session() {
    let fixture = Fixture::embedded();
    let (ticket, _session) = fixture.signed_in().await;
    fixture.clock.turn_back(Duration::from_secs(7200));
    assert!(fixture.sessions.cached(&ticket).is_some());
    assert!(fixture.restarted().open(&ticket).await.unwrap().is_some());
}

#[tokio::test]
async fn last_use_is_stored_and_survives_a_restart() {
    let fixture = Fixture::embedded();
    let (ticket, session) = fixture.signed_in().await;
    fixture.pass(IDLE - Duration::from_secs(60));
    for _ in 0..1000 {
        assert!(fixture.sessions.cached(&ticket).is_some());
    }
    fixture.sessions.flush().await.unwrap();
    fixture.sessions.flush().await.unwrap();
    let touches = fixture.store.touches.lock().unwrap().clone();
    assert_eq!(touches, [(session.id().clone(), fixture.clock.now())]);
    fixture.pass(IDLE - Duration::from_secs(60));
    assert!(fixture.restarted().open(&ticket).await.unwrap().is_some());
}

#[tokio::test]
async fn last_use_that_failed_to_store_is_stored_later() {
    let fixture = Fixture::embedded();
    let (ticket, session) = fixture.signed_in().await;
    fixture.pass(Duration::from_secs(60));
    assert!(fixture.sessions.cached(&ticket).is_some());
    fixture.store.down(true);
    fixture.sessions.flush().await.unwrap_err();
    fixture.store.down(false);
    fixture.sessions.flush().await.unwrap();
    let touches = fixture.store.touches.lock().unwrap().clone();
    assert_eq!(touches, [(session.id().clone(), fixture.clock.now())]);
}

#[tokio::test]
async fn use_gives_a_new_ticket_of_the_cookie_store() {
    let fixture = Fixture::cookie();
    let (ticket, session) = fixture.signed_in().await;
    assert!(session.newer_ticket(&ticket).is_none());
    fixture.pass(IDLE / 2);
    assert!(fixture.sessions.cached(&ticket).is_some());
    fixture.sessions.fresh(&session).await.unwrap();
    let newer = session.newer_ticket(&ticket).unwrap();
    fixture.pass(IDLE * 3 / 4);
    let elsewhere = Fixture::cookie();
    elsewhere.pass(fixture.clock.now().duration_since(elsewhere.clock.now()).unwrap());
    assert!(elsewhere.sessions.open(&newer).await.unwrap().is_some());
}

#[tokio::test]
async fn an_unavailable_store_ends_no_session() {
    let fixture = Fixture::embedded();
    let (ticket, _session) = fixture.signed_in().await;
    let cold = fixture.restarted();
    fixture.store.down(true);
    assert!(matches!(cold.open(&ticket).await, Err(StoreError::Unavailable { .. })));
    // An open session stays open.
    assert!(fixture.sessions.open(&ticket).await.unwrap().is_some());
    assert!(cold.ready().await.is_err());
    fixture.store.down(false);
    assert!(cold.open(&ticket).await.unwrap().is_some());
}

#[tokio::test]
async fn a_login_that_cannot_be_stored_is_an_error() {
    let fixture = Fixture::embedded();
    fixture.store.down(true);
    assert!(fixture.sessions.create(lasting(fixture.clock.now())).await.is_err());
    assert_eq!(fixture.sessions.count(), 0);
}

#[tokio::test]
async fn a_session_that_ended_stays_ended() {
    for fixture in [Fixture::embedded(), Fixture::cookie()] {
        let (ticket, session) = fixture.signed_in().await;
        let stream = session.hold();
        fixture.sessions.end(session.id()).await.unwrap();
        assert!(stream.session().ended().is_cancelled());
        assert!(fixture.sessions.cached(&ticket).is_none());
        assert!(fixture.sessions.open(&ticket).await.unwrap().is_none());
        assert_eq!(fixture.sessions.fresh(&session).await, Err(RenewError::Ended));
        fixture.sessions.active(&session);
        fixture.sessions.flush().await.unwrap();
        assert!(fixture.restarted().open(&ticket).await.unwrap().is_none());
        assert!(fixture.sessions.list(10).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_logout_counts_at_once_even_when_the_store_fails() {
    let fixture = Fixture::embedded();
    let (ticket, session) = fixture.signed_in().await;
    fixture.store.down(true);
    assert!(fixture.sessions.end(session.id()).await.is_err());
    assert!(session.ended().is_cancelled());
    fixture.store.down(false);
    assert!(fixture.sessions.open(&ticket).await.unwrap().is_none());
}

#[tokio::test]
async fn a_logout_ends_the_session_for_streams_that_outlive_the_cache() {
    let fixture = Fixture::embedded();
    let (ticket, session) = fixture.signed_in().await;
    let stream = session.hold();
    drop(session);
    fixture.sessions.opened.invalidate_all();
    // Opened again for another request, it is the same session.
    let again = fixture.sessions.open(&ticket).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&again, stream.session()));
    fixture.sessions.end(again.id()).await.unwrap();
    assert!(stream.session().ended().is_cancelled());
}

#[tokio::test]
async fn the_provider_ends_sessions_in_memory_and_in_the_store() {
    let which = Which::ProviderSession { issuer: "main".to_owned(), sid: "sid-1".to_owned() };
    for fixture in [Fixture::embedded(), Fixture::cookie()] {
        let (one, live) = fixture.signed_in().await;
        let (two, _) = fixture.signed_in().await;
        let other = lasting(fixture.clock.now()).with_provider_session(Some("sid-2".to_owned()));
        let (three, _) = fixture.sessions.create(other).await.unwrap();
        let ended = fixture.sessions.end_matching(&which).await.unwrap();
        assert_eq!(ended.len(), 2);
        assert!(live.ended().is_cancelled());
        for sessions in [&fixture.sessions, &fixture.restarted()] {
            assert!(sessions.open(&one).await.unwrap().is_none());
            assert!(sessions.open(&two).await.unwrap().is_none());
            assert!(sessions.open(&three).await.unwrap().is_some());
        }
    }
}

#[tokio::test]
async fn a_logout_token_with_another_algorithm_ends_nothing() {
    let which = Which::ProviderSession { issuer: "main".to_owned(), sid: "sid-1".to_owned() };
    for fixture in [Fixture::embedded(), Fixture::cookie()] {
        let (ticket, live) = fixture.signed_in().await;
        let ended = fixture.sessions.end_signed(&which, Some(Algorithm::ES256)).await.unwrap();
        assert_eq!(ended, Ended { ids: Vec::new(), spared: vec![live.id().clone()] });
        assert!(!live.ended().is_cancelled());
        for sessions in [&fixture.sessions, &fixture.restarted()] {
            assert!(sessions.open(&ticket).await.unwrap().is_some());
        }
        let ended = fixture.sessions.end_signed(&which, Some(Algorithm::RS256)).await.unwrap();
        assert_eq!(ended, Ended { ids: vec![live.id().clone()], spared: Vec::new() });
        assert!(live.ended().is_cancelled());
        for sessions in [&fixture.sessions, &fixture.restarted()] {
            assert!(sessions.open(&ticket).await.unwrap().is_none());
        }
    }
}

#[tokio::test]
async fn an_administrator_sees_all_sessions() {
    let fixture = Fixture::embedded();
    let (ticket, session) = fixture.signed_in().await;
    fixture.signed_in().await;
    fixture.pass(Duration::from_secs(60));
    assert!(fixture.sessions.cached(&ticket).is_some());
    let listed = fixture.sessions.list(10).await.unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0].id, *session.id());
    assert_eq!(listed[0].last_seen, fixture.clock.now());
    assert_eq!(listed[0].name, "alice-name");
    assert_eq!(fixture.sessions.list(1).await.unwrap().len(), 1);
    let shown = serde_json::to_string(&listed).unwrap();
    assert!(!shown.contains("token") && !shown.contains(ticket.expose()));
}

#[tokio::test]
async fn maintenance_ends_expired_sessions() {
    let fixture = Fixture::embedded();
    let (_, idle) = fixture.signed_in().await;
    let short = Record {
        refresh_token: None,
        access_expires_at: fixture.clock.now() + Duration::from_secs(300),
        ..record(fixture.clock.now())
    };
    let (_, unrenewable) = fixture.sessions.create(short).await.unwrap();
    fixture.sessions.check().await;
    assert!(!idle.ended().is_cancelled() && !unrenewable.ended().is_cancelled());
    fixture.pass(Duration::from_secs(300));
    fixture.sessions.check().await;
    assert!(!idle.ended().is_cancelled() && unrenewable.ended().is_cancelled());
    fixture.pass(IDLE);
    fixture.sessions.check().await;
    assert!(idle.ended().is_cancelled());
}

#[tokio::test]
async fn shutdown_stores_the_times_of_last_use() {
    let fixture = Fixture::embedded();
    let (ticket, _session) = fixture.signed_in().await;
    let shutdown = CancellationToken::new();
    let kept = tokio::spawn(Arc::clone(&fixture.sessions).maintain(shutdown.clone()));
    tokio::task::yield_now().await;
    fixture.pass(Duration::from_secs(60));
    assert!(fixture.sessions.cached(&ticket).is_some());
    shutdown.cancel();
    kept.await.unwrap();
    assert_eq!(fixture.store.touches.lock().unwrap().last().unwrap().1, fixture.clock.now());
}
