//! Sentinels name another primary.

use std::time::Duration;

use oidc_core::Clock as _;
use tokio::time::Instant;
use web_sessions::{
    Change, RedisNode, RedisServers, SessionStore as _, SharedStore as _, ask_redis,
    testing::{MovableClock, record},
};

use super::{
    changes::{arriving, drained, next},
    servers::{Kind, PATIENCE, Server, free_port, hasty_options, options, store_of},
};

/// A primary, a replica, and three sentinels of them.
struct Group {
    primary: Server,
    replica: Server,
    sentinels: Vec<Server>,
}

impl Group {
    async fn start(kind: Kind) -> Self {
        let primary = Server::start(kind, &[]).await;
        let port = primary.port.to_string();
        let replica = Server::start(kind, &["--replicaof", "127.0.0.1", &port]).await;
        replica.until(&["ROLE"], "connected").await;
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            let settings = format!(
                "sentinel monitor main 127.0.0.1 {port} 2\nsentinel down-after-milliseconds main 800\n\
                 sentinel failover-timeout main 4000\n"
            );
            sentinels.push(Server::sentinel(kind, free_port(), &settings).await);
        }
        for sentinel in &sentinels {
            sentinel.until(&["SENTINEL", "CKQUORUM", "main"], "OK 3").await;
            sentinel.until(&["SENTINEL", "REPLICAS", "main"], &replica.port.to_string()).await;
        }
        Self { primary, replica, sentinels }
    }

    fn servers(&self) -> RedisServers {
        // The first is not there: the next one is asked.
        let gone = RedisNode { host: "127.0.0.1".to_owned(), port: free_port() };
        let nodes = std::iter::once(gone).chain(self.sentinels.iter().map(Server::node)).collect();
        RedisServers::Sentinel { master: "main".to_owned(), nodes, password: None }
    }
}

#[tokio::test]
async fn a_store_follows_the_primary_when_the_old_one_hangs() {
    for kind in [Kind::Valkey, Kind::Redis] {
        let group = Group::start(kind).await;
        let store = store_of(hasty_options(group.servers(), "t:"), MovableClock::new());
        let ticket = store.create(&record(MovableClock::new().now())).await.unwrap();
        arriving(&store).await;
        drained(&store).await;
        // Half-open: nothing is closed, nothing answers.
        group.primary.signal("STOP");
        next(&store, |change| *change == Change::Missed).await;
        assert_eq!(store.trusted_for(), Duration::ZERO);
        let began = Instant::now();
        while store.load(&ticket).await.is_err() {
            assert!(began.elapsed() < PATIENCE, "no primary is found");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(store.load(&ticket).await.unwrap().is_some(), "the replica had the record");
        store.create(&record(MovableClock::new().now())).await.unwrap();
        arriving(&store).await;
        assert!(group.replica.ask(&["ROLE"]).await.contains("master"));
        // The old one comes back and answers reads; it is not asked.
        group.primary.signal("CONT");
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(store.count().await.unwrap(), Some(2));
    }
}

#[tokio::test]
async fn a_store_leaves_a_primary_that_was_replaced_while_it_answers() {
    let group = Group::start(Kind::Valkey).await;
    let store = store_of(options(group.servers(), "t:"), MovableClock::new());
    store.create(&record(MovableClock::new().now())).await.unwrap();
    arriving(&store).await;
    drained(&store).await;
    // The first sentinel hangs, and knows nothing of it for a while when it goes on.
    group.sentinels[0].signal("STOP");
    let began = Instant::now();
    group.sentinels[2].ask(&["SENTINEL", "FAILOVER", "main"]).await;
    next(&store, |change| *change == Change::Missed).await;
    loop {
        let created = store.create(&record(MovableClock::new().now())).await;
        let role = group.replica.ask(&["ROLE"]).await;
        if created.is_ok() && role.contains("master") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{created:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    group.sentinels[0].signal("CONT");
    arriving(&store).await;
    let found = group.replica.keys().await;
    assert!(found.iter().filter(|key| key.starts_with("t:s:")).count() >= 2, "{found:?}");
}

#[tokio::test]
async fn an_unknown_primary_and_a_replica_are_named() {
    let group = Group::start(Kind::Valkey).await;
    let nodes = group.sentinels.iter().map(Server::node).collect();
    let servers = RedisServers::Sentinel { master: "other".to_owned(), nodes, password: None };
    let refused = ask_redis(options(servers, "t:")).await.unwrap_err();
    assert!(refused.contains("knows no primary \"other\"; check `sentinel.master`"), "{refused}");
    let servers = RedisServers::Single(group.replica.node());
    let refused = ask_redis(options(servers, "t:")).await.unwrap_err();
    assert!(refused.contains("name the primary, or its sentinels"), "{refused}");
    ask_redis(options(group.servers(), "t:")).await.unwrap();
}
