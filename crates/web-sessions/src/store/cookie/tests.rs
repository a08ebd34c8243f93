use super::{super::conformance::conforms, *};
use crate::fixtures::*;

const LIFETIME: Duration = Duration::from_secs(12 * 3600);

fn store(clock: Arc<MovableClock>) -> CookieStore {
    CookieStore::new(keys(), LIFETIME, clock)
}

#[tokio::test]
async fn cookie_store_conforms() {
    conforms(store).await;
}

#[tokio::test]
async fn gateways_with_the_same_key_open_each_others_tickets() {
    let clock = MovableClock::new();
    let (here, there) = (store(Arc::clone(&clock)), store(Arc::clone(&clock)));
    let record = record(clock.now());
    let ticket = here.create(&record).await.unwrap();
    assert_same(&there.load(&ticket).await.unwrap().unwrap(), &record);
    let other_key = Arc::new(Keys::new(&[[8; 32]]).unwrap());
    let stranger = CookieStore::new(other_key, LIFETIME, clock);
    assert!(stranger.load(&ticket).await.unwrap().is_none());
}

#[tokio::test]
async fn a_value_sealed_for_another_purpose_is_not_a_ticket() {
    let clock = MovableClock::new();
    let plaintext = encoding::encode(&record(clock.now())).unwrap();
    for (purpose, name) in [(Purpose::Login, NAME), (Purpose::Ticket, "other")] {
        let planted = keys().seal(purpose, name, &plaintext).unwrap();
        let ticket = Ticket::new(Secret::from(planted));
        assert!(store(Arc::clone(&clock)).load(&ticket).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_session_too_large_loses_its_id_token_first() {
    let clock = MovableClock::new();
    let store = store(Arc::clone(&clock));
    let large = |len| Some(Secret::from("x".repeat(len)));
    let record = record(clock.now()).with_id_token(large(9000));
    let ticket = store.create(&record).await.unwrap();
    assert!(store.load(&ticket).await.unwrap().unwrap().id_token.is_some());

    let record = record.with_id_token(large(12_000));
    let ticket = store.create(&record).await.unwrap();
    let loaded = store.load(&ticket).await.unwrap().unwrap();
    assert!(loaded.id_token.is_none() && loaded.refresh_token.is_some());

    let record = record.with_refresh_token(large(12_000));
    let refused = store.create(&record).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooLarge { size, limit } if size > limit));
    assert!(refused.to_string().contains("embedded"));
}
