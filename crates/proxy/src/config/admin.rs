//! The admin listener: its address, and the token that its callers present.

use std::fmt;
use std::net::SocketAddr;

use oidc_core::Secret;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::secret::{SecretError, SecretRef};
use super::text;

/// Shortest accepted token, in characters: a shorter one can be guessed over the network.
const SHORTEST_TOKEN: usize = 16;

/// The admin listener, and the access to it.
///
/// `/healthz`, `/readyz` and `/metrics` are open to every caller that reaches it. Everything else needs the token, or, where
/// none is configured, a listener on a loopback address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Address on which it accepts connections, `address:port`. Example: `127.0.0.1:9090`.
    #[serde(deserialize_with = "text::address")]
    pub listen: SocketAddr,
    /// Token that callers send as `Authorization: Bearer`: at least 16 visible ASCII characters, such as `openssl rand -hex 32`
    /// prints. Read at each use. It travels unencrypted. Example: `{ file: /run/secrets/admin-token }`.
    pub token: Option<SecretRef>,
}

/// Reason the admin token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AdminTokenError {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] SecretError),
    /// It is so short that it can be guessed.
    #[error(
        "invalid admin token: {token} has {length} characters, fewer than {SHORTEST_TOKEN}; \
         make one with `openssl rand -hex 32`"
    )]
    Short {
        /// Source of the token.
        token: SecretRef,
        /// Its length, in characters.
        length: usize,
    },
    /// It cannot be sent in a header field.
    #[error(
        "invalid admin token: {token} holds a space, a control character or a character beyond \
         ASCII, which no `Authorization` header carries; make one with `openssl rand -hex 32`"
    )]
    Unsendable {
        /// Source of the token.
        token: SecretRef,
    },
}

impl AdminConfig {
    /// Reads the token; `None` where none is configured.
    ///
    /// # Errors
    ///
    /// The token is configured but cannot be used.
    pub fn read_token(&self) -> Result<Option<Secret>, AdminTokenError> {
        let Some(token) = &self.token else { return Ok(None) };
        let secret = token.read()?;
        let length = secret.expose().chars().count();
        if length < SHORTEST_TOKEN {
            return Err(AdminTokenError::Short { token: token.clone(), length });
        }
        if !secret.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AdminTokenError::Unsendable { token: token.clone() });
        }
        Ok(Some(secret))
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9090)), token: None }
    }
}

/// The schema of the key `admin`.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum AddressOrKeys {
    /// The address alone.
    Address(String),
    /// With a token.
    Keys(AdminConfig),
}

/// Writes the address alone where nothing else is configured.
pub(super) fn serialize<S: Serializer>(
    admin: &AdminConfig,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match admin.token {
        None => serializer.collect_str(&admin.listen),
        Some(_) => admin.serialize(serializer),
    }
}

/// Reads an address, or the keys of [`AdminConfig`].
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<AdminConfig, D::Error> {
    deserializer.deserialize_any(AdminVisitor)
}

struct AdminVisitor;

impl<'de> Visitor<'de> for AdminVisitor {
    type Value = AdminConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address, such as `127.0.0.1:9090`, or `{ listen: …, token: { file: … } }`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<AdminConfig, E> {
        let listen = text::address(serde::de::value::StrDeserializer::new(text))?;
        Ok(AdminConfig { listen, token: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AdminConfig, A::Error> {
        AdminConfig::deserialize(MapAccessDeserializer::new(map))
    }
}
