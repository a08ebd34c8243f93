//! Two processes over one store: each sees at once what the other did, and a store that is away ends no session.

use crate::fixtures::{
    replicas::{LIFETIME, Replicas, SignedIn},
    shared::TRUSTED,
};

use super::*;

const TICK: Duration = Duration::from_secs(3);
const MOMENT: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn an_opened_session_is_used_without_reading_for_a_while() {
    let replicas = Replicas::new();
    let SignedIn { ticket, there, .. } = replicas.signed_in(replicas.lasting()).await;
    let before = replicas.there.process.loads();
    for _ in 0..100 {
        assert!(replicas.there.sessions.cached(&ticket).is_some());
    }
    replicas.clock.advance(TRUSTED - MOMENT);
    assert!(replicas.there.sessions.cached(&ticket).is_some());
    assert_eq!(replicas.there.process.loads(), before);
    replicas.clock.advance(MOMENT);
    assert!(replicas.there.sessions.cached(&ticket).is_none());
    let opened = join_all((0..100).map(|_| replicas.there.sessions.open(&ticket))).await;
    assert!(opened.into_iter().all(|opened| Arc::ptr_eq(&opened.unwrap().unwrap(), &there)));
    assert_eq!(replicas.there.process.loads(), before + 1, "one read, however many requests");
    assert!(replicas.there.sessions.cached(&ticket).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_back_prolongs_no_trust() {
    let replicas = Replicas::new();
    let SignedIn { ticket, .. } = replicas.signed_in(replicas.lasting()).await;
    replicas.clock.turn_back(Duration::from_secs(3600));
    assert!(replicas.there.sessions.cached(&ticket).is_none());
    assert!(replicas.there.open(&ticket).await.is_some());
    assert!(replicas.there.sessions.cached(&ticket).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_sign_out_elsewhere_ends_requests_and_streams_at_once() {
    let replicas = Replicas::new();
    let SignedIn { ticket, here, there } = replicas.signed_in(replicas.lasting()).await;
    let stream = there.hold();
    replicas.here.sessions.end(here.id()).await.unwrap();
    replicas.settle().await;
    assert!(stream.session().ended().is_cancelled());
    assert!(replicas.there.open(&ticket).await.is_none());
    assert!(replicas.there.sessions.list(10).await.unwrap().is_empty());
    assert_eq!(replicas.there.sessions.total().await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_administrator_ends_sessions_of_any_process() {
    let replicas = Replicas::new();
    let SignedIn { ticket, here, .. } = replicas.signed_in(replicas.lasting()).await;
    let elsewhere = &replicas.there.sessions;
    assert_eq!(elsewhere.list(10).await.unwrap().len(), 1);
    assert_eq!(elsewhere.total().await, 1);
    let which = Which::Subject { issuer: "main".to_owned(), subject: "alice".to_owned() };
    assert_eq!(elsewhere.end_matching(&which).await.unwrap(), [here.id().clone()]);
    replicas.settle().await;
    assert!(here.ended().is_cancelled());
    assert!(replicas.here.open(&ticket).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_end_was_not_noticed_is_not_listed() {
    let replicas = Replicas::new();
    let SignedIn { here, .. } = replicas.signed_in(replicas.lasting()).await;
    replicas.there.process.deaf(true);
    replicas.here.sessions.end(here.id()).await.unwrap();
    replicas.settle().await;
    assert!(replicas.there.sessions.list(10).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_change_during_a_read_leaves_no_old_record() {
    let replicas = Replicas::new();
    let SignedIn { ticket, here, .. } = replicas.signed_in(replicas.lasting()).await;
    replicas.clock.advance(TRUSTED);
    // The read finds the old record, and returns it after the change has arrived.
    let process = &replicas.there.process;
    process.hold_answers();
    let (sessions, asked) = (Arc::clone(&replicas.there.sessions), ticket.clone());
    let before = process.loads();
    let reading = tokio::spawn(async move { sessions.open(&asked).await.unwrap() });
    replicas.settle().await;
    assert_eq!(process.loads(), before + 1);
    let newer = Record { generation: 1, ..Record::clone(&here.record()) };
    replicas.here.process.replace(&ticket, &newer).await.unwrap();
    replicas.settle().await;
    process.release_answers();
    let session = reading.await.unwrap().unwrap();
    assert_eq!(session.record().generation, 1);
    assert_eq!(process.loads(), before + 2);
    assert!(replicas.there.sessions.cached(&ticket).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_sign_out_during_a_read_opens_nothing() {
    let replicas = Replicas::new();
    let SignedIn { ticket, here, .. } = replicas.signed_in(replicas.lasting()).await;
    replicas.clock.advance(TRUSTED);
    let process = &replicas.there.process;
    process.hold_answers();
    let (sessions, asked) = (Arc::clone(&replicas.there.sessions), ticket.clone());
    let reading = tokio::spawn(async move { sessions.open(&asked).await.unwrap() });
    replicas.settle().await;
    replicas.here.sessions.end(here.id()).await.unwrap();
    replicas.settle().await;
    process.release_answers();
    assert!(reading.await.unwrap().is_none());
    assert!(replicas.there.sessions.cached(&ticket).is_none());
}

#[tokio::test(start_paused = true)]
async fn missed_changes_have_every_record_read_again() {
    let replicas = Replicas::new();
    let one = replicas.signed_in(replicas.lasting()).await;
    let two = replicas.signed_in(replicas.lasting()).await;
    replicas.there.process.deaf(true);
    replicas.here.sessions.end(one.here.id()).await.unwrap();
    replicas.settle().await;
    assert!(replicas.there.sessions.cached(&one.ticket).is_some(), "its end was not noticed");
    replicas.there.process.away(true);
    replicas.there.process.deaf(false);
    replicas.there.process.away(false);
    replicas.settle().await;
    for ticket in [&one.ticket, &two.ticket] {
        assert!(replicas.there.sessions.cached(ticket).is_none());
    }
    assert!(replicas.there.open(&one.ticket).await.is_none());
    assert!(one.there.ended().is_cancelled());
    assert!(replicas.there.open(&two.ticket).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_signs_out_no_user() {
    let replicas = Replicas::new();
    let SignedIn { ticket, there, .. } = replicas.signed_in(replicas.lasting()).await;
    let stream = there.hold();
    replicas.there.process.away(true);
    replicas.settle().await;
    for _ in 0..20 {
        let refused = replicas.there.sessions.open(&ticket).await;
        assert!(matches!(refused, Err(StoreError::Unavailable { .. })));
        replicas.pass(Duration::from_secs(1)).await;
    }
    assert!(!stream.session().ended().is_cancelled(), "open streams stay open");
    replicas.there.process.away(false);
    let again = replicas.there.open(&ticket).await.unwrap();
    assert!(Arc::ptr_eq(&again, &there));
}

#[tokio::test(start_paused = true)]
async fn streams_learn_of_ends_within_a_second_of_the_stores_return() {
    let replicas = Replicas::new();
    let mut signed_in = Vec::new();
    for _ in 0..100 {
        signed_in.push(replicas.signed_in(replicas.lasting()).await);
    }
    let streams: Vec<_> = signed_in.iter().map(|session| session.there.hold()).collect();
    replicas.there.process.away(true);
    replicas.pass(Duration::from_secs(20)).await;
    for session in &signed_in[..50] {
        replicas.here.sessions.end(session.here.id()).await.unwrap();
    }
    replicas.there.process.away(false);
    replicas.there.process.slow(Duration::from_millis(10));
    replicas.pass(Duration::from_secs(1)).await;
    let ended = |stream: &StreamGuard| stream.session().ended().is_cancelled();
    assert!(streams[..50].iter().all(ended));
    assert!(!streams[50..].iter().any(ended));
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_sign_out_was_lost_ends_soon() {
    let replicas = Replicas::new();
    let SignedIn { ticket, here, there } = replicas.signed_in(replicas.lasting()).await;
    let stream = there.hold();
    drop((ticket, there));
    replicas.there.process.deaf(true);
    replicas.here.sessions.end(here.id()).await.unwrap();
    replicas.settle().await;
    assert!(!stream.session().ended().is_cancelled());
    replicas.pass(TRUSTED + TICK).await;
    assert!(stream.session().ended().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_role_change_elsewhere_wakes_streams_once() {
    let replicas = Replicas::new();
    let SignedIn { ticket, here, there } = replicas.signed_in(replicas.lasting()).await;
    let _stream = there.hold();
    let mut woken = std::pin::pin!(there.renewals().notified());
    woken.as_mut().enable();
    // Reading the same record again wakes none.
    replicas.pass(TRUSTED * 4).await;
    assert!(futures_util::poll!(woken.as_mut()).is_pending());
    let known =
        access_policy::Known { roles: Vec::new(), ..access_policy::Known::clone(&here.known()) };
    let newer = Record { known: Arc::new(known), generation: 1, ..Record::clone(&here.record()) };
    replicas.here.process.replace(&ticket, &newer).await.unwrap();
    replicas.settle().await;
    assert!(futures_util::poll!(woken).is_ready());
    assert!(there.known().roles.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_in_use_elsewhere_is_not_idle() {
    let replicas = Replicas::new();
    let SignedIn { ticket, there, .. } = replicas.signed_in(replicas.lasting()).await;
    let stream = there.hold();
    // The uses so far are stored.
    replicas.pass(TICK * 6).await;
    for _ in 0..3 {
        replicas.clock.advance(IDLE - TICK * 30);
        assert!(replicas.here.open(&ticket).await.is_some());
        // The time of this use is stored at once, because the session was close to its end.
        replicas.settle().await;
        replicas.clock.advance(TICK * 20);
        replicas.settle().await;
        replicas.there.sessions.check().await;
        assert!(!stream.session().ended().is_cancelled());
        assert!(replicas.there.sessions.peek(&ticket).await.unwrap().is_some());
    }
    replicas.clock.advance(IDLE);
    replicas.there.sessions.check().await;
    assert!(stream.session().ended().is_cancelled());
    replicas.settle().await;
    assert!(replicas.here.open(&ticket).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_ends_no_idle_session() {
    let replicas = Replicas::new();
    let SignedIn { ticket, there, .. } = replicas.signed_in(replicas.lasting()).await;
    replicas.there.process.away(true);
    replicas.clock.advance(IDLE);
    replicas.there.sessions.check().await;
    assert!(!there.ended().is_cancelled(), "another process may have seen it");
    replicas.there.process.away(false);
    assert!(replicas.there.open(&ticket).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_ends_at_every_process() {
    let replicas = Replicas::new();
    let SignedIn { ticket, there, .. } = replicas.signed_in(replicas.lasting()).await;
    let _stream = there.hold();
    for _ in 0..24 {
        replicas.clock.advance(LIFETIME / 24);
        replicas.here.open(&ticket).await;
        replicas.settle().await;
    }
    replicas.pass(TICK).await;
    assert!(there.ended().is_cancelled());
    assert!(replicas.here.open(&ticket).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_sign_out_elsewhere_during_the_code_exchange_ends_the_session() {
    let replicas = Replicas::new();
    let exchanged_at = replicas.now();
    let which = Which::ProviderSession { issuer: "main".to_owned(), sid: "sid-1".to_owned() };
    replicas.there.sessions.end_signed(&which, Some(Algorithm::RS256)).await.unwrap();
    replicas.pass(Duration::from_secs(1)).await;
    let create = |at| replicas.here.sessions.create_since(replicas.lasting(), at);
    assert!(create(exchanged_at).await.unwrap().is_none());
    assert_eq!(replicas.here.sessions.total().await, 0);
    assert!(create(replicas.now()).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_failover_that_loses_a_refresh_is_repaired() {
    let replicas = Replicas::new();
    let SignedIn { ticket, here, there } = replicas.signed_in(replicas.lasting()).await;
    let older = Record::clone(&here.record());
    let newer = Record { generation: 1, access_token: "newer".into(), ..older.clone() };
    replicas.here.process.replace(&ticket, &newer).await.unwrap();
    replicas.settle().await;
    assert_eq!(replicas.here.open(&ticket).await.unwrap().record().generation, 1);
    replicas.shared.fail_over_to(&ticket, Some(older));
    replicas.settle().await;
    assert_eq!(replicas.here.open(&ticket).await.unwrap().record().generation, 1);
    assert_eq!(replicas.shared.record(&ticket).unwrap().access_token.expose(), "newer");
    replicas.settle().await;
    replicas.there.open(&ticket).await;
    assert_eq!(there.record().access_token.expose(), "newer");
}

#[tokio::test(start_paused = true)]
async fn a_sign_out_that_the_store_did_not_take_is_repeated() {
    let replicas = Replicas::new();
    let SignedIn { ticket, here, there } = replicas.signed_in(replicas.lasting()).await;
    let stream = there.hold();
    replicas.here.process.away(true);
    assert!(replicas.here.sessions.end(here.id()).await.is_err());
    replicas.here.process.away(false);
    assert!(replicas.here.open(&ticket).await.is_none());
    replicas.settle().await;
    assert!(replicas.shared.record(&ticket).is_none());
    assert!(stream.session().ended().is_cancelled());
    assert!(replicas.there.open(&ticket).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn without_a_task_that_takes_changes_every_request_reads() {
    let replicas = Replicas::new();
    let SignedIn { ticket, .. } = replicas.signed_in(replicas.lasting()).await;
    let process = replicas.shared.process();
    let limits = Limits::new(IDLE, LIFETIME);
    let clock = Arc::clone(&replicas.clock) as _;
    let sessions = Sessions::new(Arc::clone(&process) as _, limits, clock);
    for reads in 1..4 {
        assert!(sessions.cached(&ticket).is_none());
        assert!(sessions.open(&ticket).await.unwrap().is_some());
        assert_eq!(process.loads(), reads);
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_comes_back_opens_again() {
    let replicas = Replicas::new();
    let SignedIn { ticket, there, .. } = replicas.signed_in(replicas.lasting()).await;
    let stream = there.hold();
    let record = replicas.shared.record(&ticket);
    replicas.shared.fail_over_to(&ticket, None);
    replicas.settle().await;
    assert!(stream.session().ended().is_cancelled());
    assert!(replicas.there.open(&ticket).await.is_none());
    replicas.shared.fail_over_to(&ticket, record);
    replicas.settle().await;
    assert!(replicas.there.open(&ticket).await.is_some());
    assert!(replicas.shared.record(&ticket).is_some());
}
