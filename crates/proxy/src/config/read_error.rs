//! Errors of serde about a value, in words for the operator.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use super::problem::{KeyPath, Position, nearest, one_of};

/// A value that could not be read.
#[derive(Debug)]
pub(super) struct ReadError {
    /// Path of the value; the innermost that failed.
    pub(super) at: Option<KeyPath>,
    /// Position in the file, if it is not that of `at`.
    pub(super) position: Option<Position>,
    /// Cause.
    pub(super) cause: Cause,
}

/// Reason a value could not be read.
#[derive(Debug)]
pub(super) enum Cause {
    /// The message of the type that read the value.
    Custom(String),
    /// A value other than the expected one.
    Unexpected {
        /// The value as written, in words.
        found: String,
        /// The expected value, in words.
        expected: String,
    },
    /// A key that is not read.
    UnknownKey {
        /// The keys that are read there.
        known: &'static [&'static str],
        /// The key that was probably meant, or that leads to the right map.
        nearest: Option<&'static str>,
        /// Instruction, when the key belongs elsewhere in the file or to another program.
        elsewhere: Option<&'static str>,
    },
    /// A word that is not one of the choices.
    UnknownChoice {
        /// The word as written.
        word: String,
        /// The choices.
        known: &'static [&'static str],
    },
    /// A required key that is missing.
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A value that is neither a word nor a map.
    NoChoice {
        /// The choices.
        variants: &'static [&'static str],
    },
    /// A map with several choices, or with none.
    NotOneChoice {
        /// The choices.
        variants: &'static [&'static str],
    },
    /// A choice that needs settings, written without them.
    NeedsSettings {
        /// The choice.
        word: String,
    },
    /// A choice that has no settings, written with some.
    SettingsOfAWord {
        /// The choice.
        word: String,
    },
}

impl ReadError {
    /// An error without a path yet.
    pub(super) fn new(cause: Cause) -> Self {
        Self { at: None, position: None, cause }
    }

    /// Sets the path `at`, unless an inner value has set one.
    pub(super) fn within(mut self, at: &KeyPath) -> Self {
        if self.at.is_none() {
            self.at = Some(at.clone());
        }
        self
    }
}

impl ReadError {
    /// The message, without the written word where that word may be a misplaced secret.
    pub(super) fn without_secrets(&self) -> String {
        let secret = self.at.as_ref().is_some_and(KeyPath::holds_secret);
        match &self.cause {
            Cause::UnknownChoice { known, .. } if secret => {
                format!("invalid value; write {}", one_of(known.iter().copied()))
            }
            Cause::Unexpected { expected, .. } if secret => {
                format!("invalid value; write {expected}")
            }
            _ => self.to_string(),
        }
    }
}

impl std::error::Error for ReadError {}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Custom(sentence) => f.write_str(sentence),
            Cause::Unexpected { found, expected } if expected == "a duration" => {
                write!(
                    f,
                    "invalid duration: found {found}; write a number and a unit, such as `30s`, `15m` or `12h`"
                )
            }
            Cause::Unexpected { found, expected } => {
                write!(f, "invalid value: found {found}; write {expected}")
            }
            Cause::UnknownKey { elsewhere: Some(instead), .. } => {
                write!(f, "unknown key: {instead}")
            }
            Cause::UnknownKey { nearest: Some(meant), .. } => {
                write!(f, "unknown key; did you mean `{meant}`?")
            }
            Cause::UnknownKey { known, .. } => {
                write!(f, "unknown key; write {}", one_of(known.iter().copied()))
            }
            Cause::UnknownChoice { word, known } => match nearest(word, known.iter().copied()) {
                Some(meant) => write!(f, "unsupported value `{word}`; did you mean `{meant}`?"),
                None => {
                    let known = one_of(known.iter().copied());
                    write!(f, "unsupported value `{word}`; write {known}")
                }
            },
            Cause::Missing { key } => write!(f, "missing `{key}`; add it"),
            Cause::NoChoice { variants } => {
                write!(f, "invalid value; write {}", one_of(variants.iter().copied()))
            }
            Cause::NotOneChoice { variants } => {
                write!(
                    f,
                    "invalid value; write exactly one of {}",
                    one_of(variants.iter().copied())
                )
            }
            Cause::NeedsSettings { word } => {
                write!(f, "missing settings of `{word}`; write `{{ {word}: … }}`")
            }
            Cause::SettingsOfAWord { word } => {
                write!(f, "unsupported settings of `{word}`; write the word alone")
            }
        }
    }
}

/// Instruction for a key that belongs elsewhere in the file, or to another gateway, and the key that leads there.
fn elsewhere(key: &str) -> Option<(&'static str, &'static str)> {
    Some(match key {
        "client_secret" | "client_secret_file" => {
            ("client_auth", "write `client_auth: { secret: { file: PATH } }`")
        }
        "redirect_uri" | "redirect_url" => {
            ("", "omit it; the redirect URI is `public_url`, `endpoints` and `/callback`")
        }
        "cookie_secret" | "session_key" => ("session", "write `session: { key: { file: PATH } }`"),
        "host" | "hosts" => ("match", "write `match: { host: … }` in the route"),
        "path" | "prefix" => ("match", "write `match: { path: … }` in the route"),
        "strip_prefix" | "add_prefix" => (
            "rewrite",
            "write `rewrite: { strip_prefix: /app }` in the route, with the prefix to remove or to add",
        ),
        "users" | "emails" | "email_domains" | "subjects" | "roles" | "groups" | "scopes"
        | "clients" => ("allow", "write it in `allow: { … }` of a rule"),
        "encoded_slash" | "double_slash" | "double_encoded" => {
            ("paths", "write `paths: { encoded_slash: keep, double_slash: keep }`")
        }
        "upstreams" => ("upstream", "write `upstream`, which takes a list too"),
        "timeout" => ("timeouts", "write `timeouts: { connect: …, response_head: …, idle: … }`"),
        _ => return None,
    })
}

fn in_words(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("the boolean `{value}`"),
        Unexpected::Unsigned(value) => format!("the number `{value}`"),
        Unexpected::Signed(value) => format!("the number `{value}`"),
        Unexpected::Float(value) => format!("the number `{value}`"),
        Unexpected::Str(text) => format!("`{text}`"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map (`key: value`)".to_owned(),
        other => other.to_string(),
    }
}

fn expected_in_words(found: &Unexpected<'_>, expected: &dyn Expected) -> String {
    let expected = expected.to_string();
    match expected.as_str() {
        "a string" | "path string" | "a character" => match found {
            Unexpected::Bool(value) => format!("a text, in quotes: `\"{value}\"`"),
            Unexpected::Unsigned(value) => format!("a text, in quotes: `\"{value}\"`"),
            Unexpected::Signed(value) => format!("a text, in quotes: `\"{value}\"`"),
            Unexpected::Float(value) => format!("a text, in quotes: `\"{value}\"`"),
            _ => "a text".to_owned(),
        },
        "a boolean" => "`true` or `false`".to_owned(),
        "a sequence" => "a list, such as `[one, two]`".to_owned(),
        "a map" => "a map, such as `{ key: value }`".to_owned(),
        text if text.starts_with("struct ") => "a map, such as `{ key: value }`".to_owned(),
        "u32" | "u64" => "a whole number, 0 or more".to_owned(),
        _ => expected,
    }
}

impl Error for ReadError {
    fn custom<T: fmt::Display>(sentence: T) -> Self {
        Self::new(Cause::Custom(sentence.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected_in_words(&found, expected);
        Self::new(Cause::Unexpected { found: in_words(found), expected })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        let (nearest, elsewhere) = match elsewhere(key) {
            Some((to, instead)) => (known.iter().copied().find(|name| *name == to), Some(instead)),
            None => (nearest(key, known.iter().copied()), None),
        };
        Self::new(Cause::UnknownKey { known, nearest, elsewhere })
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::new(Cause::UnknownChoice { word: word.to_owned(), known })
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(Cause::Missing { key })
    }
}
