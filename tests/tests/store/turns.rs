//! One refresh for all processes, and what counts once.

use std::time::{Duration, SystemTime};

use oidc_core::{Clock as _, token::Algorithm};
use tokio::time::Instant;
use web_sessions::{
    HeldTurn, InTurn, Record, RedisStore, SessionStore as _, SharedStore as _, Turn, Which,
    testing::{MovableClock, record},
};

use super::servers::{Kind, Server, single};

fn now() -> SystemTime {
    MovableClock::new().now()
}

fn refreshed(record: &Record, generation: u64) -> Record {
    let access_token = format!("access-{generation}").as_str().into();
    Record { generation, access_token, ..record.clone() }
}

async fn ours(store: &RedisStore, ticket: &web_sessions::Ticket, generation: u64) -> HeldTurn {
    match store.take_turn(ticket, generation).await.unwrap() {
        Turn::Ours(held) => held,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_process_refreshes_and_the_others_get_its_record() {
    let server = Server::start(Kind::Valkey, &[]).await;
    let (one, two) = (single(&server, "t:"), single(&server, "t:"));
    let first = record(now());
    let ticket = one.create(&first).await.unwrap();
    let held = ours(&one, &ticket, 0).await;
    assert!(matches!(two.take_turn(&ticket, 0).await.unwrap(), Turn::Theirs));
    assert!(one.keep_turn(&ticket, &held).await.unwrap());
    let stored = one.replace_in_turn(&ticket, &refreshed(&first, 1), &held).await.unwrap();
    assert!(matches!(stored, InTurn::Stored));
    // The one that waited gets the record of the other, and the turn is free again.
    match two.take_turn(&ticket, 0).await.unwrap() {
        Turn::Over(record) => assert_eq!(record.access_token.expose(), "access-1"),
        other => panic!("{other:?}"),
    }
    let held = ours(&two, &ticket, 1).await;
    two.give_up_turn(&ticket, &held).await.unwrap();
    ours(&one, &ticket, 1).await;
}

#[tokio::test]
async fn a_lost_turn_harms_no_other_and_never_stores_an_older_record() {
    let server = Server::start(Kind::Valkey, &[]).await;
    let (one, two) = (single(&server, "t:"), single(&server, "t:"));
    let first = record(now());
    let ticket = one.create(&first).await.unwrap();
    let lost = ours(&one, &ticket, 0).await;
    // As if the time of the turn were over.
    let keys = server.keys().await;
    let key = keys.into_iter().find(|key| key.starts_with("t:l:")).expect("the turn has a key");
    server.ask(&["DEL", &key]).await;
    let held = ours(&two, &ticket, 0).await;
    assert!(!one.keep_turn(&ticket, &lost).await.unwrap());
    one.give_up_turn(&ticket, &lost).await.unwrap();
    assert!(two.keep_turn(&ticket, &held).await.unwrap(), "another process ended the turn");
    two.replace_in_turn(&ticket, &refreshed(&first, 1), &held).await.unwrap();
    match one.replace_in_turn(&ticket, &refreshed(&first, 1), &lost).await.unwrap() {
        InTurn::Overtaken(record) => assert_eq!(record.generation, 1),
        other => panic!("{other:?}"),
    }
    // The rotated token of a turn that was lost is stored all the same.
    let stored = one.replace_in_turn(&ticket, &refreshed(&first, 2), &lost).await.unwrap();
    assert!(matches!(stored, InTurn::Stored));
    two.end(&first.id).await.unwrap();
    assert!(matches!(one.take_turn(&ticket, 2).await.unwrap(), Turn::Ended));
    let late = one.replace_in_turn(&ticket, &refreshed(&first, 3), &lost).await.unwrap();
    assert!(matches!(late, InTurn::Ended));
    assert!(one.load(&ticket).await.unwrap().is_none());
}

#[tokio::test]
async fn a_turn_ends_by_itself() {
    let server = Server::start(Kind::Valkey, &[]).await;
    let store = single(&server, "t:");
    let ticket = store.create(&record(now())).await.unwrap();
    ours(&store, &ticket, 0).await;
    let keys = server.keys().await;
    let key = keys.into_iter().find(|key| key.starts_with("t:l:")).expect("the turn has a key");
    let left = server.ask(&["PTTL", &key]).await;
    let left: u64 = left.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a time");
    assert!(left > 0 && left <= 8000, "{left}");
}

#[tokio::test]
async fn a_refresh_waits_for_a_replica_where_there_is_one() {
    let primary = Server::start(Kind::Valkey, &[]).await;
    let store = single(&primary, "t:");
    let first = record(now());
    let ticket = store.create(&first).await.unwrap();
    let refresh = async |generation: u64| {
        let held = ours(&store, &ticket, generation - 1).await;
        store.replace_in_turn(&ticket, &refreshed(&first, generation), &held).await.unwrap();
    };
    refresh(1).await;
    assert_eq!(waits(&primary).await, 0, "there is no replica to wait for");
    let port = primary.port.to_string();
    let replica = Server::start(Kind::Valkey, &["--replicaof", "127.0.0.1", &port]).await;
    replica.until(&["ROLE"], "connected").await;
    refresh(2).await;
    assert_eq!(waits(&primary).await, 1);
    // A replica that hangs costs one wait in a second, and not one for each refresh.
    replica.signal("STOP");
    let began = Instant::now();
    for generation in 3..20 {
        refresh(generation).await;
    }
    let most = 2 + began.elapsed().as_secs();
    assert!((2..=most).contains(&waits(&primary).await), "{most}");
    replica.signal("CONT");
}

/// Number of times that a server was asked to wait for its replicas.
async fn waits(server: &Server) -> u64 {
    let stats = server.ask(&["INFO", "commandstats"]).await;
    let calls = stats.split_once("cmdstat_wait:calls=").map_or("0", |(_, rest)| rest);
    let digits = calls.find(|c: char| !c.is_ascii_digit()).unwrap_or(calls.len());
    calls[..digits].parse().unwrap()
}

#[tokio::test]
async fn a_sign_out_by_the_provider_ends_a_login_in_progress() {
    let server = Server::start(Kind::Valkey, &[]).await;
    let (one, two) = (single(&server, "t:"), single(&server, "t:"));
    let record = record(now());
    let subject = Which::Subject { issuer: "main".to_owned(), subject: "alice".to_owned() };
    assert!(!one.signed_out_since(&record, now()).await.unwrap());
    two.end_matching(&subject, Some(Algorithm::ES256)).await.unwrap();
    assert!(!one.signed_out_since(&record, now()).await.unwrap(), "signed with another algorithm");
    two.end_matching(&subject, Some(Algorithm::RS256)).await.unwrap();
    assert!(one.signed_out_since(&record, now()).await.unwrap());
    // A login that begins later is another session.
    tokio::time::sleep(Duration::from_millis(2200)).await;
    assert!(!one.signed_out_since(&record, now()).await.unwrap());
    assert!(one.signed_out_since(&record, now() - Duration::from_secs(60)).await.unwrap());
}

#[tokio::test]
async fn what_counts_once_counts_once_at_all_processes() {
    let server = Server::start(Kind::Valkey, &[]).await;
    let (one, two) = (single(&server, "t:"), single(&server, "t:"));
    let hour = Duration::from_secs(3600);
    assert!(one.first_use(&[1; 32], hour).await.unwrap());
    assert!(!two.first_use(&[1; 32], hour).await.unwrap());
    assert!(two.first_use(&[2; 32], hour).await.unwrap());
    two.forget_use(&[1; 32]).await.unwrap();
    assert!(two.first_use(&[1; 32], hour).await.unwrap());
}
