//! Cookies that open nothing cost the store little.

use super::*;

#[tokio::test]
async fn a_repeated_unknown_cookie_reads_the_store_once() {
    let fixture = Fixture::embedded();
    let (ticket, _) = fixture.signed_in().await;
    let planted = Ticket::random();
    for _ in 0..100 {
        assert!(fixture.sessions.open(&planted).await.unwrap().is_none());
    }
    assert_eq!(fixture.store.loads.load(SeqCst), 1);
    let restarted = fixture.restarted();
    assert!(restarted.open(&ticket).await.unwrap().is_some());
}

#[tokio::test]
async fn a_cookie_of_another_form_reads_no_store() {
    let fixture = Fixture::embedded();
    let (ticket, _) = fixture.signed_in().await;
    let text = ticket.expose();
    let cut = text.get(1..).unwrap();
    for junk in ["", "x", cut, &format!("{text}A"), &format!("{cut}+"), &"A".repeat(3000)] {
        let junk = Ticket::new(oidc_core::Secret::from(junk));
        assert!(fixture.sessions.open(&junk).await.unwrap().is_none());
    }
    assert_eq!(fixture.store.loads.load(SeqCst), 0);
}

#[tokio::test]
async fn a_store_that_was_away_is_asked_again() {
    let fixture = Fixture::embedded();
    let (ticket, _) = fixture.signed_in().await;
    let restarted = fixture.restarted();
    fixture.store.down(true);
    assert!(restarted.open(&ticket).await.is_err());
    fixture.store.down(false);
    assert!(restarted.open(&ticket).await.unwrap().is_some());
}

#[tokio::test]
async fn a_ticket_that_is_a_record_is_judged_each_time() {
    let fixture = Fixture::cookie();
    let (ticket, _) = fixture.signed_in().await;
    let junk = Ticket::new(oidc_core::Secret::from("junk"));
    for _ in 0..3 {
        assert!(fixture.sessions.open(&junk).await.unwrap().is_none());
    }
    assert!(fixture.restarted().open(&ticket).await.unwrap().is_some());
}
