//! The paths a rule speaks of: literal segments, `*` for one segment, `**` for all that follow.
//!
//! A pattern is anchored at both ends and matches whole segments of a [`CanonicalPath`]; there are no partial wildcards.

use std::{fmt, str::FromStr};

use super::path::{CanonicalPath, PathRefusal};

/// A pattern for paths.
///
/// ```
/// use doorward::canonical::{CanonicalPath, PathMatch, PathPattern};
///
/// let pattern: PathPattern = "/users/*/files/**".parse()?;
/// assert_eq!(pattern.matches(&"/users/alice/files/a/b".parse::<CanonicalPath>()?), PathMatch::Yes);
/// assert_eq!(pattern.matches(&"/users/alice/settings".parse::<CanonicalPath>()?), PathMatch::No);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathPattern {
    segments: Vec<Segment>,
    open: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Segment {
    Literal(String),
    Any,
}

/// Whether a path is one of a pattern's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathMatch {
    /// In every reading.
    Yes,
    /// In no reading.
    No,
    /// In one of [`CanonicalPath::readings`] and not in another: the request must be refused.
    Ambiguous,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The literal part is no path.
    #[error("`{pattern}`: {refusal}")]
    Path {
        /// the pattern
        pattern: String,
        /// what is wrong with it
        refusal: PathRefusal,
    },
    /// `*` beside other characters.
    #[error("`{segment}`: `*` stands for a whole segment, write `*` alone")]
    PartialWildcard {
        /// the segment
        segment: String,
    },
    /// `**` before the end.
    #[error("`**` stands for all that follows and must come last")]
    RestNotLast,
}

impl PathPattern {
    /// Whether a path is one of these, however a server behind the gateway reads it.
    pub fn matches(&self, path: &CanonicalPath) -> PathMatch {
        let literally = self.matches_literally(path);
        if path.readings().iter().any(|reading| self.matches_literally(reading) != literally) {
            PathMatch::Ambiguous
        } else if literally {
            PathMatch::Yes
        } else {
            PathMatch::No
        }
    }

    fn matches_literally(&self, path: &CanonicalPath) -> bool {
        let mut given = path.segments();
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

// === impl PathPattern ===

impl FromStr for PathPattern {
    type Err = PatternError;

    fn from_str(pattern: &str) -> Result<Self, PatternError> {
        let path: CanonicalPath = pattern
            .parse()
            .map_err(|refusal| PatternError::Path { pattern: pattern.to_owned(), refusal })?;
        let mut segments = Vec::new();
        let mut open = false;
        for segment in path.segments() {
            if open {
                return Err(PatternError::RestNotLast);
            }
            match segment {
                "**" => open = true,
                "*" => segments.push(Segment::Any),
                partial if partial.contains('*') => {
                    return Err(PatternError::PartialWildcard { segment: partial.to_owned() });
                }
                literal => segments.push(Segment::Literal(literal.to_owned())),
            }
        }
        Ok(Self { segments, open })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => write!(f, "/{literal}")?,
                Segment::Any => f.write_str("/*")?,
            }
        }
        if self.open { f.write_str("/**") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::Keep;

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
        assert!(!matches("/a/b", "/a/b/"));
        assert!(!matches("/a/b", "/a/b/c"));
        assert!(!matches("/a/b", "/a"));
        assert!(!matches("/a/b", "/A/b"));
        assert!(matches("/", "/"));
        assert!(!matches("/", "/a"));
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
