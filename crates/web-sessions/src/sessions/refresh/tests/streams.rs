//! Sessions that only a stream, or no request at all, keeps.

use super::*;

#[tokio::test]
async fn a_session_with_only_a_stream_keeps_fresh_tokens() {
    let fixture = Fixture::new(true);
    let (_, session) = fixture.signed_in().await;
    let (_, unused) = fixture.signed_in().await;
    let stream = session.hold();
    fixture.clock.advance(LIFE - Duration::from_secs(5));
    fixture.sessions.check().await;
    fixture.idle_until(|| session.record().generation == 1).await;
    assert_eq!(unused.record().generation, 0);
    drop(stream);
    fixture.clock.advance(LIFE - Duration::from_secs(5));
    fixture.sessions.check().await;
    assert_eq!(fixture.provider.asked(), 1);
}

#[tokio::test]
async fn unconfirmed_streams_of_the_cookie_store_end() {
    let fixture = Fixture::cookie(keys());
    let (_, session) = fixture.signed_in().await;
    let _stream = session.hold();
    let closed = session.renewals().notified();
    fixture.clock.advance(LIFE + fixture.sessions.grace() - Duration::from_secs(1));
    fixture.sessions.check().await;
    assert!(!fixture.sessions.is_unconfirmed(&session));
    fixture.clock.advance(Duration::from_secs(1));
    fixture.sessions.check().await;
    assert!(fixture.sessions.is_unconfirmed(&session));
    closed.now_or_never().expect("the streams were not ended");
    assert_eq!(fixture.sessions.fresh(&session).await, Ok(Freshness::Renewed));
    assert!(!fixture.sessions.is_unconfirmed(&session));
}

#[tokio::test]
async fn a_record_store_refreshes_sessions_between_requests() {
    let fixture = Fixture::new(false);
    let (_, session) = fixture.signed_in().await;
    fixture.clock.advance(LIFE * 3);
    assert!(!fixture.sessions.is_unconfirmed(&session));
}

#[tokio::test]
async fn activity_of_a_stream_keeps_its_session() {
    let fixture = Fixture::new(true);
    let (ticket, session) = fixture.signed_in().await;
    let stream = session.hold();
    let idle = fixture.sessions.limits().idle;
    for _ in 0..2 {
        fixture.clock.advance(idle - Duration::from_secs(1));
        fixture.sessions.active(stream.session());
        fixture.sessions.check().await;
    }
    assert!(!session.ended().is_cancelled());
    // The store learns about it from the flush, although no request came.
    fixture.sessions.flush().await.unwrap();
    let touched = fixture.store.touches.lock().unwrap().last().cloned();
    assert_eq!(touched, Some((session.id().clone(), oidc_core::Clock::now(&*fixture.clock))));
    assert!(fixture.sessions.cached(&ticket).is_some());
}

#[tokio::test]
async fn the_end_of_a_stream_loses_no_activity() {
    let fixture = Fixture::new(true);
    let (_, session) = fixture.signed_in().await;
    fixture.sessions.active(&session);
    fixture.clock.advance(Duration::from_secs(5));
    fixture.sessions.active(&session);
    fixture.sessions.settle(&session);
    let id = session.id().clone();
    drop(session);
    fixture.sessions.flush().await.unwrap();
    let touched = fixture.store.touches.lock().unwrap().last().cloned();
    assert_eq!(touched, Some((id, oidc_core::Clock::now(&*fixture.clock))));
}

#[tokio::test]
async fn activity_is_noted_often_enough_for_a_short_idle() {
    let fixture = Fixture::new(true);
    assert!(fixture.sessions.activity_interval() <= Duration::from_secs(1));
    assert!(fixture.sessions.activity_interval() * 8 <= fixture.sessions.limits().idle);
}

/// Tokens that live for seconds are refreshed between two checks of [`Sessions::maintain`].
#[tokio::test(start_paused = true)]
async fn a_token_under_a_stream_never_expires() {
    let fixture = Fixture::new(true);
    let (_, session) = fixture.signed_in().await;
    let _stream = session.hold();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let keeping = tokio::spawn(Arc::clone(&fixture.sessions).maintain(shutdown.clone()));
    for _ in 0..LIFE.as_secs() * 3 {
        fixture.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let left = session.record().access_expires_at;
        assert!(left > oidc_core::Clock::now(&*fixture.clock), "the access token expired");
    }
    assert!(fixture.provider.asked() >= 2);
    shutdown.cancel();
    keeping.await.unwrap();
}
