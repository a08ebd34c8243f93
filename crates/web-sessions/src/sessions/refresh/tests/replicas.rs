//! Several gateways whose cookies are the sessions: what they cannot know of each other.

use super::*;

/// The same cookie at two gateways with one key.
async fn twice() -> ([Fixture; 2], Ticket, [Arc<LiveSession>; 2]) {
    let fixtures = [Fixture::cookie(keys()), Fixture::cookie(keys())];
    let (ticket, here) = fixtures[0].signed_in().await;
    let there = fixtures[1].sessions.open(&ticket).await.unwrap().unwrap();
    (fixtures, ticket, [here, there])
}

#[tokio::test]
async fn a_cookie_is_good_at_another_gateway_after_a_sign_out() {
    let (fixtures, ticket, [here, there]) = twice().await;
    fixtures[0].sessions.end(here.id()).await.unwrap();
    assert!(fixtures[0].sessions.open(&ticket).await.unwrap().is_none());
    assert!(fixtures[1].sessions.open(&ticket).await.unwrap().is_some());
    assert!(!there.ended().is_cancelled());
}

#[tokio::test]
async fn a_sign_out_elsewhere_counts_at_the_next_refresh() {
    let (fixtures, ticket, [here, there]) = twice().await;
    fixtures[0].sessions.end(here.id()).await.unwrap();
    // The sign-out has ended the session at the provider.
    fixtures[1].provider.fail(Some(RenewError::refused("invalid_grant")));
    fixtures[1].clock.advance(LIFE);
    assert!(fixtures[1].sessions.fresh(&there).await.unwrap_err().session_ended());
    assert!(fixtures[1].sessions.open(&ticket).await.unwrap().is_none());
}

#[tokio::test]
async fn gateways_with_one_cookie_each_refresh_it() {
    let (fixtures, _, sessions) = twice().await;
    for (fixture, session) in fixtures.iter().zip(&sessions) {
        let token = session.record().refresh_token.clone();
        assert_eq!(token.as_ref().map(oidc_core::Secret::expose), Some("refresh-token"));
        fixture.clock.advance(LIFE);
        assert_eq!(fixture.sessions.fresh(session).await, Ok(Freshness::Renewed));
        assert_eq!(fixture.provider.asked(), 1);
    }
}
