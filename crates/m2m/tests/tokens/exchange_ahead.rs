//! Exchanged tokens that are about to expire, that were forgotten, and answers that are none.

use std::time::Duration;

use dev_issuer::{Dialect, Endpoint, Fault};
use m2m::TokenError;
use serde_json::json;

use crate::exchange::{Caller, for_churn};

/// Waits for what another task does.
async fn eventually(mut is_so: impl AsyncFnMut() -> bool) -> bool {
    for _ in 0..400 {
        if is_so().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn a_token_about_to_expire_is_served_while_it_is_exchanged() {
    let caller = Caller::start().await;
    let alice = caller.token_of("alice");
    let first = caller.tokens.exchange(&alice, &for_churn()).await.unwrap();
    caller.clock.advance(Duration::from_secs(280));
    // One exchange for all who ask meanwhile, and none of them waits for it.
    for _ in 0..50 {
        assert_eq!(caller.tokens.exchange(&alice, &for_churn()).await.unwrap(), first);
        assert_eq!(caller.tokens.current(&alice, &for_churn()).await, Some(first.clone()));
        if caller.asked() > 1 {
            break;
        }
    }
    let changed = eventually(async || {
        caller.tokens.current(&alice, &for_churn()).await.is_some_and(|token| token != first)
    });
    assert!(changed.await, "the new token is served");
    assert_eq!(caller.asked(), 2);
}

#[tokio::test]
async fn a_refresh_that_the_issuer_refuses_ends_the_token() {
    let caller = Caller::start().await;
    let alice = caller.token_of("alice");
    caller.tokens.exchange(&alice, &for_churn()).await.unwrap();
    caller.issuer.end_session_for("alice").await;
    assert!(caller.tokens.current(&alice, &for_churn()).await.is_some(), "until it is due");
    caller.clock.advance(Duration::from_secs(280));
    let gone =
        eventually(async || caller.tokens.current(&alice, &for_churn()).await.is_none()).await;
    assert!(gone, "the user's session has ended there");
    let refused = caller.tokens.exchange(&alice, &for_churn()).await.unwrap_err();
    assert!(matches!(refused, TokenError::Refused { .. }), "{refused}");
}

#[tokio::test]
async fn an_outage_during_a_refresh_keeps_the_token() {
    let caller = Caller::start().await;
    let alice = caller.token_of("alice");
    let first = caller.tokens.exchange(&alice, &for_churn()).await.unwrap();
    caller.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    caller.clock.advance(Duration::from_secs(280));
    let before = caller.issuer.requests(Endpoint::Token);
    let asked = eventually(async || {
        assert_eq!(caller.tokens.current(&alice, &for_churn()).await, Some(first.clone()));
        caller.issuer.requests(Endpoint::Token) > before
    });
    assert!(asked.await);
    assert_eq!(caller.tokens.current(&alice, &for_churn()).await, Some(first));
}

#[tokio::test]
async fn a_forgotten_token_is_exchanged_again() {
    let caller = Caller::start().await;
    let (alice, bob) = (caller.token_of("alice"), caller.token_of("bob"));
    let first = caller.tokens.exchange(&alice, &for_churn()).await.unwrap();
    let bobs = caller.tokens.exchange(&bob, &for_churn()).await.unwrap();
    caller.tokens.forget(&alice, &for_churn()).await;
    assert_eq!(caller.tokens.current(&alice, &for_churn()).await, None);
    assert_eq!(caller.tokens.current(&bob, &for_churn()).await, Some(bobs));
    assert_ne!(caller.tokens.exchange(&alice, &for_churn()).await.unwrap(), first);
    assert_eq!(caller.asked(), 3);
}

#[tokio::test]
async fn an_answer_of_another_kind_is_no_token() {
    let caller = Caller::start().await;
    let urn = |kind: &str| json!(format!("urn:ietf:params:oauth:token-type:{kind}"));
    for (user, dialect) in [
        ("alice", Dialect::new().token_answer("issued_token_type", urn("refresh_token"))),
        ("bob", Dialect::new().without_token_answer("issued_token_type")),
    ] {
        caller.issuer.set_dialect(dialect);
        let subject = caller.token_of(user);
        let error = caller.tokens.exchange(&subject, &for_churn()).await.unwrap_err();
        assert!(error.to_string().contains("issued_token_type"), "{error}");
    }
    caller.issuer.set_dialect(Dialect::new().token_answer("issued_token_type", urn("jwt")));
    let subject = caller.token_of("alice");
    assert!(caller.tokens.exchange(&subject, &for_churn()).await.is_ok());
}
