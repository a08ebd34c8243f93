//! `identity.access_token` of a route: the access token that the upstream receives.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};

/// The access token that the upstream receives in `Authorization`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SentAccessToken {
    /// None.
    #[default]
    None,
    /// The caller's own.
    Own,
    /// One that the caller's own was exchanged for.
    Exchanged(TokenExchange),
}

/// A token exchange (RFC 8693) with the caller's issuer, as the gateway's client there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenExchange {
    /// The audience of the new token, by its name at the issuer. Example: `churn`.
    pub audience: String,
    /// The scopes of the new token; without them, the issuer's choice. Example: `[score]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
}

impl SentAccessToken {
    /// Whether the gateway writes `Authorization` for a known caller.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        *self != Self::None
    }

    /// The exchange, if there is one.
    #[must_use]
    pub fn exchange(&self) -> Option<&TokenExchange> {
        match self {
            Self::Exchanged(exchange) => Some(exchange),
            Self::None | Self::Own => None,
        }
    }
}

/// The schema of the key.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum YesOrExchange {
    /// The caller's own token, or none.
    Own(bool),
    /// Another token.
    Exchange(ExchangeKey),
}

/// Another token than the caller's own.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExchangeKey {
    /// Exchanges the caller's token (RFC 8693), once for each session or token. Example: `{ audience: churn, scopes: [score] }`.
    exchange: TokenExchange,
}

// === impl SentAccessToken ===

impl Serialize for SentAccessToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_bool(false),
            Self::Own => serializer.serialize_bool(true),
            Self::Exchanged(exchange) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("exchange", exchange)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for SentAccessToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SentVisitor)
    }
}

struct SentVisitor;

impl<'de> Visitor<'de> for SentVisitor {
    type Value = SentAccessToken;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`true`, `false` or `{ exchange: { audience: NAME } }`")
    }

    fn visit_bool<E: Error>(self, own: bool) -> Result<SentAccessToken, E> {
        Ok(if own { SentAccessToken::Own } else { SentAccessToken::None })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SentAccessToken, A::Error> {
        let key = ExchangeKey::deserialize(MapAccessDeserializer::new(map))?;
        Ok(SentAccessToken::Exchanged(key.exchange))
    }
}
