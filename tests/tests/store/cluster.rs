//! A cluster: each session in one slot, changes from every primary.

use std::{cell::Cell, time::Duration};

use oidc_core::Clock as _;
use tokio::time::Instant;
use web_sessions::{
    Change, InTurn, Record, RedisServers, SessionStore as _, SharedStore as _, Turn, Which,
    ask_redis, session_store_conforms,
    testing::{MovableClock, record},
};

use super::{
    changes::{arriving, drained, next},
    servers::{Kind, PATIENCE, Server, free_port, hasty_options, options, store_of},
};

const SLOTS: u16 = 16384;

async fn start(kind: Kind, primaries: u16) -> Vec<Server> {
    let (mut nodes, mut first) = (Vec::new(), None);
    for _ in 0..primaries {
        let bus = free_port().to_string();
        let words =
            ["--cluster-port", &bus, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
        let node = Server::start(kind, &words).await;
        first.get_or_insert_with(|| (node.port.to_string(), bus.clone()));
        nodes.push(node);
    }
    let (port, bus) = first.expect("there are primaries");
    let share = SLOTS / primaries;
    for (index, node) in (0..).zip(&nodes) {
        let last = if index == primaries - 1 { SLOTS - 1 } else { (index + 1) * share - 1 };
        let (first, last) = ((index * share).to_string(), last.to_string());
        node.ask(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await;
        node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]).await;
        node.ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
    }
    for node in &nodes {
        node.until(&["CLUSTER", "INFO"], "cluster_state:ok").await;
        node.until(&["CLUSTER", "INFO"], &format!("cluster_known_nodes:{primaries}")).await;
    }
    nodes
}

fn servers(nodes: &[Server]) -> RedisServers {
    RedisServers::Cluster(nodes.iter().take(2).map(Server::node).collect())
}

#[tokio::test]
async fn the_store_conforms_on_a_cluster() {
    for kind in [Kind::Valkey, Kind::Redis] {
        let nodes = start(kind, 3).await;
        let count = Cell::new(0);
        session_store_conforms(|clock| {
            count.set(count.get() + 1);
            store_of(options(servers(&nodes), &format!("test{}:", count.get())), clock)
        })
        .await;
    }
}

#[tokio::test]
async fn changes_arrive_from_every_primary() {
    let nodes = start(Kind::Valkey, 3).await;
    let clock = MovableClock::new();
    let one = store_of(options(servers(&nodes), "t:"), clock.clone());
    let two = store_of(options(servers(&nodes), "t:"), clock.clone());
    ask_redis(options(servers(&nodes), "t:")).await.unwrap();
    arriving(&two).await;
    let mut tickets = Vec::new();
    // So many that each primary has one, but for one chance in millions.
    for _ in 0..48 {
        let record = record(clock.now());
        tickets.push((one.create(&record).await.unwrap(), record));
    }
    drained(&two).await;
    for (ticket, record) in &tickets {
        one.replace(ticket, &Record { generation: 1, ..record.clone() }).await.unwrap();
        next(&two, |change| *change == Change::Record(ticket.digest())).await;
    }
    let (ticket, first) = &tickets[0];
    let Turn::Ours(held) = one.take_turn(ticket, 1).await.unwrap() else { panic!("it is free") };
    assert!(matches!(two.take_turn(ticket, 1).await.unwrap(), Turn::Theirs));
    let fresh = Record { generation: 2, ..first.clone() };
    let stored = one.replace_in_turn(ticket, &fresh, &held).await.unwrap();
    assert!(matches!(stored, InTurn::Stored));
    for node in &nodes {
        assert!(node.keys().await.iter().any(|key| key.starts_with("t:s:")), "sessions are spread");
    }
    let subject = Which::Subject { issuer: "main".to_owned(), subject: "alice".to_owned() };
    let ended = two.end_matching(&subject, None).await.unwrap();
    assert_eq!(ended.ids.len(), 48);
    next(&one, |change| *change == Change::Ended(first.id.clone())).await;
    assert_eq!(one.count().await.unwrap(), Some(0));
}

#[tokio::test]
async fn a_primary_that_hangs_fails_calls_in_time() {
    let nodes = start(Kind::Valkey, 3).await;
    let clock = MovableClock::new();
    let store = store_of(hasty_options(servers(&nodes), "t:"), clock.clone());
    arriving(&store).await;
    let ticket = store.create(&record(clock.now())).await.unwrap();
    drained(&store).await;
    nodes[2].signal("STOP");
    next(&store, |change| *change == Change::Missed).await;
    assert_eq!(store.trusted_for(), Duration::ZERO);
    let began = Instant::now();
    let _ = store.load(&ticket).await;
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    nodes[2].signal("CONT");
    let began = Instant::now();
    while store.load(&ticket).await.is_err() {
        assert!(began.elapsed() < PATIENCE, "not healed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    arriving(&store).await;
}
