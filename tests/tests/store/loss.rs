//! A server that hangs, dies or comes back.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use oidc_core::Clock as _;
use tokio::time::Instant;
use web_sessions::{
    Record, SessionStore as _, Ticket,
    testing::{MovableClock, record},
};

use super::servers::{Kind, PATIENCE, Server, free_port, hasty, single};

#[tokio::test]
async fn a_server_that_hangs_costs_the_deadline_and_then_nothing() {
    let server = Server::start(Kind::Valkey, &[]).await;
    let store = hasty(&server, "t:");
    let ticket = store.create(&record(MovableClock::new().now())).await.unwrap();
    server.signal("STOP");
    let began = Instant::now();
    let error = store.load(&ticket).await.unwrap_err().to_string();
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    assert!(error.contains(&format!("127.0.0.1:{}", server.port)), "{error}");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let began = Instant::now();
    for _ in 0..100 {
        store.load(&ticket).await.unwrap_err();
    }
    assert!(began.elapsed() < PATIENCE, "each waits: {:?}", began.elapsed());
    server.signal("CONT");
    healed(&store, &ticket).await;
}

/// Waits until the store answers.
async fn healed(store: &web_sessions::RedisStore, ticket: &Ticket) {
    let began = Instant::now();
    while store.load(ticket).await.is_err() {
        assert!(began.elapsed() < PATIENCE, "not healed");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

#[tokio::test]
async fn a_restarted_server_is_used_again() {
    let port = free_port();
    let server = Server::start_on(Kind::Valkey, port, &[]).await;
    let store = single(&server, "t:");
    let first = record(MovableClock::new().now());
    let ticket = store.create(&first).await.unwrap();
    // Connections that were closed are made again within the call.
    server.ask(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    assert!(store.load(&ticket).await.unwrap().is_some());
    drop(server);
    let error = store.load(&ticket).await.unwrap_err().to_string();
    assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
    store.ready().await.unwrap_err();
    let server = Server::start_on(Kind::Valkey, port, &[]).await;
    let began = Instant::now();
    while store.ready().await.is_err() {
        assert!(began.elapsed() < PATIENCE, "not healed");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    // It kept nothing, and its scripts are gone too.
    assert!(store.load(&ticket).await.unwrap().is_none());
    store.create(&Record { generation: 1, ..first }).await.unwrap();
    drop(server);
}

#[tokio::test]
async fn calls_beyond_the_bound_fail_at_once() {
    let server = Server::start(Kind::Valkey, &[]).await;
    let store = Arc::new(single(&server, "t:"));
    let ticket = store.create(&record(MovableClock::new().now())).await.unwrap();
    server.signal("STOP");
    let began = Instant::now();
    let calls = join_all((0..600).map(|_| async {
        let error = store.load(&ticket).await.unwrap_err().to_string();
        (error, began.elapsed())
    }))
    .await;
    let refused: Vec<_> = calls
        .iter()
        .filter(|(error, _)| error.contains("calls of this process in flight"))
        .collect();
    assert_eq!(refused.len(), 600 - 512);
    assert!(refused.iter().all(|(_, after)| *after < Duration::from_secs(1)));
    server.signal("CONT");
    healed(&store, &ticket).await;
}

#[tokio::test]
async fn a_full_server_says_what_to_do_and_loses_no_session() {
    let server = Server::start(Kind::Valkey, &["--maxmemory-policy", "noeviction"]).await;
    let store = single(&server, "t:");
    let first = record(MovableClock::new().now());
    let ticket = store.create(&first).await.unwrap();
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let error = store.create(&record(MovableClock::new().now())).await.unwrap_err().to_string();
    assert!(error.contains("has no memory left; raise its `maxmemory`"), "{error}");
    assert!(store.load(&ticket).await.unwrap().is_some());
    store.end(&first.id).await.unwrap();
    assert!(store.load(&ticket).await.unwrap().is_none(), "a sign-out needs no memory");
}

#[tokio::test]
async fn a_demoted_server_serves_the_sessions_that_it_has() {
    let server = Server::start(Kind::Valkey, &[]).await;
    let store = single(&server, "t:");
    let first = record(MovableClock::new().now());
    let ticket = store.create(&first).await.unwrap();
    server.ask(&["REPLICAOF", "127.0.0.1", "1"]).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for _ in 0..3 {
        let error = store.create(&record(MovableClock::new().now())).await.unwrap_err().to_string();
        assert!(error.contains("is a replica and takes no writes; name the primary"), "{error}");
        assert!(store.load(&ticket).await.unwrap().is_some());
    }
    server.ask(&["REPLICAOF", "NO", "ONE"]).await;
    store.create(&record(MovableClock::new().now())).await.unwrap();
}
