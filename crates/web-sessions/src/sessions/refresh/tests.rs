use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use futures_util::{FutureExt as _, future::join_all};
use tokio::sync::{Notify, Semaphore};

use super::*;
use crate::{
    fixtures::*,
    record::Limits,
    seal::Keys,
    store::{CookieStore, EmbeddedStore},
    ticket::Ticket,
};

/// A provider that answers when the test allows it, with the answer that the test sets.
struct Provider {
    asked: AtomicUsize,
    asked_now: Notify,
    answers: Semaphore,
    error: Mutex<Option<RenewError>>,
    subject: Mutex<&'static str>,
    clock: Arc<MovableClock>,
}

impl Provider {
    fn fail(&self, error: Option<RenewError>) {
        *self.error.lock().unwrap() = error;
    }

    fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    async fn grant(&self, record: Arc<Record>) -> Result<Record, RenewError> {
        let time = self.asked.fetch_add(1, SeqCst) + 1;
        self.asked_now.notify_waiters();
        let _permit = self.answers.acquire().await.unwrap();
        if let Some(error) = self.error.lock().unwrap().clone() {
            return Err(error);
        }
        Ok(Record {
            known: Arc::new(person("main", *self.subject.lock().unwrap())),
            access_token: format!("access-{time}").into(),
            refresh_token: Some(format!("refresh-{time}").into()),
            access_expires_at: oidc_core::Clock::now(&*self.clock) + LIFE,
            ..(*record).clone()
        })
    }
}

const LIFE: Duration = Duration::from_secs(300);

struct World {
    clock: Arc<MovableClock>,
    provider: Arc<Provider>,
    store: Arc<Faulty>,
    sessions: Arc<Sessions>,
    _directory: tempfile::TempDir,
}

impl World {
    /// `open`: the provider answers at once.
    fn new(open: bool) -> Self {
        let directory = tempfile::TempDir::new().unwrap();
        let store = EmbeddedStore::open(&directory.path().join("s.redb"), keys()).unwrap();
        Self::with(Faulty::new(store), MovableClock::new(), directory, open)
    }

    fn cookie(keys: Arc<Keys>) -> Self {
        let clock = MovableClock::new();
        let store = CookieStore::new(keys, LIFE * 100, Arc::clone(&clock) as _);
        Self::with(Faulty::new(store), clock, tempfile::TempDir::new().unwrap(), true)
    }

    fn with(
        store: Arc<Faulty>,
        clock: Arc<MovableClock>,
        _directory: tempfile::TempDir,
        open: bool,
    ) -> Self {
        let provider = Arc::new(Provider {
            asked: AtomicUsize::new(0),
            asked_now: Notify::new(),
            answers: Semaphore::new(if open { Semaphore::MAX_PERMITS } else { 0 }),
            error: Mutex::default(),
            subject: Mutex::new("alice"),
            clock: Arc::clone(&clock),
        });
        let limits = Limits::new(LIFE * 50, LIFE * 100);
        let asked = Arc::clone(&provider);
        let renew: Arc<Renew> = Arc::new(move |record| {
            let provider = Arc::clone(&asked);
            async move { provider.grant(record).await }.boxed()
        });
        let sessions = Sessions::new(Arc::clone(&store) as _, limits, Arc::clone(&clock) as _);
        let sessions = Arc::new(sessions.with_renew(renew));
        Self { clock, provider, store, sessions, _directory }
    }

    async fn signed_in(&self) -> (Ticket, Arc<LiveSession>) {
        let now = oidc_core::Clock::now(&*self.clock);
        self.sessions.create(record(now)).await.unwrap()
    }

    /// Waits for another task; a store may wait for its disk meanwhile.
    async fn idle_until(&self, done: impl Fn() -> bool) {
        let waiting = async {
            while !done() {
                tokio::task::spawn_blocking(|| ()).await.unwrap();
            }
        };
        timeout(Duration::from_secs(30), waiting).await.expect("did not happen");
    }
}

fn down() -> Option<RenewError> {
    Some(RenewError::unavailable("connection refused"))
}

#[tokio::test]
async fn a_young_token_is_left_alone() {
    let world = World::new(true);
    let (_, session) = world.signed_in().await;
    world.clock.advance(LIFE / 2);
    assert_eq!(world.sessions.fresh(&session).await, Ok(Freshness::Current));
    assert_eq!(world.provider.asked(), 0);
}

#[tokio::test]
async fn an_ageing_token_is_refreshed_while_requests_go_on() {
    let world = World::new(false);
    let (ticket, session) = world.signed_in().await;
    world.clock.advance(LIFE - Duration::from_secs(30));
    for _ in 0..50 {
        assert_eq!(world.sessions.fresh(&session).await, Ok(Freshness::Current));
    }
    world.idle_until(|| world.provider.asked() == 1).await;
    assert_eq!(session.record().access_token.expose(), "access-token");
    world.provider.answers.add_permits(1);
    world.idle_until(|| session.record().generation == 1).await;
    assert_eq!(session.record().access_token.expose(), "access-1");
    let stored = super::super::SessionStore::load(&*world.store, &ticket).await.unwrap().unwrap();
    assert_same(&stored, &session.record());
    assert_eq!(world.sessions.fresh(&session).await, Ok(Freshness::Current));
    assert_eq!(world.provider.asked(), 1);
}

#[tokio::test]
async fn a_hundred_requests_on_an_expired_token_make_one_refresh() {
    for count in [50, 100] {
        let world = World::new(false);
        let (ticket, session) = world.signed_in().await;
        world.clock.advance(LIFE);
        let requests = (0..count).map(|_| {
            let (sessions, ticket) = (Arc::clone(&world.sessions), ticket.clone());
            tokio::spawn(async move {
                let session = sessions.open(&ticket).await.unwrap().unwrap();
                sessions.fresh(&session).await
            })
        });
        let requests: Vec<_> = requests.collect();
        world.idle_until(|| world.provider.asked() == 1).await;
        world.provider.answers.add_permits(count);
        for outcome in join_all(requests).await {
            assert!(matches!(outcome.unwrap(), Ok(Freshness::Renewed | Freshness::Current)));
        }
        assert_eq!(world.provider.asked(), 1);
        assert_eq!(session.record().access_token.expose(), "access-1");
        assert_eq!(world.sessions.fresh(&session).await, Ok(Freshness::Current));
    }
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_cancel_the_refresh() {
    let world = World::new(false);
    let (_, session) = world.signed_in().await;
    world.clock.advance(LIFE);
    let (sessions, live) = (Arc::clone(&world.sessions), Arc::clone(&session));
    let first = tokio::spawn(async move { sessions.fresh(&live).await });
    world.idle_until(|| world.provider.asked() == 1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let second = world.sessions.fresh(&session);
    world.provider.answers.add_permits(1);
    assert_eq!(second.await, Ok(Freshness::Renewed));
    assert_eq!(world.provider.asked(), 1);
}

#[tokio::test]
async fn a_refused_refresh_ends_the_session() {
    let world = World::new(true);
    let (ticket, session) = world.signed_in().await;
    world.clock.advance(LIFE);
    world.provider.fail(Some(RenewError::refused("invalid_grant: reuse")));
    let error = world.sessions.fresh(&session).await.unwrap_err();
    assert!(error.session_ended(), "{error}");
    assert!(session.ended().is_cancelled());
    assert!(world.sessions.open(&ticket).await.unwrap().is_none());
    let stored = super::super::SessionStore::load(&*world.store, &ticket).await.unwrap();
    assert!(stored.is_none());
}

#[tokio::test]
async fn tokens_of_somebody_else_end_the_session() {
    let world = World::new(true);
    let (_, session) = world.signed_in().await;
    world.clock.advance(LIFE);
    *world.provider.subject.lock().unwrap() = "mallory";
    assert!(world.sessions.fresh(&session).await.unwrap_err().session_ended());
    assert_eq!(session.known().subject, "alice");
}

#[tokio::test(start_paused = true)]
async fn while_the_provider_is_down_the_session_stays_for_a_grace_and_returns() {
    let world = World::new(true);
    let (ticket, session) = world.signed_in().await;
    world.provider.fail(down());
    world.clock.advance(LIFE);
    let until = session.record().access_expires_at + Duration::from_secs(60);
    assert_eq!(world.sessions.fresh(&session).await, Ok(Freshness::Grace { until }));
    world.clock.advance(Duration::from_secs(60));
    let error = world.sessions.fresh(&session).await.unwrap_err();
    assert!(!error.session_ended());
    assert!(matches!(error, RenewError::Unavailable { retry_after, .. } if !retry_after.is_zero()));
    assert!(world.sessions.open(&ticket).await.unwrap().is_some());

    world.provider.fail(None);
    tokio::time::advance(PAUSE).await;
    assert_eq!(world.sessions.fresh(&session).await, Ok(Freshness::Renewed));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_down_is_not_hammered() {
    let world = World::new(true);
    let (_, session) = world.signed_in().await;
    world.provider.fail(down());
    world.clock.advance(LIFE - Duration::from_secs(5));
    for _ in 0..600 {
        assert_eq!(world.sessions.fresh(&session).await, Ok(Freshness::Current));
        world.idle_until(|| session.refreshing().running.is_none()).await;
        tokio::time::advance(Duration::from_millis(500)).await;
    }
    // In five minutes: a few quick attempts, then about one every half minute.
    assert!((8..=25).contains(&world.provider.asked()), "{}", world.provider.asked());
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_costs_a_request_ten_seconds_at_most() {
    let world = World::new(false);
    let (_, session) = world.signed_in().await;
    world.clock.advance(LIFE);
    let began = Instant::now();
    assert!(matches!(world.sessions.fresh(&session).await, Ok(Freshness::Grace { .. })));
    assert_eq!(began.elapsed().as_secs(), WAIT.as_secs());
    // Later requests do not wait again for the same answer.
    let began = Instant::now();
    assert!(matches!(world.sessions.fresh(&session).await, Ok(Freshness::Grace { .. })));
    assert!(began.elapsed() < Duration::from_secs(1));
    tokio::time::advance(GRANT).await;
    world.idle_until(|| session.refreshing().running.is_none()).await;
    assert!(!session.ended().is_cancelled());
    assert_eq!(world.provider.asked(), 1);
}

#[tokio::test]
async fn without_a_refresh_token_a_session_ends_with_its_access_token() {
    let world = World::new(true);
    let now = oidc_core::Clock::now(&*world.clock);
    let record = record(now).with_refresh_token(None);
    let (ticket, session) = world.sessions.create(record).await.unwrap();
    world.clock.advance(LIFE - Duration::from_secs(1));
    assert_eq!(world.sessions.fresh(&session).await, Ok(Freshness::Current));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.sessions.fresh(&session).await, Err(RenewError::NoRefreshToken));
    assert!(world.sessions.open(&ticket).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn new_tokens_are_stored_before_they_are_used_and_never_asked_for_twice() {
    let world = World::new(true);
    let (ticket, session) = world.signed_in().await;
    world.clock.advance(LIFE + Duration::from_secs(120));
    world.store.down(true);
    let error = world.sessions.fresh(&session).await.unwrap_err();
    assert!(matches!(error, RenewError::Store(_)) && !error.session_ended());
    assert_eq!(session.record().access_token.expose(), "access-token");

    world.store.down(false);
    tokio::time::advance(PAUSE).await;
    assert_eq!(world.sessions.fresh(&session).await, Ok(Freshness::Renewed));
    assert_eq!(world.provider.asked(), 1);
    let stored = super::super::SessionStore::load(&*world.store, &ticket).await.unwrap().unwrap();
    assert_eq!(stored.access_token.expose(), "access-1");
}

#[tokio::test]
async fn a_logout_during_a_refresh_wins() {
    let world = World::new(false);
    let (ticket, session) = world.signed_in().await;
    world.clock.advance(LIFE);
    let (sessions, live) = (Arc::clone(&world.sessions), Arc::clone(&session));
    let request = tokio::spawn(async move { sessions.fresh(&live).await });
    world.idle_until(|| world.provider.asked() == 1).await;
    world.sessions.end(session.id()).await.unwrap();
    world.provider.answers.add_permits(1);
    assert_eq!(request.await.unwrap(), Err(RenewError::Ended));
    assert!(super::super::SessionStore::load(&*world.store, &ticket).await.unwrap().is_none());
}

#[tokio::test]
async fn with_the_cookie_store_requests_with_the_old_ticket_get_the_new_tokens() {
    let world = World::cookie(keys());
    let (old, session) = world.signed_in().await;
    world.clock.advance(LIFE);
    assert_eq!(world.sessions.fresh(&session).await, Ok(Freshness::Renewed));
    let new = session.newer_ticket(&old).unwrap();
    assert!(session.newer_ticket(&new).is_none());
    for ticket in [&old, &new] {
        let opened = world.sessions.open(ticket).await.unwrap().unwrap();
        assert!(Arc::ptr_eq(&opened, &session));
        assert_eq!(opened.record().access_token.expose(), "access-1");
        assert_eq!(world.sessions.fresh(&opened).await, Ok(Freshness::Current));
    }
    assert_eq!(world.provider.asked(), 1);
}

#[tokio::test]
async fn a_refresh_asked_for_is_done_once_and_not_again_at_once() {
    let world = World::new(true);
    let (_, session) = world.signed_in().await;
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.sessions.renew_now(&session).await, Ok(Freshness::Renewed));
    assert_eq!(world.sessions.renew_now(&session).await, Ok(Freshness::Current));
    assert_eq!(world.provider.asked(), 1);
}

#[tokio::test]
async fn a_session_with_only_a_stream_keeps_fresh_tokens() {
    let world = World::new(true);
    let (_, session) = world.signed_in().await;
    let (_, unused) = world.signed_in().await;
    let stream = session.hold();
    world.clock.advance(LIFE - Duration::from_secs(5));
    world.sessions.tend().await;
    world.idle_until(|| session.record().generation == 1).await;
    assert_eq!(unused.record().generation, 0);
    drop(stream);
    world.clock.advance(LIFE - Duration::from_secs(5));
    world.sessions.tend().await;
    assert_eq!(world.provider.asked(), 1);
}

#[tokio::test]
async fn with_the_cookie_store_a_stream_goes_when_only_a_request_could_tell() {
    let world = World::cookie(keys());
    let (_, session) = world.signed_in().await;
    let _stream = session.hold();
    let closed = session.renewals().notified();
    world.clock.advance(LIFE + world.sessions.grace() - Duration::from_secs(1));
    world.sessions.tend().await;
    assert!(!world.sessions.is_unconfirmed(&session));
    world.clock.advance(Duration::from_secs(1));
    world.sessions.tend().await;
    assert!(world.sessions.is_unconfirmed(&session));
    closed.now_or_never().expect("the streams were not told");
    assert_eq!(world.sessions.fresh(&session).await, Ok(Freshness::Renewed));
    assert!(!world.sessions.is_unconfirmed(&session));
}

#[tokio::test]
async fn a_store_that_keeps_records_has_sessions_confirmed_beside_requests() {
    let world = World::new(false);
    let (_, session) = world.signed_in().await;
    world.clock.advance(LIFE * 3);
    assert!(!world.sessions.is_unconfirmed(&session));
}

#[tokio::test]
async fn a_refresh_keeps_what_is_the_gateways() {
    let world = World::new(true);
    let (_, session) = world.signed_in().await;
    let before = session.record();
    world.clock.advance(LIFE);
    world.sessions.fresh(&session).await.unwrap();
    let after = session.record();
    assert_eq!((&after.id, after.created_at), (&before.id, before.created_at));
    assert_eq!(after.renewed_at, oidc_core::Clock::now(&*world.clock));
    assert_eq!(after.generation, 1);
}

#[test]
fn refreshes_of_sessions_that_began_together_are_spread() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let due = |life: u64| {
        let expires = now + Duration::from_secs(life);
        let record = Record { access_expires_at: expires, ..record(now) };
        expires.duration_since(due_at(&record)).unwrap().as_secs_f64()
    };
    let ahead: Vec<f64> = (0..200).map(|_| due(300)).collect();
    assert!(ahead.iter().all(|ahead| (54.0..=66.0).contains(ahead)));
    let spread = ahead.iter().fold(f64::MIN, |a, b| a.max(*b))
        - ahead.iter().fold(f64::MAX, |a, b| a.min(*b));
    assert!(spread > 6.0, "{spread}");
    assert!((9.0..=11.0).contains(&due(30)));
    // A token that lives for seconds is not refreshed continuously.
    assert!(due(8) <= 4.0);
}
