//! Paths in the file: they must have the canonical form, in which requests are compared.
//!
//! [`PathPattern`] decides which requests a pattern matches; this module only reads its written form.

use std::{fmt, str::FromStr};

use http_canonical::{CanonicalPath, PathPattern, PathRefusal, PatternError};
use serde::de::{Deserializer, Visitor};

use super::text::written_as_text;

/// The paths of a rule: a [`PathPattern`] in its written form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulePath(pub PathPattern);

impl FromStr for RulePath {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for RulePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

written_as_text!(RulePath, "a path pattern", "/models/churn/docs/**");

/// Reason no request can have a path.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// The path does not begin with `/`.
    #[error("invalid path `{path}`: no leading slash; begin it with `/`")]
    Relative {
        /// The path as written.
        path: String,
    },
    /// A request with this path is refused.
    #[error("invalid path `{path}`: {refusal}; requests with such a path are refused")]
    Refused {
        /// The path as written.
        path: String,
        /// Reason for the refusal.
        refusal: PathRefusal,
    },
    /// Requests with this path are compared in another spelling.
    #[error("invalid path: requests are compared in canonical form; write `{canonical}`")]
    Spelling {
        /// The canonical spelling.
        canonical: String,
    },
}

/// Checks that a path is written in the form in which requests are compared.
pub(super) fn check(path: &str) -> Result<(), PathError> {
    if !path.starts_with('/') {
        return Err(PathError::Relative { path: path.to_owned() });
    }
    let canonical = CanonicalPath::from_written(path)
        .map_err(|refusal| PathError::Refused { path: path.to_owned(), refusal })?;
    if canonical.as_str() == path {
        Ok(())
    } else {
        Err(PathError::Spelling { canonical: canonical.as_str().to_owned() })
    }
}

/// Reads an optional prefix. It is a path and no switch: `strip_prefix: true` does not say which prefix.
pub(super) fn prefix<'de, D: Deserializer<'de>>(file: D) -> Result<Option<String>, D::Error> {
    struct Prefix;

    impl Visitor<'_> for Prefix {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the prefix, such as `/app`")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(text.to_owned()))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    file.deserialize_any(Prefix)
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn the_canonical_spelling_is_named() {
        for (path, canonical) in
            [("/%61", "/a"), ("/café", "/caf%C3%A9"), ("/a b", "/a%20b"), ("/%c3%a9", "/%C3%A9")]
        {
            let message = check(path).unwrap_err().to_string();
            assert!(message.contains(&format!("`{canonical}`")), "{message}");
            check(canonical).unwrap();
        }
        for path in ["", "a", "/a/../b", "//a", "/%2e", "/a?b", "/a#b", "/a%2Fb", "/\u{7f}", "/%zz"]
        {
            assert!(check(path).is_err(), "{path}");
        }
    }
}
