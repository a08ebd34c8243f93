//! Behaviour common to all stores. An adapter's test calls [`conforms`] with a way to make a fresh store.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test support module: a failed unwrap is a failed test"
)]

mod entries;
mod shared;

use std::{sync::Arc, time::Duration};

use oidc_core::{Clock as _, Secret};

pub use self::shared::shares;
use super::*;
use crate::testing::*;

/// Runs every case, each on a store of its own.
///
/// # Panics
///
/// If the store does not conform.
pub async fn conforms<S: SessionStore>(fresh: impl Fn(Arc<MovableClock>) -> S) {
    let clock = MovableClock::new();
    let store = || fresh(Arc::clone(&clock));
    a_record_comes_back_as_it_was(&store(), &clock).await;
    an_unknown_ticket_opens_nothing(&store(), &clock).await;
    tickets_are_never_given_twice(&store(), &clock).await;
    a_replaced_record_is_seen_through_both_tickets(&store(), &clock).await;
    what_ended_stays_ended(&store(), &clock).await;
    a_provider_session_ends_with_all_its_sessions(&store(), &clock).await;
    a_person_is_signed_out_everywhere_and_may_come_back(&store(), &clock).await;
    a_logout_token_ends_only_sessions_signed_alike(&store(), &clock).await;
    sweeping_spares_sessions_that_live(&store(), &clock).await;
    a_kept_login_waits_until_it_is_forgotten(&store(), &clock).await;
    a_counter_holds_all_that_was_added(&store(), &clock).await;
    nothing_secret_is_printed(&store(), &clock).await;
    kept_records_are_counted(&store(), &clock).await;
    entries::keeps_entries(&store(), &clock).await;
    store().ready().await.unwrap();
}

async fn opens(store: &impl SessionStore, ticket: &Ticket) -> bool {
    store.load(ticket).await.unwrap().is_some()
}

async fn all_open(store: &impl SessionStore, tickets: &[Ticket]) -> Vec<bool> {
    let mut open = Vec::new();
    for ticket in tickets {
        open.push(opens(store, ticket).await);
    }
    open
}

async fn a_record_comes_back_as_it_was(store: &impl SessionStore, clock: &MovableClock) {
    let full = record(clock.now());
    let bare = Record::new(person("main", "bob"), Secret::from("t"), clock.now(), clock.now());
    for record in [full, bare] {
        let ticket = store.create(&record).await.unwrap();
        assert_same(&store.load(&ticket).await.unwrap().unwrap(), &record);
    }
}

async fn an_unknown_ticket_opens_nothing(store: &impl SessionStore, clock: &MovableClock) {
    let ticket = store.create(&record(clock.now())).await.unwrap();
    let cut = &ticket.expose()[..ticket.expose().len() - 1];
    let longer = format!("{}A", ticket.expose());
    for text in ["", "x", "AAAA", "\u{2000}", cut, &longer, Ticket::random().expose()] {
        assert!(!opens(store, &Ticket::new(Secret::from(text))).await, "{text}");
    }
    assert!(opens(store, &ticket).await);
}

async fn tickets_are_never_given_twice(store: &impl SessionStore, clock: &MovableClock) {
    let record = record(clock.now());
    let one = store.create(&record).await.unwrap();
    let two = store.create(&Record { id: SessionId::random(), ..record }).await.unwrap();
    assert_ne!(one.expose(), two.expose());
}

async fn a_replaced_record_is_seen_through_both_tickets(
    store: &impl SessionStore,
    clock: &MovableClock,
) {
    let mut record = record(clock.now());
    let first = store.create(&record).await.unwrap();
    let mut latest = first.clone();
    for generation in 1..4 {
        record.generation = generation;
        record.access_token = Secret::from(format!("access-{generation}"));
        latest = store.replace(&latest, &record).await.unwrap().unwrap();
    }
    assert_same(&store.load(&latest).await.unwrap().unwrap(), &record);
    assert_same(&store.load(&first).await.unwrap().unwrap(), &record);
}

async fn what_ended_stays_ended(store: &impl SessionStore, clock: &MovableClock) {
    let record = record(clock.now());
    let first = store.create(&record).await.unwrap();
    let second = store.replace(&first, &record).await.unwrap().unwrap();
    store.end(&record.id).await.unwrap();
    store.end(&record.id).await.unwrap();
    assert!(!opens(store, &first).await && !opens(store, &second).await);
    // A refresh or a late `touch` in progress does not bring it back.
    assert!(store.replace(&second, &record).await.unwrap().is_none());
    let ticket = second.digest();
    store.touch(&[Seen { id: record.id.clone(), ticket, at: clock.now() }]).await.unwrap();
    assert!(!opens(store, &first).await && !opens(store, &second).await);
}

async fn a_provider_session_ends_with_all_its_sessions(
    store: &impl SessionStore,
    clock: &MovableClock,
) {
    let of = |issuer: &str, sid: Option<&str>| Record {
        known: Arc::new(person(issuer, "alice")),
        ..record(clock.now()).with_provider_session(sid.map(str::to_owned))
    };
    let mut tickets = Vec::new();
    for (issuer, sid) in [
        ("main", Some("one")),
        ("main", Some("one")),
        ("main", Some("two")),
        ("other", Some("one")),
        ("main", None),
    ] {
        tickets.push(store.create(&of(issuer, sid)).await.unwrap());
    }
    let which = Which::ProviderSession { issuer: "main".to_owned(), sid: "one".to_owned() };
    store.end_matching(&which, None).await.unwrap();
    assert_eq!(all_open(store, &tickets).await, [false, false, true, true, true]);
}

async fn a_person_is_signed_out_everywhere_and_may_come_back(
    store: &impl SessionStore,
    clock: &MovableClock,
) {
    let of = |issuer: &str, subject: &str| Record {
        known: Arc::new(person(issuer, subject)),
        ..record(clock.now()).with_provider_session(None)
    };
    let alice = store.create(&of("main", "alice")).await.unwrap();
    let bob = store.create(&of("main", "bob")).await.unwrap();
    let namesake = store.create(&of("other", "alice")).await.unwrap();
    let which = Which::Subject { issuer: "main".to_owned(), subject: "alice".to_owned() };
    store.end_matching(&which, None).await.unwrap();
    assert!(!opens(store, &alice).await);
    assert!(opens(store, &bob).await && opens(store, &namesake).await);

    clock.advance(Duration::from_secs(1));
    let again = store.create(&of("main", "alice")).await.unwrap();
    assert!(opens(store, &again).await && !opens(store, &alice).await);
}

async fn a_logout_token_ends_only_sessions_signed_alike(
    store: &impl SessionStore,
    clock: &MovableClock,
) {
    let subject = Which::Subject { issuer: "main".to_owned(), subject: "alice".to_owned() };
    let session = Which::ProviderSession { issuer: "main".to_owned(), sid: "sid-1".to_owned() };
    for which in [subject, session] {
        let algorithms = [Some(Algorithm::RS256), Some(Algorithm::ES256), None];
        let mut records =
            algorithms.map(|one| Record { ..record(clock.now()).with_id_token_algorithm(one) });
        let mut tickets = Vec::new();
        for record in &records {
            tickets.push(store.create(record).await.unwrap());
        }
        let ended = store.end_matching(&which, Some(Algorithm::PS256)).await.unwrap();
        assert_eq!(
            all_open(store, &tickets).await,
            [true, true, false],
            "a session without an algorithm ends: {which:?}"
        );
        assert!(ended.ids.iter().all(|id| *id == records[2].id));
        assert!(ended.spared.iter().all(|id| [&records[0].id, &records[1].id].contains(&id)));
        store.end_matching(&which, Some(Algorithm::ES256)).await.unwrap();
        assert_eq!(all_open(store, &tickets).await, [true, false, false], "{which:?}");
        // Another ID token came with a refresh.
        records[0].id_token_algorithm = Some(Algorithm::PS384);
        records[0].generation = 1;
        tickets[0] = store.replace(&tickets[0], &records[0]).await.unwrap().unwrap();
        store.end_matching(&which, Some(Algorithm::RS256)).await.unwrap();
        assert_eq!(all_open(store, &tickets).await, [true, false, false], "{which:?}");
        store.end_matching(&which, Some(Algorithm::PS384)).await.unwrap();
        assert_eq!(all_open(store, &tickets).await, [false; 3], "{which:?}");
        clock.advance(Duration::from_secs(1));
    }
    // Without a logout token all of them end.
    let which = Which::Subject { issuer: "main".to_owned(), subject: "alice".to_owned() };
    let ticket = store.create(&record(clock.now())).await.unwrap();
    assert!(opens(store, &ticket).await);
    store.end_matching(&which, None).await.unwrap();
    assert!(!opens(store, &ticket).await);
}

async fn sweeping_spares_sessions_that_live(store: &impl SessionStore, clock: &MovableClock) {
    let limits = Limits::new(Duration::from_secs(3600), Duration::from_secs(12 * 3600));
    let ticket = store.create(&record(clock.now())).await.unwrap();
    clock.advance(Duration::from_secs(3599));
    assert_eq!(store.sweep(&limits, clock.now()).await.unwrap(), 0);
    assert!(opens(store, &ticket).await);
}

async fn kept_records_are_counted(store: &impl SessionStore, clock: &MovableClock) {
    if store.count().await.unwrap().is_none() {
        return;
    }
    for kept in 0..3 {
        assert_eq!(store.count().await.unwrap(), Some(kept));
        store.create(&record(clock.now())).await.unwrap();
    }
}

/// A store may keep no logins; then the browser's cookie holds them.
async fn a_kept_login_waits_until_it_is_forgotten(store: &impl SessionStore, clock: &MovableClock) {
    let (key, other, until) = ([1; 32], [2; 32], clock.now() + Duration::from_secs(3600));
    let kept = store.keep_login(&key, b"sealed", until).await.unwrap();
    let found = store.login(&key).await.unwrap();
    assert_eq!(found.as_deref(), kept.then_some(&b"sealed"[..]));
    assert_eq!(store.login(&other).await.unwrap(), None);
    store.forget_login(&other).await.unwrap();
    assert_eq!(store.login(&key).await.unwrap().is_some(), kept);
    for _ in 0..2 {
        store.forget_login(&key).await.unwrap();
        assert_eq!(store.login(&key).await.unwrap(), None);
    }
}

async fn a_counter_holds_all_that_was_added(store: &impl SessionStore, clock: &MovableClock) {
    let (counter, other, until) = ([1; 32], [2; 32], clock.now() + Duration::from_secs(3600));
    let Some(none) = store.add(&counter, 0, until).await.unwrap() else { return };
    assert_eq!(none, 0);
    for expected in [40, 80, 120] {
        assert_eq!(store.add(&counter, 40, until).await.unwrap(), Some(expected));
    }
    assert_eq!(store.add(&other, 5, until).await.unwrap(), Some(5));
    assert_eq!(store.add(&counter, 0, until).await.unwrap(), Some(120));
}

async fn nothing_secret_is_printed(store: &impl SessionStore, clock: &MovableClock) {
    let record = record(clock.now());
    let ticket = store.create(&record).await.unwrap();
    let printed = format!("{store:?} {ticket:?} {record:?}");
    for secret in [ticket.expose(), "access-token", "refresh-token", "id-token"] {
        assert!(!printed.contains(&format!("\"{secret}\"")) && !printed.contains(ticket.expose()));
    }
    if !store.keeps_records() {
        assert!(!ticket.expose().contains("access"));
    }
}
