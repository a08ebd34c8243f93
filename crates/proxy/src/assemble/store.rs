//! Storage of sessions, by the configuration.

use std::sync::Arc;

use oidc_core::Clock;
use oidc_core::dpop::{LocalReplayMemory, ReplayMemory};
use web_sessions::{
    CookieStore, EmbeddedStore, Keys, Limits, ReadPassword, RedisNode, RedisOptions, RedisServers,
    RedisStore, RedisTls, SessionStore,
};

use super::{AssembleError, at};
use crate::{
    config::{self, Config, SecretRef, SessionConfig, SessionStoreConfig},
    metric,
};

/// A store, and the memory of used DPoP proofs that belongs to it.
pub(super) struct Opened {
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) proofs: Arc<dyn ReplayMemory>,
}

/// Used proofs that one process remembers.
const PROOFS: usize = 100_000;

/// Opens the store. Blocks while a file is opened; a store of the network connects in the background, and needs a Tokio runtime.
pub(super) fn open(
    config: &Config,
    keys: &Arc<Keys>,
    clock: &Arc<dyn Clock>,
) -> Result<Opened, AssembleError> {
    let session = &config.session;
    let store: Arc<dyn SessionStore> = match &session.store {
        // No browser login is configured: no session is kept, and the random key of this process seals nothing.
        _ if session.key.is_empty() => in_cookies(session, keys, clock),
        SessionStoreConfig::Cookie => in_cookies(session, keys, clock),
        SessionStoreConfig::Embedded(embedded) => Arc::new(
            EmbeddedStore::open(&embedded.path, Arc::clone(keys)).map_err(at("session.store"))?,
        ),
        SessionStoreConfig::Redis(redis) => {
            let limits = Limits::new(session.idle, session.lifetime);
            let store =
                RedisStore::new(options(redis), Arc::clone(keys), limits, Arc::clone(clock));
            let proofs = Arc::new(store.replay_memory());
            return Ok(Opened { store: Arc::new(store), proofs });
        }
    };
    Ok(Opened { store, proofs: Arc::new(LocalReplayMemory::new(PROOFS)) })
}

fn in_cookies(
    session: &SessionConfig,
    keys: &Arc<Keys>,
    clock: &Arc<dyn Clock>,
) -> Arc<dyn SessionStore> {
    Arc::new(CookieStore::new(Arc::clone(keys), session.lifetime, Arc::clone(clock)))
}

/// Options to reach a store in Valkey or Redis.
fn options(redis: &config::RedisStore) -> RedisOptions {
    let node = |host: &str, port| RedisNode { host: host.to_owned(), port };
    let servers = match (&redis.sentinel, &redis.url) {
        (Some(sentinel), _) => RedisServers::Sentinel {
            master: sentinel.master.clone(),
            nodes: sentinel.addresses().map(|(host, port)| node(host, port)).collect(),
            password: sentinel.password.as_ref().map(read),
        },
        (None, Some(url)) => RedisServers::Single(node(&url.host, url.port)),
        (None, None) => RedisServers::Cluster(
            redis.cluster.iter().map(|one| node(&one.host, one.node_port())).collect(),
        ),
    };
    let tls = redis.uses_tls().then(|| {
        let files = redis.tls.clone().unwrap_or_default();
        RedisTls { ca_file: files.ca_file, client: files.client_certificate.zip(files.client_key) }
    });
    RedisOptions::new(servers, redis.prefix.clone(), redis.timeout)
        .with_database(redis.url.as_ref().map_or(0, |url| i64::from(url.database)))
        .with_login(redis.user.clone(), redis.password.as_ref().map(read))
        .with_tls(tls)
        .with_observe(Arc::new(metric::store))
}

fn read(secret: &SecretRef) -> ReadPassword {
    let secret = secret.clone();
    Arc::new(move || secret.read().map_err(|error| error.to_string()))
}

/// Checks that the store of a configuration can be used, for `doorward check --online`. Stores nothing. `None` where there is
/// nothing to connect to.
///
/// # Errors
///
/// The store cannot be reached or refuses the gateway, or a key cannot be read.
pub async fn ask_store(config: &Config) -> Option<Result<String, String>> {
    let SessionStoreConfig::Redis(redis) = &config.session.store else { return None };
    if config.session.key.is_empty() {
        return None;
    }
    let options = options(redis);
    Some(web_sessions::ask_redis(options).await)
}
