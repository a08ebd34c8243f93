//! Browser sessions.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::redis_store::RedisStore;
use super::secret::SecretRef;
use super::text::{OneOrMany, one_or_many};

/// Lifetime and storage of browser sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SessionConfig {
    /// A session ends after this long without a request. Example: `1h`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub idle: Duration,
    /// A session ends after this long, however active. Example: `12h`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub lifetime: Duration,
    /// Storage of sessions: `embedded` (a file), `cookie` (in the browser, sealed), or `{ redis: { url: … } }`. Example:
    /// `{ embedded: { path: /data/sessions.redb } }`.
    pub store: SessionStoreConfig,
    /// Key that seals cookies and tokens at rest: 32 random bytes or more (`openssl rand -base64 32`). A list rotates it: the
    /// first seals, all open. Example: `{ file: /run/secrets/session-key }`.
    #[serde(with = "one_or_many")]
    #[schemars(with = "OneOrMany<SecretRef>")]
    pub key: Vec<SecretRef>,
    /// Name of the session cookie, after `__Host-` with https. Give each of several gateways on one host its own name, or they end
    /// each other's sessions. With a name that begins with `doorward-`, every gateway of the host withholds the cookie from its
    /// upstreams; otherwise only this one does. Example: `doorward-lab`.
    pub cookie_name: String,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60 * 60),
            lifetime: Duration::from_secs(12 * 60 * 60),
            store: SessionStoreConfig::default(),
            key: Vec::new(),
            cookie_name: "doorward".to_owned(),
        }
    }
}

/// Storage of sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = embedded_alone)]
pub enum SessionStoreConfig {
    /// In a file of this process; survives a restart.
    Embedded(EmbeddedStore),
    /// In the browser's cookie, sealed; a logout elsewhere is not seen.
    Cookie,
    /// In Valkey or Redis, shared by several gateways.
    Redis(Box<RedisStore>),
}

/// `embedded` may also be written as a word, with its default path.
fn embedded_alone(schema: &mut schemars::Schema) {
    let word = serde_json::json!({
        "type": "string",
        "const": "embedded",
        "description": "In a file of this process, at the default path.",
    });
    if let Some(choices) = schema.get_mut("oneOf").and_then(serde_json::Value::as_array_mut) {
        choices.insert(0, word);
    }
}

impl Default for SessionStoreConfig {
    fn default() -> Self {
        Self::Embedded(EmbeddedStore::default())
    }
}

/// The session file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EmbeddedStore {
    /// The file; its directory must exist. Example: `/var/lib/doorward/sessions.redb`.
    pub path: PathBuf,
}

impl Default for EmbeddedStore {
    fn default() -> Self {
        Self { path: PathBuf::from("/var/lib/doorward/sessions.redb") }
    }
}
