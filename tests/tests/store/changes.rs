//! Changes of one process reach the others.

use std::time::Duration;

use oidc_core::Clock as _;
use web_sessions::{
    Change, Record, RedisStore, Seen, SessionStore as _, SharedStore as _,
    testing::{MovableClock, record},
};

use super::servers::{Kind, PATIENCE, Server, free_port, hasty, single};

/// The next change that this one accepts.
pub(crate) async fn next(store: &RedisStore, accepts: impl Fn(&Change) -> bool) -> Change {
    let wanted = async {
        loop {
            let change = store.next_change().await;
            if accepts(&change) {
                return change;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wanted).await.expect("a change arrives")
}

/// Waits until changes arrive.
pub(crate) async fn arriving(store: &RedisStore) {
    let arrived = async {
        while store.trusted_for() == Duration::ZERO {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    tokio::time::timeout(PATIENCE, arrived).await.expect("changes arrive");
}

/// Forgets what came so far.
pub(crate) async fn drained(store: &RedisStore) {
    while tokio::time::timeout(Duration::from_millis(300), store.next_change()).await.is_ok() {}
}

#[tokio::test]
async fn a_replaced_or_ended_record_is_announced_and_a_use_is_not() {
    for kind in [Kind::Valkey, Kind::Redis] {
        let server = Server::start(kind, &[]).await;
        let (one, two) = (single(&server, "t:"), single(&server, "t:"));
        arriving(&two).await;
        let clock = MovableClock::new();
        let first = record(clock.now());
        let ticket = one.create(&first).await.unwrap();
        drained(&two).await;
        let seen = Seen { id: first.id.clone(), ticket: ticket.digest(), at: clock.now() };
        one.touch(&[seen]).await.unwrap();
        let quiet = tokio::time::timeout(Duration::from_millis(300), two.next_change()).await;
        assert!(quiet.is_err(), "{quiet:?}");
        one.replace(&ticket, &Record { generation: 1, ..first.clone() }).await.unwrap();
        assert_eq!(two.next_change().await, Change::Record(ticket.digest()));
        one.end(&first.id).await.unwrap();
        assert_eq!(two.next_change().await, Change::Record(ticket.digest()));
        assert_eq!(two.next_change().await, Change::Ended(first.id.clone()));
        assert!(two.trusted_for() > Duration::ZERO);
    }
}

#[tokio::test]
async fn a_lost_connection_is_known_as_changes_that_were_missed() {
    let port = free_port();
    let server = Server::start_on(Kind::Valkey, port, &[]).await;
    let (one, two) = (hasty(&server, "t:"), hasty(&server, "t:"));
    arriving(&two).await;
    drained(&two).await;
    server.ask(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    next(&two, |change| *change == Change::Missed).await;
    arriving(&two).await;
    drained(&two).await;
    // A server that hangs says nothing more: nothing is trusted, although no connection was closed.
    server.signal("STOP");
    let stopped = tokio::time::Instant::now();
    while two.trusted_for() > Duration::ZERO {
        assert!(stopped.elapsed() < PATIENCE, "a server that hangs is trusted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    next(&two, |change| *change == Change::Missed).await;
    server.signal("CONT");
    arriving(&two).await;
    drained(&two).await;
    // What ended while the stream was not read is named afterwards.
    let first = record(MovableClock::new().now());
    let ticket = one.create(&first).await.unwrap();
    server.ask(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    one.end(&first.id).await.unwrap();
    next(&two, |change| *change == Change::Ended(first.id.clone())).await;
    assert!(two.load(&ticket).await.unwrap().is_none());
}

#[tokio::test]
async fn an_emptied_server_is_known_as_changes_that_were_missed() {
    let server = Server::start(Kind::Valkey, &[]).await;
    let store = single(&server, "t:");
    arriving(&store).await;
    let ticket = store.create(&record(MovableClock::new().now())).await.unwrap();
    drained(&store).await;
    server.ask(&["FLUSHALL"]).await;
    next(&store, |change| *change == Change::Missed).await;
    assert!(store.load(&ticket).await.unwrap().is_none());
}
