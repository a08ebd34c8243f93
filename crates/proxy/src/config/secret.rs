//! Where a secret is kept. Never the secret itself: a literal in the file is refused.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// A secret by reference: `{ file: PATH }`, read again when it changes, or `{ env: NAME }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    /// A file whose content is the secret; one line end at its end is not part of it.
    /// Example: `{ file: /run/secrets/gateway }`.
    File(PathBuf),
    /// An environment variable. Example: `{ env: GATEWAY_SECRET }`.
    Env(String),
}

/// What to write where a literal was found.
const NOT_LITERAL: &str =
    "a secret is never written in this file: write `{ file: PATH }` or `{ env: NAME }`";

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RefVisitor)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    file: Option<PathBuf>,
    env: Option<String>,
}

struct RefVisitor;

impl<'de> Visitor<'de> for RefVisitor {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`{ file: PATH }` or `{ env: NAME }`")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<SecretRef, E> {
        Err(E::custom(NOT_LITERAL))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<SecretRef, E> {
        Err(E::custom(NOT_LITERAL))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<SecretRef, E> {
        Err(E::custom(NOT_LITERAL))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<SecretRef, E> {
        Err(E::custom(NOT_LITERAL))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretRef, A::Error> {
        match Written::deserialize(MapAccessDeserializer::new(map))? {
            Written { file: Some(file), env: None } => Ok(SecretRef::File(file)),
            Written { file: None, env: Some(name) } => Ok(SecretRef::Env(name)),
            Written { file: Some(_), env: Some(_) } => {
                Err(A::Error::custom("a secret has one source: keep `file` or `env`, not both"))
            }
            Written { file: None, env: None } => {
                Err(A::Error::custom("write `{ file: PATH }` or `{ env: NAME }`"))
            }
        }
    }
}
