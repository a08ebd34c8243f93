//! Behaviour common to all stores that several processes share. An adapter's test calls [`shares`] with two of its stores, which
//! have the same records, as two processes have them.

use tokio::time::{sleep, timeout};

use super::*;

/// Runs every case on the same two stores.
///
/// # Panics
///
/// If they do not conform.
pub async fn shares<S: SessionStore>(here: &S, there: &S, clock: &MovableClock) {
    let (one, two) = (here.shared().unwrap(), there.shared().unwrap());
    one_process_has_the_turn(here, [one, two], clock).await;
    a_turn_ends_by_itself(here, [one, two], clock).await;
    the_record_of_a_lost_turn_is_stored(here, [one, two], clock).await;
    an_ended_session_has_no_turn(here, [one, two], clock).await;
    changes_reach_the_other_process(here, two, clock).await;
    a_sign_out_elsewhere_is_known(here, two, clock).await;
    a_thing_counts_once([one, two]).await;
}

fn refreshed(record: &Record, generation: u64, token: &str) -> Record {
    Record { generation, access_token: Secret::from(token), ..record.clone() }
}

async fn ours(store: &dyn SharedStore, ticket: &Ticket, generation: u64) -> HeldTurn {
    let held = match store.take_turn(ticket, generation).await.unwrap() {
        Turn::Ours(held) => Some(held),
        _ => None,
    };
    held.unwrap()
}

async fn is_theirs(store: &dyn SharedStore, ticket: &Ticket) -> bool {
    matches!(store.take_turn(ticket, 0).await.unwrap(), Turn::Theirs)
}

async fn replaced(
    store: &dyn SharedStore,
    ticket: &Ticket,
    record: &Record,
    held: &HeldTurn,
) -> InTurn {
    store.replace_in_turn(ticket, record, held).await.unwrap()
}

async fn one_process_has_the_turn(
    here: &impl SessionStore,
    [one, two]: [&dyn SharedStore; 2],
    clock: &MovableClock,
) {
    let record = record(clock.now());
    let ticket = here.create(&record).await.unwrap();
    let held = ours(one, &ticket, 0).await;
    assert!(is_theirs(two, &ticket).await);
    assert!(one.keep_turn(&ticket, &held).await.unwrap());
    // A turn is kept and ended only by its number.
    let other = HeldTurn::random();
    assert!(!two.keep_turn(&ticket, &other).await.unwrap());
    two.give_up_turn(&ticket, &other).await.unwrap();
    assert!(is_theirs(two, &ticket).await);
    one.give_up_turn(&ticket, &held).await.unwrap();
    let held = ours(two, &ticket, 0).await;
    let newer = refreshed(&record, 1, "newer");
    assert!(matches!(replaced(two, &ticket, &newer, &held).await, InTurn::Stored));
    let over = match one.take_turn(&ticket, 0).await.unwrap() {
        Turn::Over(found) => Some(found),
        _ => None,
    };
    assert_same(&over.unwrap(), &newer);
    // The turn ended with the record.
    ours(one, &ticket, 1).await;
}

async fn a_turn_ends_by_itself(
    here: &impl SessionStore,
    [one, two]: [&dyn SharedStore; 2],
    clock: &MovableClock,
) {
    let ticket = here.create(&record(clock.now())).await.unwrap();
    let held = ours(one, &ticket, 0).await;
    sleep(TURN / 2).await;
    assert!(one.keep_turn(&ticket, &held).await.unwrap());
    sleep(TURN * 3 / 4).await;
    assert!(is_theirs(two, &ticket).await, "it was kept");
    sleep(TURN / 2).await;
    ours(two, &ticket, 0).await;
    assert!(!one.keep_turn(&ticket, &held).await.unwrap());
    one.give_up_turn(&ticket, &held).await.unwrap();
    assert!(is_theirs(one, &ticket).await);
}

async fn the_record_of_a_lost_turn_is_stored(
    here: &impl SessionStore,
    [one, two]: [&dyn SharedStore; 2],
    clock: &MovableClock,
) {
    let record = record(clock.now());
    let ticket = here.create(&record).await.unwrap();
    let (lost, held) = (HeldTurn::random(), ours(two, &ticket, 0).await);
    let first = refreshed(&record, 1, "first");
    assert!(matches!(replaced(one, &ticket, &first, &lost).await, InTurn::Stored));
    // The other process is late, and its record is not newer.
    let late = refreshed(&record, 1, "late");
    let overtaken = match replaced(two, &ticket, &late, &held).await {
        InTurn::Overtaken(found) => Some(found),
        _ => None,
    };
    assert_same(&overtaken.unwrap(), &first);
    let stored = here.load(&ticket).await.unwrap().unwrap();
    assert_same(&stored, &first);
}

async fn an_ended_session_has_no_turn(
    here: &impl SessionStore,
    [one, two]: [&dyn SharedStore; 2],
    clock: &MovableClock,
) {
    let record = record(clock.now());
    let ticket = here.create(&record).await.unwrap();
    let held = ours(two, &ticket, 0).await;
    here.end(&record.id).await.unwrap();
    assert!(!two.keep_turn(&ticket, &held).await.unwrap());
    assert!(matches!(one.take_turn(&ticket, 0).await.unwrap(), Turn::Ended));
    let newer = refreshed(&record, 1, "newer");
    assert!(matches!(replaced(two, &ticket, &newer, &held).await, InTurn::Ended));
    assert!(here.load(&ticket).await.unwrap().is_none());
}

/// Waits for a change, past those of before.
async fn changes_to(store: &dyn SharedStore, expected: &Change) {
    let found = async { while store.next_change().await != *expected {} };
    timeout(Duration::from_secs(5), found).await.unwrap();
}

async fn changes_reach_the_other_process(
    here: &impl SessionStore,
    two: &dyn SharedStore,
    clock: &MovableClock,
) {
    let arriving = async {
        while two.trusted_for().is_zero() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(5), arriving).await.unwrap();
    let record = record(clock.now());
    let ticket = here.create(&record).await.unwrap();
    changes_to(two, &Change::Record(ticket.digest())).await;
    here.replace(&ticket, &refreshed(&record, 1, "newer")).await.unwrap();
    changes_to(two, &Change::Record(ticket.digest())).await;
    here.end(&record.id).await.unwrap();
    changes_to(two, &Change::Ended(record.id)).await;
}

async fn a_sign_out_elsewhere_is_known(
    here: &impl SessionStore,
    two: &dyn SharedStore,
    clock: &MovableClock,
) {
    let record = record(clock.now()).with_provider_session(Some("signed out".to_owned()));
    let which = Which::ProviderSession { issuer: "main".to_owned(), sid: "signed out".to_owned() };
    assert!(!two.signed_out_since(&record, clock.now()).await.unwrap());
    here.end_matching(&which, Some(Algorithm::RS256)).await.unwrap();
    assert!(two.signed_out_since(&record, clock.now()).await.unwrap());
    let signed_otherwise = record.with_id_token_algorithm(Some(Algorithm::ES256));
    assert!(!two.signed_out_since(&signed_otherwise, clock.now()).await.unwrap());
}

async fn a_thing_counts_once([one, two]: [&dyn SharedStore; 2]) {
    let (name, minute) = ([7; 32], Duration::from_secs(60));
    assert!(one.first_use(&name, minute).await.unwrap());
    assert!(!two.first_use(&name, minute).await.unwrap());
    assert!(!one.first_use(&name, minute).await.unwrap());
    assert!(two.first_use(&[8; 32], minute).await.unwrap());
    two.forget_use(&name).await.unwrap();
    assert!(two.first_use(&name, Duration::from_millis(100)).await.unwrap());
    sleep(Duration::from_millis(200)).await;
    assert!(one.first_use(&name, minute).await.unwrap());
}
