//! Path patterns of rules: literal segments, `*` for one segment, `**` for all that follow.
//!
//! A pattern is anchored at both ends and matches whole segments of a [`CanonicalPath`]; there are no partial wildcards. A
//! slash at the end makes no difference, in the pattern or in the path: many servers take `/admin` and `/admin/` for the same
//! page, so a rule that protects one must protect the other.

use std::{fmt, str::FromStr};

use crate::{
    escape::with_plain_delimiters,
    path::{CanonicalPath, PathRefusal},
};

/// A pattern for paths.
///
/// ```
/// use http_canonical::{CanonicalPath, PathMatch, PathPattern};
///
/// let pattern: PathPattern = "/users/*/files/**".parse()?;
/// assert_eq!(pattern.matches(&"/users/alice/files/a/b".parse::<CanonicalPath>()?), PathMatch::Yes);
/// assert_eq!(pattern.matches(&"/users/alice/settings".parse::<CanonicalPath>()?), PathMatch::No);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathPattern {
    text: String,
    segments: Vec<Segment>,
    open: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Segment {
    Literal(String),
    Any,
}

/// Result of matching a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathMatch {
    /// In every reading.
    Yes,
    /// In no reading.
    No,
    /// In one of [`CanonicalPath::readings`] and not in another: the request must be refused.
    Ambiguous,
}

/// Reasons a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The literal part is not a path.
    #[error("invalid pattern `{pattern}`: {refusal}")]
    Path {
        /// the pattern
        pattern: String,
        /// the cause
        refusal: PathRefusal,
    },
    /// `*` beside other characters.
    #[error("invalid segment `{segment}`: `*` matches one whole segment; write it alone")]
    PartialWildcard {
        /// the segment
        segment: String,
    },
    /// `**` before the end.
    #[error("invalid pattern: `**` is allowed at the end only; use `*` for one segment")]
    RestNotLast,
}

impl PathPattern {
    /// Whether a path matches in every reading of a server behind the gateway.
    pub fn matches(&self, path: &CanonicalPath) -> PathMatch {
        let literally = self.matches_literally(path.compared());
        if path.readings().iter().any(|reading| self.matches_literally(reading) != literally) {
            PathMatch::Ambiguous
        } else if literally {
            PathMatch::Yes
        } else {
            PathMatch::No
        }
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text with which every path begins that it matches, as the text that is compared: the literal segments up to the
    /// first wildcard, without a slash at the end.
    ///
    /// ```
    /// let pattern: http_canonical::PathPattern = "/users/*/files/**".parse()?;
    /// assert_eq!(pattern.literal_start(), "/users");
    /// # Ok::<(), http_canonical::PatternError>(())
    /// ```
    pub fn literal_start(&self) -> String {
        let literals = self.segments.iter().map_while(|segment| match segment {
            Segment::Literal(text) => Some(text),
            Segment::Any => None,
        });
        literals.fold(String::new(), |start, literal| start + "/" + literal)
    }

    /// Whether it matches `prefix` itself or some path below it.
    pub fn can_match_below(&self, prefix: &str) -> bool {
        let prefix = &with_plain_delimiters(prefix);
        let mut own = self.segments.iter();
        for segment in segments_of(prefix) {
            match own.next() {
                None => return self.open,
                Some(Segment::Any) => {}
                Some(Segment::Literal(literal)) if literal == segment => {}
                Some(Segment::Literal(_)) => return false,
            }
        }
        true
    }

    /// Whether it matches `prefix` itself and every path below it.
    pub fn covers_all_below(&self, prefix: &str) -> bool {
        let prefix = &with_plain_delimiters(prefix);
        let mut given = segments_of(prefix);
        self.open
            && self.segments.iter().all(|own| match (own, given.next()) {
                (_, None) => false,
                (Segment::Any, Some(_)) => true,
                (Segment::Literal(literal), Some(segment)) => literal == segment,
            })
    }

    fn matches_literally(&self, path: &str) -> bool {
        let mut given = segments_of(path);
        for segment in &self.segments {
            match (segment, given.next()) {
                (Segment::Literal(own), Some(other)) if own == other => {}
                (Segment::Any, Some(other)) if !other.is_empty() => {}
                _ => return false,
            }
        }
        self.open || given.next().is_none()
    }
}

/// The segments of a path; one slash at the end adds none.
fn segments_of(path: &str) -> impl Iterator<Item = &str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').filter(move |_| !path.is_empty())
}

// === impl PathPattern ===

impl FromStr for PathPattern {
    type Err = PatternError;

    /// Parses a pattern; letters beyond ASCII and spaces may be unescaped.
    fn from_str(pattern: &str) -> Result<Self, PatternError> {
        let path = CanonicalPath::from_written(pattern)
            .map_err(|refusal| PatternError::Path { pattern: pattern.to_owned(), refusal })?;
        let mut segments = Vec::new();
        let mut open = false;
        for segment in segments_of(path.as_str()) {
            if open {
                return Err(PatternError::RestNotLast);
            }
            match segment {
                "**" => open = true,
                "*" => segments.push(Segment::Any),
                partial if partial.contains('*') => {
                    return Err(PatternError::PartialWildcard { segment: partial.to_owned() });
                }
                literal => segments.push(Segment::Literal(with_plain_delimiters(literal))),
            }
        }
        Ok(Self { text: path.as_str().to_owned(), segments, open })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::Keep;

    fn matches(pattern: &str, path: &str) -> bool {
        match pattern.parse::<PathPattern>().unwrap().matches(&path.parse().unwrap()) {
            PathMatch::Yes => true,
            PathMatch::No => false,
            PathMatch::Ambiguous => panic!("{path} is ambiguous for {pattern}"),
        }
    }

    #[test]
    fn a_literal_is_anchored_at_both_ends() {
        assert!(matches("/a/b", "/a/b"));
        assert!(!matches("/a/b", "/a/b/c"));
        assert!(!matches("/a/b", "/a"));
        assert!(!matches("/a/b", "/A/b"));
        assert!(matches("/", "/"));
        assert!(!matches("/", "/a"));
    }

    #[test]
    fn a_trailing_slash_does_not_bypass_a_rule() {
        for (pattern, path) in [
            ("/admin", "/admin/"),
            ("/admin/", "/admin"),
            ("/admin/", "/admin/"),
            ("/a/*", "/a/b/"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        let admin: PathPattern = "/admin".parse().unwrap();
        let doubled = CanonicalPath::parse("/admin//", Keep::ALL).unwrap();
        assert_eq!(admin.matches(&doubled), PathMatch::Ambiguous);
    }

    #[test]
    fn a_rule_below_its_route_can_match() {
        let can =
            |pattern: &str, prefix| pattern.parse::<PathPattern>().unwrap().can_match_below(prefix);
        for (pattern, prefix) in [
            ("/a", "/"),
            ("/a", "/a"),
            ("/a/b/**", "/a"),
            ("/**", "/a"),
            ("/*/b", "/a"),
            ("/a/*", "/a/b"),
        ] {
            assert!(can(pattern, prefix), "{pattern} {prefix}");
        }
        for (pattern, prefix) in
            [("/", "/a"), ("/b", "/a"), ("/b/**", "/a"), ("/*", "/a/b"), ("/ab", "/a")]
        {
            assert!(!can(pattern, prefix), "{pattern} {prefix}");
        }
    }

    #[test]
    fn only_an_open_pattern_covers_every_path() {
        let covers = |pattern: &str, prefix| {
            pattern.parse::<PathPattern>().unwrap().covers_all_below(prefix)
        };
        for (pattern, prefix) in [("/**", "/"), ("/a/**", "/a"), ("/**", "/a/b"), ("/*/**", "/a")] {
            assert!(covers(pattern, prefix), "{pattern} {prefix}");
        }
        for (pattern, prefix) in [("/a", "/a"), ("/a/b/**", "/a"), ("/*/**", "/"), ("/*", "/a")] {
            assert!(!covers(pattern, prefix), "{pattern} {prefix}");
        }
    }

    #[test]
    fn a_delimiter_is_compared_in_one_spelling() {
        for (plain, escaped) in [("/@admin/x", "/%40admin/x"), ("/m:delete", "/m%3Adelete")] {
            for (pattern, path) in
                [(plain, plain), (plain, escaped), (escaped, plain), (escaped, escaped)]
            {
                assert!(matches(pattern, path), "{pattern} {path}");
            }
        }
        // An escaped `*` is no wildcard.
        assert!(matches("/a/%2A", "/a/*") && matches("/a/%2A", "/a/%2A"));
        assert!(!matches("/a/%2A", "/a/b"));
        let covers =
            |pattern: &str| pattern.parse::<PathPattern>().unwrap().covers_all_below("/@x/a");
        assert!(covers("/%40x/**") && covers("/@x/**"));
    }

    #[test]
    fn wildcards_stand_for_whole_segments() {
        assert!(matches("/a/*/c", "/a/b/c"));
        assert!(!matches("/a/*/c", "/a/b/b/c"));
        assert!(!matches("/a/*", "/a/"));
        assert!(matches("/a/**", "/a"));
        assert!(matches("/a/**", "/a/"));
        assert!(matches("/a/**", "/a/b/c"));
        assert!(!matches("/a/**", "/ab"));
        assert!(matches("/**", "/"));
    }

    #[test]
    fn a_path_that_some_server_reads_otherwise_is_ambiguous() {
        let admin: PathPattern = "/hub/admin/**".parse().unwrap();
        let judge = |path| admin.matches(&CanonicalPath::parse(path, Keep::ALL).unwrap());
        for path in [
            "/hub//admin/x",
            "//hub/admin",
            "/hub%2Fadmin",
            "/hub/admin;v=1",
            "/hub/%2561dmin",
            "/hub%5Cadmin/x",
        ] {
            assert_eq!(judge(path), PathMatch::Ambiguous, "{path}");
        }
        assert_eq!(judge("/hub/admin/a%2Fb//c"), PathMatch::Yes);
        assert_eq!(judge("/user/alice/api/a%2Fb"), PathMatch::No);
    }

    #[test]
    fn a_pattern_is_canonical_too() {
        assert!(matches("/%61b/%c3%a9", "/ab/%C3%A9"));
        assert!(matches("/café au lait/*", "/caf%C3%A9%20au%20lait/x"));
        assert_eq!("/café".parse::<PathPattern>().unwrap().as_str(), "/caf%C3%A9");
        assert_eq!("/%61/*/**".parse::<PathPattern>().unwrap().to_string(), "/a/*/**");
        assert_eq!(
            "/a*".parse::<PathPattern>(),
            Err(PatternError::PartialWildcard { segment: "a*".to_owned() })
        );
        assert_eq!("/**/a".parse::<PathPattern>(), Err(PatternError::RestNotLast));
        assert!("/a/../b".parse::<PathPattern>().is_err());
        assert!("a".parse::<PathPattern>().is_err());
    }
}
