//! Sources of secrets. The file never holds a secret itself: a literal is refused.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use oidc_core::Secret;
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

/// Reason a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is larger than any secret.
    #[error("invalid secret: `{}` is larger than {MAX_SECRET} bytes; check the path", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The variable is not set, or is not text.
    #[error("missing environment variable `{name}`; set it")]
    NotSet {
        /// The variable.
        name: String,
    },
    /// The file or variable is empty.
    #[error("invalid secret: {source_of} is empty; store the secret there")]
    Empty {
        /// The file or variable.
        source_of: SecretRef,
    },
}

/// Largest file that is read as a secret, in bytes; larger than any key or password.
const MAX_SECRET: u64 = 64 * 1024;

impl SecretRef {
    /// Reads the secret, without the line end at its end.
    ///
    /// # Errors
    ///
    /// The secret cannot be read, is too large, or is empty.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let mut text = match self {
            Self::File(path) => read_file(path.clone())?,
            Self::Env(name) => environment(name)?,
        };
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        if text.is_empty() {
            return Err(SecretError::Empty { source_of: self.clone() });
        }
        Ok(Secret::from(text))
    }
}

fn read_file(path: PathBuf) -> Result<String, SecretError> {
    let mut text = String::new();
    match File::open(&path).and_then(|file| file.take(MAX_SECRET + 1).read_to_string(&mut text)) {
        Ok(length) if length as u64 > MAX_SECRET => Err(SecretError::TooLarge { path }),
        Ok(_) => Ok(text),
        Err(source) => Err(SecretError::Unreadable { path, source }),
    }
}

#[expect(clippy::disallowed_methods, reason = "the only place that reads the environment")]
fn environment(name: &str) -> Result<String, SecretError> {
    std::env::var(name).map_err(|_| SecretError::NotSet { name: name.to_owned() })
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "`{}`", path.display()),
            Self::Env(name) => write!(f, "the environment variable `{name}`"),
        }
    }
}

/// Message for a literal secret.
const NOT_LITERAL: &str =
    "invalid secret: this file must not contain it; write `{ file: PATH }` or `{ env: NAME }`";

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RefVisitor)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretKeys {
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
        match SecretKeys::deserialize(MapAccessDeserializer::new(map))? {
            SecretKeys { file: Some(file), env: None } => Ok(SecretRef::File(file)),
            SecretKeys { file: None, env: Some(name) } => Ok(SecretRef::Env(name)),
            SecretKeys { file: Some(_), env: Some(_) } => {
                Err(A::Error::custom("invalid secret: it has two sources; keep `file` or `env`"))
            }
            SecretKeys { file: None, env: None } => Err(A::Error::custom(
                "missing source of the secret; write `{ file: PATH }` or `{ env: NAME }`",
            )),
        }
    }
}
