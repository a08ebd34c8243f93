//! Two processes over one store refresh a session once.

use std::collections::HashSet;

use futures_util::future::BoxFuture;

use super::*;
use crate::{
    fixtures::replicas::{Replica, Replicas, SignedIn},
    store::{SessionStore as _, SharedStore as _, TURN, Turn},
};

/// A provider that rotates refresh tokens: each of them is accepted once.
struct Rotating {
    used: Mutex<HashSet<String>>,
    grants: AtomicUsize,
    refused: AtomicUsize,
    answers: Semaphore,
    down: Mutex<Option<RenewError>>,
    clock: Arc<MovableClock>,
}

impl Rotating {
    fn grants(&self) -> usize {
        self.grants.load(SeqCst)
    }

    fn refused(&self) -> usize {
        self.refused.load(SeqCst)
    }

    fn fail(&self, error: Option<RenewError>) {
        *self.down.lock().unwrap() = error;
    }

    fn answer(&self) {
        self.answers.add_permits(1000);
    }

    async fn grant(&self, record: Arc<Record>) -> Result<Record, RenewError> {
        if let Some(error) = self.down.lock().unwrap().clone() {
            return Err(error);
        }
        let token = record.refresh_token.as_ref().unwrap().expose().to_owned();
        let time = self.grants.fetch_add(1, SeqCst) + 1;
        let accepted = self.used.lock().unwrap().insert(token);
        self.answers.acquire().await.unwrap().forget();
        if !accepted {
            self.refused.fetch_add(1, SeqCst);
            return Err(RenewError::refused("invalid_grant: token was used before"));
        }
        Ok(Record {
            access_token: format!("access-{time}").into(),
            refresh_token: Some(format!("refresh-{time}").into()),
            access_expires_at: oidc_core::Clock::now(&*self.clock) + LIFE,
            ..(*record).clone()
        })
    }
}

/// `open`: the provider answers at once.
fn lab(open: bool) -> (Replicas, Arc<Rotating>) {
    let clock = MovableClock::new();
    let provider = Arc::new(Rotating {
        used: Mutex::default(),
        grants: AtomicUsize::new(0),
        refused: AtomicUsize::new(0),
        answers: Semaphore::new(if open { 1_000_000 } else { 0 }),
        down: Mutex::default(),
        clock: Arc::clone(&clock),
    });
    let asked = Arc::clone(&provider);
    let renew: Arc<Renew> = Arc::new(move |record| -> BoxFuture<'static, _> {
        let provider = Arc::clone(&asked);
        async move { provider.grant(record).await }.boxed()
    });
    let replicas = Replicas::with(clock, |sessions| sessions.with_renew(Arc::clone(&renew)));
    (replicas, provider)
}

async fn signed_in(replicas: &Replicas) -> SignedIn {
    replicas.signed_in(record(replicas.now())).await
}

/// A request: opens the session and has its token fresh.
async fn request(replica: &Replica, ticket: &Ticket) -> Result<Freshness, RenewError> {
    let session = replica.open(ticket).await.ok_or(RenewError::Ended)?;
    replica.sessions.fresh(&session).await
}

fn begin(
    replica: &Replica,
    ticket: &Ticket,
) -> tokio::task::JoinHandle<Result<Freshness, RenewError>> {
    let (sessions, ticket) = (Arc::clone(&replica.sessions), ticket.clone());
    tokio::spawn(async move {
        let session = sessions.open(&ticket).await?.ok_or(RenewError::Ended)?;
        sessions.fresh(&session).await
    })
}

fn access(session: &LiveSession) -> String {
    session.record().access_token.expose().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_hundred_requests_at_two_processes_make_one_grant() {
    let (replicas, provider) = lab(false);
    let SignedIn { ticket, here, there } = signed_in(&replicas).await;
    replicas.clock.advance(LIFE);
    let requests: Vec<_> = (0..100)
        .map(|number| match number % 2 {
            0 => begin(&replicas.here, &ticket),
            _ => begin(&replicas.there, &ticket),
        })
        .collect();
    replicas.pass(Duration::from_secs(3)).await;
    assert_eq!(provider.grants(), 1);
    provider.answer();
    replicas.pass(Duration::from_millis(200)).await;
    for outcome in join_all(requests).await {
        let outcome = outcome.unwrap();
        assert!(matches!(outcome, Ok(Freshness::Renewed | Freshness::Current)), "{outcome:?}");
    }
    assert_eq!((provider.grants(), provider.refused()), (1, 0));
    assert_eq!((access(&here), access(&there)), ("access-1".to_owned(), "access-1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_ahead_of_expiry_leaves_the_other_process_alone() {
    let (replicas, provider) = lab(false);
    let SignedIn { ticket, here, there } = signed_in(&replicas).await;
    replicas.clock.advance(LIFE - Duration::from_secs(30));
    assert_eq!(request(&replicas.here, &ticket).await, Ok(Freshness::Current));
    replicas.settle().await;
    for _ in 0..50 {
        assert_eq!(request(&replicas.there, &ticket).await, Ok(Freshness::Current));
    }
    replicas.settle().await;
    assert_eq!(provider.grants(), 1);
    assert!(there.refreshing().running.is_none(), "nothing waits");
    provider.answer();
    replicas.settle().await;
    assert_eq!(access(&here), "access-1");
    assert_eq!(request(&replicas.there, &ticket).await, Ok(Freshness::Current));
    assert_eq!(access(&there), "access-1");
    assert_eq!(provider.grants(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_needs_the_token_waits_for_the_other_process() {
    let (replicas, provider) = lab(false);
    let SignedIn { ticket, there, .. } = signed_in(&replicas).await;
    replicas.clock.advance(LIFE - Duration::from_secs(30));
    assert_eq!(request(&replicas.here, &ticket).await, Ok(Freshness::Current));
    replicas.settle().await;
    // An explicit refresh joins one that began because the token ages.
    assert_eq!(request(&replicas.there, &ticket).await, Ok(Freshness::Current));
    let sessions = Arc::clone(&replicas.there.sessions);
    let session = Arc::clone(&there);
    let forced = tokio::spawn(async move { sessions.renew_now(&session).await });
    replicas.pass(Duration::from_secs(1)).await;
    assert!(!forced.is_finished());
    provider.answer();
    replicas.pass(Duration::from_millis(200)).await;
    assert_eq!(forced.await.unwrap(), Ok(Freshness::Renewed));
    assert_eq!((access(&there), provider.grants()), ("access-1".to_owned(), 1));
}

#[tokio::test(start_paused = true)]
async fn the_turn_of_a_killed_process_passes_on() {
    let (replicas, provider) = lab(false);
    let SignedIn { ticket, there, .. } = signed_in(&replicas).await;
    replicas.clock.advance(LIFE);
    // It is killed before the provider has seen the token.
    let killed = begin(&replicas.here, &ticket);
    replicas.settle().await;
    assert_eq!(provider.grants(), 1);
    replicas.here.process.kill();
    provider.used.lock().unwrap().clear();
    let began = Instant::now();
    let waiting = begin(&replicas.there, &ticket);
    replicas.pass(TURN - Duration::from_millis(200)).await;
    assert_eq!(provider.grants(), 1);
    replicas.pass(Duration::from_millis(400)).await;
    assert_eq!(provider.grants(), 2);
    provider.answer();
    replicas.settle().await;
    assert_eq!(waiting.await.unwrap(), Ok(Freshness::Renewed));
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(access(&there), "access-2");
    killed.abort();
}

#[tokio::test(start_paused = true)]
async fn a_slow_provider_costs_no_process_its_turn() {
    let (replicas, provider) = lab(false);
    let SignedIn { ticket, here, there } = signed_in(&replicas).await;
    replicas.clock.advance(LIFE);
    let (one, two) = (begin(&replicas.here, &ticket), begin(&replicas.there, &ticket));
    replicas.pass(TURN * 3).await;
    assert_eq!(provider.grants(), 1);
    provider.answer();
    replicas.pass(Duration::from_millis(200)).await;
    assert_eq!(provider.grants(), 1);
    assert_eq!((access(&here), access(&there)), ("access-1".to_owned(), "access-1".to_owned()));
    for request in [one, two] {
        assert!(matches!(request.await.unwrap(), Ok(Freshness::Grace { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_turn_was_lost_is_stored() {
    let (replicas, provider) = lab(false);
    let SignedIn { ticket, here, there } = signed_in(&replicas).await;
    replicas.clock.advance(LIFE);
    let request = begin(&replicas.here, &ticket);
    replicas.settle().await;
    replicas.shared.lose_turn(&ticket);
    replicas.pass(Duration::from_secs(4)).await;
    provider.answer();
    replicas.settle().await;
    assert_eq!(request.await.unwrap(), Ok(Freshness::Renewed));
    assert_eq!(access(&here), "access-1");
    replicas.there.open(&ticket).await;
    assert_eq!((access(&there), provider.refused()), ("access-1".to_owned(), 0));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_overtaken_uses_the_newer_record() {
    let (replicas, provider) = lab(false);
    let SignedIn { ticket, here, .. } = signed_in(&replicas).await;
    replicas.clock.advance(LIFE);
    let request = begin(&replicas.here, &ticket);
    replicas.settle().await;
    replicas.shared.lose_turn(&ticket);
    let expires_at = replicas.now() + LIFE;
    let newer = Record {
        generation: 1,
        access_token: "theirs".into(),
        access_expires_at: expires_at,
        ..Record::clone(&here.record())
    };
    replicas.there.process.replace(&ticket, &newer).await.unwrap();
    provider.answer();
    replicas.settle().await;
    assert_eq!(request.await.unwrap(), Ok(Freshness::Renewed));
    assert_eq!(access(&here), "theirs");
    assert_eq!(replicas.shared.record(&ticket).unwrap().access_token.expose(), "theirs");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_another_process_used_ends_no_session() {
    let (replicas, provider) = lab(false);
    let SignedIn { ticket, here, there } = signed_in(&replicas).await;
    replicas.clock.advance(LIFE);
    let one = begin(&replicas.here, &ticket);
    replicas.settle().await;
    // Both have the turn, as after a failover that lost it; the second gets `invalid_grant`.
    replicas.shared.lose_turn(&ticket);
    let two = begin(&replicas.there, &ticket);
    replicas.settle().await;
    assert_eq!(provider.grants(), 2);
    provider.answer();
    replicas.pass(Duration::from_millis(500)).await;
    assert_eq!(provider.refused(), 1);
    assert_eq!(one.await.unwrap(), Ok(Freshness::Renewed));
    assert_eq!(two.await.unwrap(), Ok(Freshness::Renewed));
    assert_eq!((access(&here), access(&there)), ("access-1".to_owned(), "access-1".to_owned()));
    assert!(matches!(replicas.here.process.take_turn(&ticket, 1).await, Ok(Turn::Ours(_))));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_session_at_both() {
    let (replicas, provider) = lab(true);
    let SignedIn { ticket, here, there } = signed_in(&replicas).await;
    replicas.clock.advance(LIFE);
    provider.fail(Some(RenewError::refused("invalid_grant")));
    assert!(request(&replicas.here, &ticket).await.unwrap_err().session_ended());
    replicas.settle().await;
    assert!(here.ended().is_cancelled() && there.ended().is_cancelled());
    assert!(replicas.shared.record(&ticket).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_while_the_store_is_away_ends_nothing() {
    let (replicas, provider) = lab(false);
    let SignedIn { ticket, here, .. } = signed_in(&replicas).await;
    replicas.clock.advance(LIFE);
    let request = begin(&replicas.here, &ticket);
    replicas.settle().await;
    provider.used.lock().unwrap().insert("refresh-token".to_owned());
    replicas.here.process.away(true);
    provider.fail(Some(RenewError::refused("invalid_grant")));
    provider.answer();
    replicas.settle().await;
    let outcome = request.await.unwrap();
    assert!(!matches!(&outcome, Err(error) if error.session_ended()), "{outcome:?}");
    assert!(!here.ended().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_down_holds_up_no_turn() {
    let (replicas, provider) = lab(true);
    let SignedIn { ticket, here, there } = signed_in(&replicas).await;
    replicas.clock.advance(LIFE);
    provider.fail(Some(RenewError::unavailable("connection refused")));
    for replica in [&replicas.here, &replicas.there] {
        assert!(matches!(request(replica, &ticket).await, Ok(Freshness::Grace { .. })));
    }
    // It is back, and the first process whose pause is over refreshes for both.
    provider.fail(None);
    replicas.pass(Duration::from_secs(2)).await;
    assert_eq!(request(&replicas.there, &ticket).await, Ok(Freshness::Renewed));
    replicas.settle().await;
    assert_eq!(request(&replicas.here, &ticket).await, Ok(Freshness::Current));
    assert_eq!((access(&here), access(&there)), ("access-1".to_owned(), "access-1".to_owned()));
    assert_eq!(provider.grants(), 1);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_stored_as_soon_as_the_store_is_back() {
    let (replicas, provider) = lab(false);
    let SignedIn { ticket, here, there } = signed_in(&replicas).await;
    replicas.clock.advance(LIFE);
    let request = begin(&replicas.here, &ticket);
    replicas.settle().await;
    replicas.here.process.away(true);
    provider.answer();
    replicas.settle().await;
    assert!(matches!(request.await.unwrap(), Ok(Freshness::Grace { .. })));
    assert_eq!(access(&here), "access-token", "stored before use");
    replicas.pass(Duration::from_secs(3)).await;
    replicas.here.process.away(false);
    // No request comes here; the other process must not use the old token.
    replicas.pass(Duration::from_millis(400)).await;
    assert_eq!(replicas.shared.record(&ticket).unwrap().access_token.expose(), "access-1");
    assert_eq!(access(&here), "access-1");
    let session = replicas.there.open(&ticket).await.unwrap();
    assert_eq!(replicas.there.sessions.fresh(&session).await, Ok(Freshness::Current));
    assert_eq!((access(&there), provider.grants()), ("access-1".to_owned(), 1));
    assert!(!here.refreshing().storing);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ended_elsewhere_is_not_refreshed() {
    let (replicas, provider) = lab(false);
    let SignedIn { ticket, here, there } = signed_in(&replicas).await;
    replicas.clock.advance(LIFE);
    replicas.there.process.deaf(true);
    let request = begin(&replicas.here, &ticket);
    replicas.settle().await;
    replicas.here.process.deaf(true);
    replicas.there.sessions.end(there.id()).await.unwrap();
    provider.answer();
    replicas.settle().await;
    assert_eq!(request.await.unwrap(), Err(RenewError::Ended));
    assert!(here.ended().is_cancelled());
    assert!(replicas.shared.record(&ticket).is_none(), "it stays ended");
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_refresh_in_progress() {
    let (replicas, provider) = lab(false);
    let SignedIn { ticket, .. } = signed_in(&replicas).await;
    replicas.clock.advance(LIFE);
    let _request = begin(&replicas.here, &ticket);
    replicas.settle().await;
    let shutdown = tokio_util::sync::CancellationToken::new();
    shutdown.cancel();
    let stopping = tokio::spawn(Arc::clone(&replicas.here.sessions).maintain(shutdown));
    replicas.pass(Duration::from_secs(1)).await;
    assert!(!stopping.is_finished());
    provider.answer();
    replicas.settle().await;
    assert!(stopping.is_finished());
    assert_eq!(replicas.shared.record(&ticket).unwrap().access_token.expose(), "access-1");
}

#[tokio::test(start_paused = true)]
async fn a_token_under_a_stream_is_refreshed_by_one_process() {
    let (replicas, provider) = lab(true);
    let SignedIn { here, there, .. } = signed_in(&replicas).await;
    let _streams = (here.hold(), there.hold());
    for _ in 0..3 {
        for _ in 0..(LIFE.as_secs()) {
            replicas.pass(Duration::from_secs(1)).await;
            for session in [&here, &there] {
                assert!(session.record().access_expires_at > replicas.now(), "expired");
            }
        }
    }
    assert_eq!(provider.refused(), 0);
    assert!((3..=4).contains(&provider.grants()), "{}", provider.grants());
    assert_eq!(access(&here), access(&there));
}
