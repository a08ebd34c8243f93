//! Tokens that outgrow the cookies.

use super::*;

#[tokio::test]
async fn refreshed_tokens_too_large_for_cookies_end_a_session() {
    let fixture = Fixture::cookie(keys());
    let (ticket, session) = fixture.signed_in().await;
    fixture.provider.padding.store(20_000, SeqCst);
    fixture.clock.advance(LIFE + Duration::from_secs(1));
    let error = fixture.sessions.fresh(&session).await.unwrap_err();
    assert!(matches!(error, RenewError::Store(StoreError::TooLarge { .. })), "{error}");
    assert!(error.session_ended());
    // Another request does not ask the provider again.
    assert!(fixture.sessions.open(&ticket).await.unwrap().is_none());
    assert_eq!(fixture.provider.asked(), 1);
}
