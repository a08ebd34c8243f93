//! What serde has against a value, said as one would say it to a colleague.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use super::problem::{KeyPath, Place, nearest, one_of};

/// A value that could not be taken.
#[derive(Debug)]
pub(super) struct ReadError {
    /// Which; the innermost.
    pub(super) at: Option<KeyPath>,
    /// Where, when that is not simply where `at` stands.
    pub(super) place: Option<Place>,
    /// Why.
    pub(super) cause: Cause,
}

/// Why a value could not be taken.
#[derive(Debug)]
pub(super) enum Cause {
    /// A sentence of the type itself.
    Told(String),
    /// Something else was expected.
    Unexpected {
        /// What is written.
        found: String,
        /// What should be.
        expected: String,
    },
    /// A key nobody reads.
    UnknownKey {
        /// The keys that are read there.
        known: &'static [&'static str],
        /// The one that was probably meant, or that leads there.
        nearest: Option<&'static str>,
        /// What to write instead, when it is a key of another place or another program.
        elsewhere: Option<&'static str>,
    },
    /// A word that is none of the choices.
    UnknownChoice {
        /// What is written.
        word: String,
        /// The choices.
        known: &'static [&'static str],
    },
    /// A key without which its map says nothing.
    Missing {
        /// The key.
        key: &'static str,
    },
    /// Something that is not a choice at all.
    NoChoice {
        /// The choices.
        variants: &'static [&'static str],
    },
    /// Several choices at once, or none.
    NotOneChoice {
        /// The choices.
        variants: &'static [&'static str],
    },
    /// A choice that cannot stand alone.
    NeedsSettings {
        /// The choice.
        word: String,
    },
    /// A choice that has no settings.
    SettingsOfAWord {
        /// The choice.
        word: String,
    },
}

impl ReadError {
    /// Not yet placed.
    pub(super) fn new(cause: Cause) -> Self {
        Self { at: None, place: None, cause }
    }

    /// Placed at `at`, unless something within was to blame.
    pub(super) fn within(mut self, at: &KeyPath) -> Self {
        if self.at.is_none() {
            self.at = Some(at.clone());
        }
        self
    }
}

impl ReadError {
    /// The same, without a word that may be a secret somebody wrote where its place should stand.
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

/// What to write for a key of another place here, or of another gateway, and the key that leads there.
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
