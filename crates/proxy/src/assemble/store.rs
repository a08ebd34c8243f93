//! Storage of sessions, by the configuration.

use std::sync::Arc;

use oidc_core::Clock;
use web_sessions::{
    CookieStore, EmbeddedStore, Keys, Limits, ReadPassword, RedisNode, RedisOptions, RedisServers,
    RedisStore, RedisTls, SessionStore,
};

use super::{AssembleError, at};
use crate::{
    config::{self, Config, SecretRef, SessionConfig, SessionStoreConfig},
    metric,
};

/// Opens the store. Blocks while a file is opened; a store of the network connects in the background, and needs a Tokio runtime.
pub(super) fn open(
    config: &Config,
    keys: &Arc<Keys>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn SessionStore>, AssembleError> {
    let session = &config.session;
    Ok(match &session.store {
        // No browser login is configured: no session is kept, and the random key of this process seals nothing.
        _ if session.key.is_empty() => in_cookies(session, keys, clock),
        SessionStoreConfig::Cookie => in_cookies(session, keys, clock),
        SessionStoreConfig::Embedded(embedded) => Arc::new(
            EmbeddedStore::open(&embedded.path, Arc::clone(keys)).map_err(at("session.store"))?,
        ),
        SessionStoreConfig::Redis(redis) => Arc::new(RedisStore::new(
            options(redis),
            Arc::clone(keys),
            Limits::new(session.idle, session.lifetime),
            Arc::clone(clock),
        )),
    })
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
