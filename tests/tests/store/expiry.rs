//! Keys: names that open nothing, and an expiry for each.

use std::{sync::Arc, time::Duration};

use oidc_core::Clock as _;
use web_sessions::{
    RedisServers, RedisStore, Seen, SessionStore as _, SharedStore as _, Which,
    testing::{MovableClock, record},
};

use super::servers::{Kind, PATIENCE, Server, options, store_of};

/// A server, and a store on it by a clock that the test moves.
async fn start() -> (Server, Arc<MovableClock>, RedisStore) {
    let (server, clock) = (Server::start(Kind::Valkey, &[]).await, MovableClock::new());
    let servers = RedisServers::Single(server.node());
    let store = store_of(options(servers, "t:"), clock.clone());
    (server, clock, store)
}

#[tokio::test]
async fn no_key_lasts_and_none_holds_a_secret() {
    let (server, clock, store) = start().await;
    let record = record(clock.now());
    let ticket = store.create(&record).await.unwrap();
    store.create(&web_sessions::testing::record(clock.now())).await.unwrap();
    store.take_turn(&ticket, 0).await.unwrap();
    let seen = Seen { id: record.id.clone(), ticket: ticket.digest(), at: clock.now() };
    store.touch(&[seen]).await.unwrap();
    store.keep_login(&[1; 32], b"sealed", clock.now() + Duration::from_secs(60)).await.unwrap();
    store.first_use(&[1; 32], Duration::from_secs(60)).await.unwrap();
    let proof = oidc_core::dpop::UsedProof::new("key", "jti", Duration::from_secs(60));
    oidc_core::dpop::ReplayMemory::remember(&store.replay_memory(), &proof).await.unwrap();
    let unknown = Which::Subject { issuer: "main".to_owned(), subject: "unknown".to_owned() };
    store.end_matching(&unknown, None).await.unwrap();
    let kinds = server.keys().await;
    for kind in ["s:", "u:", "l:", "i:", "w:", "all", "a:", "logins", "j:", "p:", "o:"] {
        assert!(kinds.iter().any(|key| key.starts_with(&format!("t:{kind}"))), "{kind}: {kinds:?}");
    }
    store.end(&record.id).await.unwrap();
    for key in server.keys().await {
        let left = server.ask(&["PTTL", &key]).await;
        assert!(!left.contains("-1"), "{key} lasts for ever: {left}");
    }
    let dump = server.dump().await;
    for secret in [ticket.expose(), "access-token", "refresh-token", "id-token", "alice"] {
        assert!(!dump.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn use_outlives_the_idle_time_and_not_the_lifetime() {
    let (server, clock, store) = start().await;
    let record = record(clock.now());
    let ticket = store.create(&record).await.unwrap();
    let key = server.keys().await.into_iter().find(|key| key.starts_with("t:s:")).expect("a key");
    let left = async || -> i64 {
        let left = server.ask(&["PTTL", &key]).await;
        let digits = left.trim_matches(|c: char| !c.is_ascii_digit());
        digits.parse::<i64>().expect("a time") / 1000
    };
    let touch = async || {
        let seen = Seen { id: record.id.clone(), ticket: ticket.digest(), at: clock.now() };
        store.touch(&[seen]).await.unwrap();
    };
    // An hour idle, and half of one more in hand.
    assert!((5500..=5520).contains(&left().await), "{}", left().await);
    touch().await;
    assert!((5500..=5520).contains(&left().await), "the expiry moves rarely");
    // As if most of that time had passed.
    server.ask(&["PEXPIRE", &key, "3000000"]).await;
    touch().await;
    assert!((5500..=5520).contains(&left().await), "{}", left().await);
    clock.advance(Duration::from_secs(11 * 3600 + 1800));
    server.ask(&["PEXPIRE", &key, "600000"]).await;
    touch().await;
    assert!((1900..=1920).contains(&left().await), "{}", left().await);
    let found = store.load(&ticket).await.unwrap().expect("it lives");
    assert_eq!(found.last_seen, clock.now(), "the time of last use is stored");
}

#[tokio::test]
async fn an_expired_session_is_not_counted_or_listed() {
    let (_server, clock, store) = start().await;
    let old = record(clock.now());
    clock.advance(Duration::from_secs(12 * 3600 + 117));
    store.create(&old).await.unwrap();
    store.create(&record(clock.now())).await.unwrap();
    assert_eq!(store.count().await.unwrap(), Some(2));
    let gone = async {
        while store.list(10).await.unwrap().len() != 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the record expires");
    assert_eq!(store.count().await.unwrap(), Some(1));
}
