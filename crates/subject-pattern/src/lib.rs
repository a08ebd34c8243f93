//! Patterns for the subjects (`sub`) that platforms give their jobs.
//!
//! Platforms build these subjects from parts: `system:serviceaccount:run:trainer`,
//! `project_path:data/churn:ref_type:branch:ref:main`. Some parts are chosen by callers, such as the name of a branch. A
//! [`SubjectPattern`] therefore matches part by part: `*` crosses neither `:` nor `/`, and a subject has exactly as many parts as
//! its pattern, so that text which a caller puts into one part never takes the place of another.
//!
//! ```
//! use subject_pattern::SubjectPattern;
//!
//! let run: SubjectPattern = "system:serviceaccount:run:*".parse()?;
//! assert!(run.matches("system:serviceaccount:run:trainer"));
//! assert!(!run.matches("system:serviceaccount:lab:trainer"));
//! // A branch that looks like the end of a subject.
//! let main: SubjectPattern = "project_path:data/*:ref_type:branch:ref:main".parse()?;
//! assert!(!main.matches("project_path:data/churn:ref_type:branch:ref:x:ref:main"));
//! # Ok::<(), subject_pattern::InvalidPattern>(())
//! ```
//!
//! A subject is unique within its issuer only: compare it after the issuer.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

mod matching;
#[cfg(test)]
mod tests;

/// The longest pattern, in bytes.
pub const LONGEST_PATTERN: usize = 512;
/// The longest subject that matches a pattern, in bytes; real ones have a few hundred.
pub const LONGEST_SUBJECT: usize = 2048;
/// The most wildcards of a pattern.
pub const MOST_WILDCARDS: usize = 8;

/// Beginnings of subjects after which the platform's own name for the owner follows, which `*` must not replace: on a platform
/// with many owners, anyone could create one that matches.
const OWNED: [(&str, &str); 5] = [
    ("repo:", "owner"),
    ("repository_owner:", "owner"),
    ("job_workflow_ref:", "owner"),
    ("project_path:", "group"),
    ("spiffe://", "trust domain"),
];

/// A pattern for subjects. `*` stands for at least one character without `:` and `/`; the rest is compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SubjectPattern(Box<str>);

/// The text is no pattern for subjects.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidPattern {
    /// It has no character.
    #[error("it is empty; write the subject")]
    Empty,
    /// It is longer than [`LONGEST_PATTERN`].
    #[error("it has {bytes} bytes; write at most {LONGEST_PATTERN}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It has more wildcards than [`MOST_WILDCARDS`].
    #[error("it has {wildcards} wildcards; write at most {MOST_WILDCARDS}, or a rule on `claims`")]
    TooManyWildcards {
        /// Their number.
        wildcards: usize,
    },
    /// It has `**`, which other programs read as a wildcard across parts.
    #[error("`**` does not cross `:` or `/` here; write one `*` in each part")]
    Doubled,
    /// It has a character that other programs read as a wildcard.
    #[error(
        "`{character}` is no wildcard here; only `*` is. For a subject with this character write `claims: {{ sub: … }}`"
    )]
    OtherWildcard {
        /// The character.
        character: char,
    },
    /// It has a control character, or a space at an end.
    #[error("it holds a control character, or a space at an end, which no subject has; remove it")]
    NotText,
    /// It has `%` before anything but two digits in upper case.
    #[error(
        "`%` is compared as it is, and platforms write two upper-case digits after it; write such as `%3A`"
    )]
    Percent,
    /// A pattern with wildcards has a part without a character.
    #[error("one of its parts is empty; write a name or `*` between the separators `:` and `/`")]
    EmptyPart,
    /// It has nothing but wildcards.
    #[error("it names no subject; write its fixed parts, or leave `subjects` out")]
    NoName,
    /// A wildcard stands for the kind of the subject, its first part.
    #[error("`{written}` stands for subjects of every kind; write the first part without `*`")]
    OpenKind {
        /// The part.
        written: String,
    },
    /// A wildcard stands for the owner of what the subject names.
    #[error("anyone can create {what} that matches `{written}`; write its name without `*`")]
    OpenOwner {
        /// `an owner`, `a group`, `a trust domain`
        what: String,
        /// The part.
        written: String,
    },
}

impl SubjectPattern {
    /// Whether the pattern matches this subject. One with a control character, or longer than [`LONGEST_SUBJECT`], matches nothing.
    pub fn matches(&self, subject: &str) -> bool {
        subject.len() <= LONGEST_SUBJECT
            && matching::matches(&self.0, subject)
            && !subject.contains(char::is_control)
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SubjectPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        if text.is_empty() {
            return Err(InvalidPattern::Empty);
        }
        if text.len() > LONGEST_PATTERN {
            return Err(InvalidPattern::TooLong { bytes: text.len() });
        }
        if text.trim().len() != text.len() || text.contains(char::is_control) {
            return Err(InvalidPattern::NotText);
        }
        if text.contains("**") {
            return Err(InvalidPattern::Doubled);
        }
        if let Some(character) =
            text.chars().find(|c| matches!(c, '?' | '[' | ']' | '{' | '}' | '\\'))
        {
            return Err(InvalidPattern::OtherWildcard { character });
        }
        if !text.split('%').skip(1).all(begins_with_octet) {
            return Err(InvalidPattern::Percent);
        }
        let wildcards = text.matches('*').count();
        if wildcards > MOST_WILDCARDS {
            return Err(InvalidPattern::TooManyWildcards { wildcards });
        }
        if wildcards > 0 {
            check_parts(text)?;
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for SubjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The parts of a pattern with wildcards.
fn check_parts(text: &str) -> Result<(), InvalidPattern> {
    if text.bytes().all(|byte| byte == b'*' || matching::is_separator(byte)) {
        return Err(InvalidPattern::NoName);
    }
    // A scheme is followed by two slashes, without a part between them.
    let parts = match text.split_once("://") {
        Some((scheme, rest)) if !scheme.contains([':', '/']) => {
            if scheme.is_empty() {
                return Err(InvalidPattern::EmptyPart);
            }
            rest
        }
        _ => text,
    };
    if parts.split([':', '/']).any(str::is_empty) {
        return Err(InvalidPattern::EmptyPart);
    }
    for (beginning, what) in OWNED {
        let Some(rest) = text.strip_prefix(beginning) else { continue };
        let owner = rest.split([':', '/']).next().unwrap_or_default();
        if owner.contains('*') {
            let article = if what.starts_with('o') { "an" } else { "a" };
            let what = format!("{article} {what}");
            return Err(InvalidPattern::OpenOwner { what, written: format!("{beginning}{owner}") });
        }
    }
    // The kind of subject is the platform's word; a pattern for every kind is for none that its writer had in mind.
    let kind = text.split([':', '/']).next().unwrap_or_default();
    if kind.contains('*') && text.contains([':', '/']) {
        return Err(InvalidPattern::OpenKind { written: kind.to_owned() });
    }
    Ok(())
}

/// Whether the text after `%` is an octet as platforms write it.
fn begins_with_octet(after: &str) -> bool {
    let upper = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'A'..=b'F');
    after.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(upper))
}
