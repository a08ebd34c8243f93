//! Sessions of several processes over one server.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use oidc_core::Clock as _;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use web_sessions::{
    Freshness, Limits, LiveSession, Record, RedisServers, Renew, RenewError, Sessions, TURN,
    Ticket, shared_store_conforms,
    testing::{MovableClock, record},
};

use super::servers::{IDLE, Kind, LIFETIME, PATIENCE, Server, options, store_of};

const LIFE: Duration = Duration::from_secs(300);

/// A provider that accepts each refresh token once, and takes its time.
#[derive(Default)]
struct Provider {
    used: Mutex<Vec<String>>,
    grants: AtomicUsize,
    slow: Mutex<Duration>,
}

impl Provider {
    async fn grant(
        &self,
        old: Arc<Record>,
        clock: Arc<MovableClock>,
    ) -> Result<Record, RenewError> {
        let token = old.refresh_token.as_ref().unwrap().expose().to_owned();
        let time = self.grants.fetch_add(1, SeqCst) + 1;
        let slow = *self.slow.lock().unwrap();
        sleep(slow).await;
        let mut used = self.used.lock().unwrap();
        if used.contains(&token) {
            return Err(RenewError::refused("invalid_grant: token was used before"));
        }
        used.push(token);
        Ok(Record {
            access_token: format!("access-{time}").into(),
            refresh_token: Some(format!("refresh-{time}").into()),
            access_expires_at: clock.now() + LIFE,
            ..(*old).clone()
        })
    }
}

struct Replica {
    sessions: Arc<Sessions>,
    _running: DropGuard,
}

impl Replica {
    fn new(server: &Server, clock: &Arc<MovableClock>, provider: &Arc<Provider>) -> Self {
        let servers = RedisServers::Single(server.node());
        let store = store_of(options(servers, "test:"), Arc::clone(clock) as _);
        let (clock, provider) = (Arc::clone(clock), Arc::clone(provider));
        let renew: Arc<Renew> = {
            let clock = Arc::clone(&clock);
            Arc::new(move |record| {
                let (provider, clock) = (Arc::clone(&provider), Arc::clone(&clock));
                Box::pin(async move { provider.grant(record, clock).await })
            })
        };
        let limits = Limits::new(IDLE, LIFETIME);
        let sessions = Sessions::new(Arc::new(store), limits, clock as _).with_renew(renew);
        let (sessions, running) = (Arc::new(sessions), CancellationToken::new());
        tokio::spawn(Arc::clone(&sessions).maintain(running.clone()));
        Self { sessions, _running: running.drop_guard() }
    }

    async fn open(&self, ticket: &Ticket) -> Option<Arc<LiveSession>> {
        match self.sessions.cached(ticket) {
            Some(session) => Some(session),
            None => self.sessions.open(ticket).await.unwrap(),
        }
    }

    fn request(&self, ticket: &Ticket) -> JoinHandle<Result<Freshness, RenewError>> {
        let (sessions, ticket) = (Arc::clone(&self.sessions), ticket.clone());
        tokio::spawn(async move {
            let session = sessions.open(&ticket).await?.ok_or(RenewError::Ended)?;
            sessions.fresh(&session).await
        })
    }

    /// Waits until changes arrive, so that opened sessions are used without reading.
    async fn trusting(&self, ticket: &Ticket) {
        let begun = Instant::now();
        while self.sessions.cached(ticket).is_none() {
            assert!(begun.elapsed() < PATIENCE, "changes do not arrive");
            assert!(self.sessions.open(ticket).await.unwrap().is_some());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

struct Lab {
    server: Server,
    clock: Arc<MovableClock>,
    provider: Arc<Provider>,
    here: Replica,
    there: Replica,
}

impl Lab {
    async fn new() -> Self {
        let server = Server::start(Kind::Valkey, &[]).await;
        let (clock, provider) = (MovableClock::new(), Arc::<Provider>::default());
        let replica = || Replica::new(&server, &clock, &provider);
        let (here, there) = (replica(), replica());
        Self { here, there, server, clock, provider }
    }

    /// Signs in here, and opens the session at both.
    async fn signed_in(&self) -> (Ticket, Arc<LiveSession>, Arc<LiveSession>) {
        let (ticket, here) = self.here.sessions.create(record(self.clock.now())).await.unwrap();
        self.here.trusting(&ticket).await;
        self.there.trusting(&ticket).await;
        let there = self.there.open(&ticket).await.unwrap();
        (ticket, here, there)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_on_one_server_share() {
    let server = Server::start(Kind::Valkey, &[]).await;
    let clock = MovableClock::new();
    let store = || {
        let servers = RedisServers::Single(server.node());
        store_of(options(servers, "test:"), Arc::clone(&clock) as _)
    };
    shared_store_conforms(&store(), &store(), &clock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_at_one_process_ends_streams_at_the_other() {
    let lab = Lab::new().await;
    for _ in 0..20 {
        let (ticket, here, there) = lab.signed_in().await;
        let stream = there.hold();
        lab.here.sessions.end(here.id()).await.unwrap();
        let ended = timeout(Duration::from_secs(1), stream.session().ended().cancelled()).await;
        ended.expect("the stream stays open");
        assert!(lab.there.open(&ticket).await.is_none());
    }
    assert_eq!(lab.there.sessions.total().await, 0);
    assert!(lab.there.sessions.list(10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_refresh_a_session_once() {
    let lab = Lab::new().await;
    *lab.provider.slow.lock().unwrap() = Duration::from_millis(100);
    let (ticket, here, there) = lab.signed_in().await;
    for round in 1..=20 {
        lab.clock.advance(LIFE);
        let both = [&lab.here, &lab.there].into_iter().cycle();
        let requests: Vec<_> = both.take(100).map(|replica| replica.request(&ticket)).collect();
        for request in requests {
            let outcome = request.await.unwrap();
            assert!(matches!(outcome, Ok(Freshness::Renewed | Freshness::Current)), "{outcome:?}");
        }
        assert_eq!(lab.provider.grants.load(SeqCst), round);
        for session in [&here, &there] {
            assert_eq!(session.record().access_token.expose(), format!("access-{round}"));
        }
    }
}

/// The process is its runtime: its tasks and connections end at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_in_its_turn_holds_up_no_session() {
    let lab = Lab::new().await;
    let (ticket, _, there) = lab.signed_in().await;
    let killed = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    lab.clock.advance(LIFE);
    let stuck = Arc::new(Provider::default());
    *stuck.slow.lock().unwrap() = Duration::from_secs(60);
    let third = {
        let _entered = killed.enter();
        Replica::new(&lab.server, &lab.clock, &stuck)
    };
    let (sessions, asked) = (Arc::clone(&third.sessions), ticket.clone());
    killed.spawn(async move {
        let session = sessions.open(&asked).await.unwrap().unwrap();
        sessions.fresh(&session).await
    });
    while stuck.grants.load(SeqCst) == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    killed.shutdown_background();
    let begun = Instant::now();
    let outcome = lab.there.request(&ticket).await.unwrap();
    assert_eq!(outcome, Ok(Freshness::Renewed));
    assert!(begun.elapsed() < TURN + PATIENCE, "{:?}", begun.elapsed());
    assert_eq!(there.record().access_token.expose(), "access-1");
    drop(third);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_elsewhere_reaches_open_streams() {
    let lab = Lab::new().await;
    let (ticket, _, there) = lab.signed_in().await;
    let _stream = there.hold();
    lab.clock.advance(LIFE - Duration::from_secs(30));
    let woken = there.renewals().notified();
    lab.here.request(&ticket).await.unwrap().unwrap();
    timeout(Duration::from_secs(2), woken).await.expect("no stream was woken");
    assert_eq!(there.record().access_token.expose(), "access-1");
}
