//! Paths and path patterns as they may be written: in the one form requests are compared in.
//!
//! Which request a pattern matches is [`crate::canonical::PathPattern`]'s to say; here it is only
//! checked whether it can match anything, and whether it takes everything.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::text::written_as_text;
use crate::canonical::{CanonicalPath, PathRefusal};

/// What cannot stand raw in a path that is otherwise right.
const RAW: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`');

/// Why no request has a path.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// It does not begin at the root.
    #[error("`{path}` must begin with `/`")]
    Relative {
        /// What was written.
        path: String,
    },
    /// Such a path is refused when a request has it.
    #[error("no request has the path `{path}`: {refusal}")]
    Refused {
        /// What was written.
        path: String,
        /// Why it is refused.
        refusal: PathRefusal,
    },
    /// The same path is compared in another spelling.
    #[error("requests are compared in the form `{canonical}`: write that")]
    Spelling {
        /// The spelling.
        canonical: String,
    },
}

/// Whether a path is spelled as requests are compared.
pub(super) fn check(path: &str) -> Result<(), PathError> {
    if !path.starts_with('/') {
        return Err(PathError::Relative { path: path.to_owned() });
    }
    let spelled = |path: &str| path.parse::<CanonicalPath>();
    let canonical = match spelled(path) {
        Ok(canonical) => canonical,
        Err(refusal) => match spelled(&utf8_percent_encode(path, RAW).to_string()) {
            Ok(canonical) => canonical,
            Err(_) => return Err(PathError::Refused { path: path.to_owned(), refusal }),
        },
    };
    if canonical.as_str() == path {
        Ok(())
    } else {
        Err(PathError::Spelling { canonical: canonical.as_str().to_owned() })
    }
}

/// The segments of a path; a slash at the end adds none.
fn segments_of(path: &str) -> impl Iterator<Item = &str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').filter(move |_| !path.is_empty())
}

/// A path pattern: whole segments, `*` for exactly one, `**` at the end for any rest, also none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathGlob {
    text: String,
    segments: Vec<Segment>,
    any_rest: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Segment {
    Exactly(String),
    One,
}

/// Why a text is no path pattern.
#[derive(Debug, thiserror::Error)]
pub enum PathGlobError {
    /// No request has such a path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// `**` in the middle.
    #[error("`**` stands at the end only: use `*` for one segment")]
    RestInTheMiddle,
    /// `*` within a segment.
    #[error("`*` stands for one whole segment: `{segment}` mixes it with text")]
    PartOfSegment {
        /// The segment.
        segment: String,
    },
}

impl FromStr for PathGlob {
    type Err = PathGlobError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check(text)?;
        let mut segments = Vec::new();
        let mut any_rest = false;
        for segment in segments_of(text) {
            if any_rest {
                return Err(PathGlobError::RestInTheMiddle);
            }
            match segment {
                "**" => any_rest = true,
                "*" => segments.push(Segment::One),
                mixed if mixed.contains('*') => {
                    return Err(PathGlobError::PartOfSegment { segment: mixed.to_owned() });
                }
                exact => segments.push(Segment::Exactly(exact.to_owned())),
            }
        }
        Ok(Self { text: text.to_owned(), segments, any_rest })
    }
}

impl PathGlob {
    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether some path below `prefix` (a route's `match.path`) is covered.
    #[must_use]
    pub fn can_match_below(&self, prefix: &str) -> bool {
        let mut patterns = self.segments.iter();
        for segment in segments_of(prefix) {
            match patterns.next() {
                None => return self.any_rest,
                Some(Segment::One) => {}
                Some(Segment::Exactly(exact)) if exact == segment => {}
                Some(Segment::Exactly(_)) => return false,
            }
        }
        true
    }

    /// Whether every path below `prefix` is covered.
    #[must_use]
    pub fn covers_all_below(&self, prefix: &str) -> bool {
        let mut prefix = segments_of(prefix);
        self.any_rest
            && self.segments.iter().all(|pattern| match (pattern, prefix.next()) {
                (_, None) => false,
                (Segment::One, Some(_)) => true,
                (Segment::Exactly(exact), Some(segment)) => exact == segment,
            })
    }
}

impl fmt::Display for PathGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

written_as_text!(PathGlob, "a path pattern", "/models/churn/docs/**");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{PathGlob, check};
    use crate::canonical::PathPattern;

    fn glob(text: &str) -> PathGlob {
        text.parse().unwrap()
    }

    #[test]
    fn a_rule_below_its_route_can_match() {
        for (pattern, prefix) in [
            ("/a", "/"),
            ("/a", "/a"),
            ("/a/b/**", "/a"),
            ("/**", "/a"),
            ("/*/b", "/a"),
            ("/a/*", "/a/b"),
        ] {
            assert!(glob(pattern).can_match_below(prefix), "{pattern} {prefix}");
        }
        for (pattern, prefix) in
            [("/", "/a"), ("/b", "/a"), ("/b/**", "/a"), ("/*", "/a/b"), ("/ab", "/a")]
        {
            assert!(!glob(pattern).can_match_below(prefix), "{pattern} {prefix}");
        }
    }

    #[test]
    fn only_an_open_pattern_takes_everything() {
        for (pattern, prefix) in [("/**", "/"), ("/a/**", "/a"), ("/**", "/a/b"), ("/*/**", "/a")] {
            assert!(glob(pattern).covers_all_below(prefix), "{pattern} {prefix}");
        }
        for (pattern, prefix) in [("/a", "/a"), ("/a/b/**", "/a"), ("/*/**", "/"), ("/*", "/a")] {
            assert!(!glob(pattern).covers_all_below(prefix), "{pattern} {prefix}");
        }
    }

    #[test]
    fn another_spelling_is_told() {
        for (path, canonical) in
            [("/%61", "/a"), ("/café", "/caf%C3%A9"), ("/a b", "/a%20b"), ("/%c3%a9", "/%C3%A9")]
        {
            let told = check(path).unwrap_err().to_string();
            assert!(told.contains(&format!("`{canonical}`")), "{told}");
            check(canonical).unwrap();
        }
        for path in ["", "a", "/a/../b", "//a", "/%2e", "/a?b", "/a#b", "/a%2Fb", "/\u{7f}", "/%zz"]
        {
            assert!(check(path).is_err(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_here_is_a_pattern_there(text in "/[a-c*/.%]{0,12}") {
            if text.parse::<PathGlob>().is_ok() {
                prop_assert!(text.parse::<PathPattern>().is_ok(), "{text}");
            }
        }
    }
}
