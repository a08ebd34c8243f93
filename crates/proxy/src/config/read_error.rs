//! Serde's errors about a value, as sentences for the operator.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use super::problem::{KeyPath, Place, nearest, one_of};

/// A value that could not be read.
#[derive(Debug)]
pub(super) struct ReadError {
    /// Path of the value; the innermost that failed.
    pub(super) at: Option<KeyPath>,
    /// Place in the file, if it is not that of `at`.
    pub(super) place: Option<Place>,
    /// Cause.
    pub(super) cause: Cause,
}

/// Reason a value could not be read.
#[derive(Debug)]
pub(super) enum Cause {
    /// A message of the value's own type.
    Told(String),
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
        /// The key that was probably meant, or that leads to the right place.
        nearest: Option<&'static str>,
        /// Text to write instead, when the key belongs to another place or another program.
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
        Self { at: None, place: None, cause }
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
                format!("write {}", one_of(known.iter().copied()))
            }
            Cause::Unexpected { expected, .. } if secret => format!("write {expected}"),
            _ => self.to_string(),
        }
    }
}

impl std::error::Error for ReadError {}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Told(sentence) => f.write_str(sentence),
            Cause::Unexpected { found, expected } if expected == "a duration" => {
                write!(f, "found {found}: write a number and a unit, such as `30s`, `15m` or `12h`")
            }
            Cause::Unexpected { found, expected } => write!(f, "found {found}: write {expected}"),
            Cause::UnknownKey { elsewhere: Some(place), .. } => {
                write!(f, "unknown key here; write {place}")
            }
            Cause::UnknownKey { nearest: Some(meant), .. } => {
                write!(f, "unknown key; did you mean `{meant}`?")
            }
            Cause::UnknownKey { known, .. } => {
                write!(f, "unknown key; the keys here are {}", one_of(known.iter().copied()))
            }
            Cause::UnknownChoice { word, known } => match nearest(word, known.iter().copied()) {
                Some(meant) => write!(f, "`{word}` is no choice here; did you mean `{meant}`?"),
                None => {
                    let known = one_of(known.iter().copied());
                    write!(f, "`{word}` is no choice here: write {known}")
                }
            },
            Cause::Missing { key } => write!(f, "`{key}` is missing"),
            Cause::NoChoice { variants } => write!(f, "write {}", one_of(variants.iter().copied())),
            Cause::NotOneChoice { variants } => {
                write!(f, "write exactly one of {}", one_of(variants.iter().copied()))
            }
            Cause::NeedsSettings { word } => {
                write!(f, "`{word}` needs settings: write `{{ {word}: … }}`")
            }
            Cause::SettingsOfAWord { word } => {
                write!(f, "`{word}` has no settings: write it alone")
            }
        }
    }
}

/// Text to write for a key of another place here, or of another gateway, and the key that leads there.
fn elsewhere(key: &str) -> Option<(&'static str, &'static str)> {
    Some(match key {
        "client_secret" | "client_secret_file" => {
            ("client_auth", "`client_auth: { secret: { file: PATH } }`")
        }
        "redirect_uri" | "redirect_url" => {
            ("", "nothing: it is `public_url`, then `endpoints`, then `/callback`")
        }
        "cookie_secret" | "session_key" => ("session", "`session: { key: { file: PATH } }`"),
        "host" | "hosts" => ("match", "`match: { host: … }` in the route"),
        "prefix" => ("match", "`match: { path: … }` in the route"),
        "strip_prefix" | "add_prefix" => {
            ("rewrite", "`rewrite: { strip_prefix: …, add_prefix: … }` in the route")
        }
        "users" | "emails" | "email_domains" | "subjects" | "roles" | "groups" | "scopes"
        | "clients" => ("allow", "it within `allow: { … }` of a rule"),
        "encoded_slash" | "double_slash" => {
            ("paths", "`paths: { encoded_slash: keep, double_slash: keep }`")
        }
        "upstreams" => ("upstream", "`upstream`; it takes a list too"),
        "timeout" => ("timeouts", "`timeouts: { connect: …, response_head: …, idle: … }`"),
        _ => return None,
    })
}

fn in_words(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`, which is a yes/no value"),
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
        Self::new(Cause::Told(sentence.to_string()))
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
            Some((to, place)) => (known.iter().copied().find(|name| *name == to), Some(place)),
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
