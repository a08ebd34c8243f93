//! Sessions that only a stream, or no request at all, keeps.

use super::*;

#[tokio::test]
async fn a_session_with_only_a_stream_keeps_fresh_tokens() {
    let fixture = Fixture::new(true);
    let (_, session) = fixture.signed_in().await;
    let (_, unused) = fixture.signed_in().await;
    let stream = session.hold();
    fixture.clock.advance(LIFE - Duration::from_secs(5));
    fixture.sessions.maintain_once().await;
    fixture.idle_until(|| session.record().generation == 1).await;
    assert_eq!(unused.record().generation, 0);
    drop(stream);
    fixture.clock.advance(LIFE - Duration::from_secs(5));
    fixture.sessions.maintain_once().await;
    assert_eq!(fixture.provider.asked(), 1);
}

#[tokio::test]
async fn unconfirmed_streams_of_the_cookie_store_end() {
    let fixture = Fixture::cookie(keys());
    let (_, session) = fixture.signed_in().await;
    let _stream = session.hold();
    let closed = session.renewals().notified();
    fixture.clock.advance(LIFE + fixture.sessions.grace() - Duration::from_secs(1));
    fixture.sessions.maintain_once().await;
    assert!(!fixture.sessions.is_unconfirmed(&session));
    fixture.clock.advance(Duration::from_secs(1));
    fixture.sessions.maintain_once().await;
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
