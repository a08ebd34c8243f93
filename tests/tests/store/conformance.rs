//! The store does what every store does.

use std::cell::Cell;

use oidc_core::testing::replay_memory_conforms;
use web_sessions::{RedisServers, session_store_conforms};

use super::servers::{Kind, Server, options, single, store_of};

async fn conforms_on(kind: Kind) {
    let server = Server::start(kind, &[]).await;
    let count = Cell::new(0);
    session_store_conforms(|clock| {
        count.set(count.get() + 1);
        let servers = RedisServers::Single(server.node());
        store_of(options(servers, &format!("test{}:", count.get())), clock)
    })
    .await;
}

#[tokio::test]
async fn store_conforms_on_valkey() {
    conforms_on(Kind::Valkey).await;
}

#[tokio::test]
async fn store_conforms_on_redis_7() {
    conforms_on(Kind::Redis).await;
}

#[tokio::test]
async fn shared_replay_memory_conforms() {
    let server = Server::start(Kind::Valkey, &[]).await;
    let (count, stores) = (Cell::new(0), std::cell::RefCell::new(Vec::new()));
    replay_memory_conforms(|| {
        count.set(count.get() + 1);
        let store = single(&server, &format!("test{}:", count.get()));
        let memory = store.replay_memory();
        stores.borrow_mut().push(store);
        memory
    })
    .await;
}
