mod sizes;
mod streams;
mod turns;

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use futures_util::{FutureExt as _, future::join_all};
use tokio::sync::{Notify, Semaphore};

use super::{state::PAUSE, *};
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
    /// Bytes that the access token has beside its number.
    padding: AtomicUsize,
    clock: Arc<MovableClock>,
}

impl Provider {
    /// `open`: it answers at once.
    fn new(clock: &Arc<MovableClock>, open: bool) -> Arc<Self> {
        Arc::new(Self {
            asked: AtomicUsize::new(0),
            asked_now: Notify::new(),
            answers: Semaphore::new(if open { Semaphore::MAX_PERMITS } else { 0 }),
            error: Mutex::default(),
            subject: Mutex::new("alice"),
            padding: AtomicUsize::new(0),
            clock: Arc::clone(clock),
        })
    }

    fn renew(self: &Arc<Self>) -> Arc<Renew> {
        let asked = Arc::clone(self);
        Arc::new(move |record| {
            let provider = Arc::clone(&asked);
            async move { provider.grant(record).await }.boxed()
        })
    }

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
            access_token: format!("access-{time}{}", "x".repeat(self.padding.load(SeqCst))).into(),
            refresh_token: Some(format!("refresh-{time}").into()),
            access_expires_at: oidc_core::Clock::now(&*self.clock) + LIFE,
            ..(*record).clone()
        })
    }
}

const LIFE: Duration = Duration::from_secs(300);

struct Fixture {
    clock: Arc<MovableClock>,
    provider: Arc<Provider>,
    store: Arc<Faulty>,
    sessions: Arc<Sessions>,
    _directory: tempfile::TempDir,
}

impl Fixture {
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
        let provider = Provider::new(&clock, open);
        let limits = Limits::new(LIFE * 50, LIFE * 100);
        let sessions = Sessions::new(Arc::clone(&store) as _, limits, Arc::clone(&clock) as _);
        let sessions = Arc::new(sessions.with_renew(provider.renew()));
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
        timeout(Duration::from_secs(30), waiting).await.expect("timed out");
    }
}

fn down() -> Option<RenewError> {
    Some(RenewError::unavailable("connection refused"))
}

#[tokio::test]
async fn a_young_token_is_left_alone() {
    let fixture = Fixture::new(true);
    let (_, session) = fixture.signed_in().await;
    fixture.clock.advance(LIFE / 2);
    assert_eq!(fixture.sessions.fresh(&session).await, Ok(Freshness::Current));
    assert_eq!(fixture.provider.asked(), 0);
}

#[tokio::test]
async fn an_ageing_token_is_refreshed_while_requests_go_on() {
    let fixture = Fixture::new(false);
    let (ticket, session) = fixture.signed_in().await;
    fixture.clock.advance(LIFE - Duration::from_secs(30));
    for _ in 0..50 {
        assert_eq!(fixture.sessions.fresh(&session).await, Ok(Freshness::Current));
    }
    fixture.idle_until(|| fixture.provider.asked() == 1).await;
    assert_eq!(session.record().access_token.expose(), "access-token");
    fixture.provider.answers.add_permits(1);
    fixture.idle_until(|| session.record().generation == 1).await;
    assert_eq!(session.record().access_token.expose(), "access-1");
    let stored = super::super::SessionStore::load(&*fixture.store, &ticket).await.unwrap().unwrap();
    assert_same(&stored, &session.record());
    assert_eq!(fixture.sessions.fresh(&session).await, Ok(Freshness::Current));
    assert_eq!(fixture.provider.asked(), 1);
}

#[tokio::test]
async fn a_hundred_requests_on_an_expired_token_make_one_refresh() {
    for count in [50, 100] {
        let fixture = Fixture::new(false);
        let (ticket, session) = fixture.signed_in().await;
        fixture.clock.advance(LIFE);
        let requests = (0..count).map(|_| {
            let (sessions, ticket) = (Arc::clone(&fixture.sessions), ticket.clone());
            tokio::spawn(async move {
                let session = sessions.open(&ticket).await.unwrap().unwrap();
                sessions.fresh(&session).await
            })
        });
        let requests: Vec<_> = requests.collect();
        fixture.idle_until(|| fixture.provider.asked() == 1).await;
        fixture.provider.answers.add_permits(count);
        for outcome in join_all(requests).await {
            assert!(matches!(outcome.unwrap(), Ok(Freshness::Renewed | Freshness::Current)));
        }
        assert_eq!(fixture.provider.asked(), 1);
        assert_eq!(session.record().access_token.expose(), "access-1");
        assert_eq!(fixture.sessions.fresh(&session).await, Ok(Freshness::Current));
    }
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_cancel_the_refresh() {
    let fixture = Fixture::new(false);
    let (_, session) = fixture.signed_in().await;
    fixture.clock.advance(LIFE);
    let (sessions, live) = (Arc::clone(&fixture.sessions), Arc::clone(&session));
    let first = tokio::spawn(async move { sessions.fresh(&live).await });
    fixture.idle_until(|| fixture.provider.asked() == 1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let second = fixture.sessions.fresh(&session);
    fixture.provider.answers.add_permits(1);
    assert_eq!(second.await, Ok(Freshness::Renewed));
    assert_eq!(fixture.provider.asked(), 1);
}

#[tokio::test]
async fn a_refused_refresh_ends_the_session() {
    let fixture = Fixture::new(true);
    let (ticket, session) = fixture.signed_in().await;
    fixture.clock.advance(LIFE);
    fixture.provider.fail(Some(RenewError::refused("invalid_grant: reuse")));
    let error = fixture.sessions.fresh(&session).await.unwrap_err();
    assert!(error.session_ended(), "{error}");
    assert!(session.ended().is_cancelled());
    assert!(fixture.sessions.open(&ticket).await.unwrap().is_none());
    let stored = super::super::SessionStore::load(&*fixture.store, &ticket).await.unwrap();
    assert!(stored.is_none());
}

#[tokio::test]
async fn tokens_with_another_subject_end_the_session() {
    let fixture = Fixture::new(true);
    let (_, session) = fixture.signed_in().await;
    fixture.clock.advance(LIFE);
    *fixture.provider.subject.lock().unwrap() = "mallory";
    assert!(fixture.sessions.fresh(&session).await.unwrap_err().session_ended());
    assert_eq!(session.known().subject, "alice");
}

#[tokio::test(start_paused = true)]
async fn a_session_survives_a_provider_outage_within_the_grace() {
    let fixture = Fixture::new(true);
    let (ticket, session) = fixture.signed_in().await;
    fixture.provider.fail(down());
    fixture.clock.advance(LIFE);
    let until = session.record().access_expires_at + Duration::from_secs(60);
    assert_eq!(fixture.sessions.fresh(&session).await, Ok(Freshness::Grace { until }));
    fixture.clock.advance(Duration::from_secs(60));
    let error = fixture.sessions.fresh(&session).await.unwrap_err();
    assert!(!error.session_ended());
    assert!(matches!(error, RenewError::Unavailable { retry_after, .. } if !retry_after.is_zero()));
    assert!(fixture.sessions.open(&ticket).await.unwrap().is_some());

    fixture.provider.fail(None);
    tokio::time::advance(PAUSE).await;
    assert_eq!(fixture.sessions.fresh(&session).await, Ok(Freshness::Renewed));
}

#[tokio::test(start_paused = true)]
async fn retries_to_an_unavailable_provider_are_spaced() {
    let fixture = Fixture::new(true);
    let (_, session) = fixture.signed_in().await;
    fixture.provider.fail(down());
    fixture.clock.advance(LIFE - Duration::from_secs(5));
    for _ in 0..600 {
        assert_eq!(fixture.sessions.fresh(&session).await, Ok(Freshness::Current));
        fixture.idle_until(|| session.refreshing().running.is_none()).await;
        tokio::time::advance(Duration::from_millis(500)).await;
    }
    // In five minutes: a few quick attempts, then about one every half minute.
    assert!((8..=25).contains(&fixture.provider.asked()), "{}", fixture.provider.asked());
}

#[tokio::test(start_paused = true)]
async fn a_hanging_provider_delays_a_request_by_ten_seconds() {
    let fixture = Fixture::new(false);
    let (_, session) = fixture.signed_in().await;
    fixture.clock.advance(LIFE);
    let began = Instant::now();
    assert!(matches!(fixture.sessions.fresh(&session).await, Ok(Freshness::Grace { .. })));
    assert_eq!(began.elapsed().as_secs(), WAIT.as_secs());
    // Later requests do not wait again for the same answer.
    let began = Instant::now();
    assert!(matches!(fixture.sessions.fresh(&session).await, Ok(Freshness::Grace { .. })));
    assert!(began.elapsed() < Duration::from_secs(1));
    tokio::time::advance(GRANT).await;
    fixture.idle_until(|| session.refreshing().running.is_none()).await;
    assert!(!session.ended().is_cancelled());
    assert_eq!(fixture.provider.asked(), 1);
}

#[tokio::test]
async fn without_a_refresh_token_a_session_ends_with_its_access_token() {
    let fixture = Fixture::new(true);
    let now = oidc_core::Clock::now(&*fixture.clock);
    let record = record(now).with_refresh_token(None);
    let (ticket, session) = fixture.sessions.create(record).await.unwrap();
    fixture.clock.advance(LIFE - Duration::from_secs(1));
    assert_eq!(fixture.sessions.fresh(&session).await, Ok(Freshness::Current));
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.sessions.fresh(&session).await, Err(RenewError::NoRefreshToken));
    assert!(fixture.sessions.open(&ticket).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn new_tokens_are_stored_before_use_and_requested_once() {
    let fixture = Fixture::new(true);
    let (ticket, session) = fixture.signed_in().await;
    fixture.clock.advance(LIFE + Duration::from_secs(120));
    fixture.store.down(true);
    let error = fixture.sessions.fresh(&session).await.unwrap_err();
    assert!(matches!(error, RenewError::Store(_)) && !error.session_ended());
    assert_eq!(session.record().access_token.expose(), "access-token");

    fixture.store.down(false);
    tokio::time::advance(PAUSE).await;
    assert_eq!(fixture.sessions.fresh(&session).await, Ok(Freshness::Renewed));
    assert_eq!(fixture.provider.asked(), 1);
    let stored = super::super::SessionStore::load(&*fixture.store, &ticket).await.unwrap().unwrap();
    assert_eq!(stored.access_token.expose(), "access-1");
}

#[tokio::test]
async fn a_logout_during_a_refresh_wins() {
    let fixture = Fixture::new(false);
    let (ticket, session) = fixture.signed_in().await;
    fixture.clock.advance(LIFE);
    let (sessions, live) = (Arc::clone(&fixture.sessions), Arc::clone(&session));
    let request = tokio::spawn(async move { sessions.fresh(&live).await });
    fixture.idle_until(|| fixture.provider.asked() == 1).await;
    fixture.sessions.end(session.id()).await.unwrap();
    fixture.provider.answers.add_permits(1);
    assert_eq!(request.await.unwrap(), Err(RenewError::Ended));
    assert!(super::super::SessionStore::load(&*fixture.store, &ticket).await.unwrap().is_none());
}

#[tokio::test]
async fn old_tickets_of_the_cookie_store_get_the_new_tokens() {
    let fixture = Fixture::cookie(keys());
    let (old, session) = fixture.signed_in().await;
    fixture.clock.advance(LIFE);
    assert_eq!(fixture.sessions.fresh(&session).await, Ok(Freshness::Renewed));
    let new = session.newer_ticket(&old).unwrap();
    assert!(session.newer_ticket(&new).is_none());
    for ticket in [&old, &new] {
        let opened = fixture.sessions.open(ticket).await.unwrap().unwrap();
        assert!(Arc::ptr_eq(&opened, &session));
        assert_eq!(opened.record().access_token.expose(), "access-1");
        assert_eq!(fixture.sessions.fresh(&opened).await, Ok(Freshness::Current));
    }
    assert_eq!(fixture.provider.asked(), 1);
}

#[tokio::test]
async fn an_explicit_refresh_is_not_repeated_at_once() {
    let fixture = Fixture::new(true);
    let (_, session) = fixture.signed_in().await;
    fixture.clock.advance(Duration::from_secs(60));
    assert_eq!(fixture.sessions.renew_now(&session).await, Ok(Freshness::Renewed));
    assert_eq!(fixture.sessions.renew_now(&session).await, Ok(Freshness::Current));
    assert_eq!(fixture.provider.asked(), 1);
}

#[tokio::test]
async fn a_refresh_keeps_the_fields_of_the_gateway() {
    let fixture = Fixture::new(true);
    let (_, session) = fixture.signed_in().await;
    let before = session.record();
    fixture.clock.advance(LIFE);
    fixture.sessions.fresh(&session).await.unwrap();
    let after = session.record();
    assert_eq!((&after.id, after.created_at), (&before.id, before.created_at));
    assert_eq!(after.renewed_at, oidc_core::Clock::now(&*fixture.clock));
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
