//! Messages of the Model Context Protocol, as rules see them.

use std::fmt;

/// The message that a request carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Message<'a> {
    /// The request carries none: no rule about messages applies.
    #[default]
    None,
    /// The request may carry one that was not read. Where a rule about messages would decide, the decision is
    /// [`Ambiguous`](crate::Decision::Ambiguous).
    Unread,
    /// One request or notification.
    Read {
        /// `method`
        method: &'a str,
        /// The name of the tool, the prompt or the resource.
        name: Option<&'a str>,
    },
}

/// Messages that a rule applies to. Every list that is not empty must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Messages {
    /// Methods of the protocol.
    pub methods: Vec<NamePattern>,
    /// Names of tools: the rule then applies to `tools/call` only.
    pub tools: Vec<NamePattern>,
}

impl Messages {
    /// Whether it applies to a message.
    pub(crate) fn include(&self, method: &str, name: Option<&str>) -> bool {
        let matches = |patterns: &[NamePattern], text: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(text))
        };
        let tool = self.tools.is_empty()
            || (method == CALL && name.is_some_and(|name| matches(&self.tools, name)));
        tool && matches(&self.methods, method)
    }
}

/// The method that calls a tool.
const CALL: &str = "tools/call";

impl fmt::Display for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |patterns: &[NamePattern]| {
            patterns.iter().map(NamePattern::as_str).collect::<Vec<_>>().join(", ")
        };
        match (self.methods.as_slice(), self.tools.as_slice()) {
            (methods, []) => write!(f, "the methods {}", list(methods)),
            ([], tools) => write!(f, "the tools {}", list(tools)),
            (methods, tools) => {
                write!(f, "the methods {} and tools {}", list(methods), list(tools))
            }
        }
    }
}

/// A name in which `*` stands for any characters, also none. Letter case matters.
///
/// ```
/// use access_policy::NamePattern;
///
/// let pattern: NamePattern = "query_*".parse()?;
/// assert!(pattern.matches("query_sales") && !pattern.matches("delete_sales"));
/// # Ok::<(), access_policy::InvalidNamePattern>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(String);

/// A text that is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidNamePattern {
    /// It is empty, or longer than any name.
    Length,
    /// It has a character that no name has.
    Character,
    /// It has more `*` than a pattern needs.
    TooManyStars,
}

impl fmt::Display for InvalidNamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "invalid name: it is empty or longer than 256 bytes",
            Self::Character => "invalid name: it has a space or a control character",
            Self::TooManyStars => "invalid name: more than 4 `*`",
        })
    }
}

impl std::error::Error for InvalidNamePattern {}

impl NamePattern {
    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name matches.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        let mut rest = rest;
        for part in parts {
            match rest.split_once(part) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl std::str::FromStr for NamePattern {
    type Err = InvalidNamePattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > 256 {
            return Err(InvalidNamePattern::Length);
        }
        if text.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
            return Err(InvalidNamePattern::Character);
        }
        if text.matches('*').count() > 4 {
            return Err(InvalidNamePattern::TooManyStars);
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> NamePattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (text, yes, no) in [
            (
                "query_*",
                &["query_", "query_sales", "query_a*b"][..],
                &["query", "Query_x", "xquery_"][..],
            ),
            ("tools/list", &["tools/list"], &["tools/lists", "tools/", "TOOLS/LIST"]),
            ("*", &["", "anything"], &[]),
            ("a*b*c", &["abc", "axbxc", "abbcc"], &["ab", "acb", "abcd", "xabc"]),
            ("*_read", &["_read", "file_read"], &["read", "file_read_all"]),
            ("xy*yx", &["xyyx", "xyzyx"], &["xyx", "xy"]),
        ] {
            assert!(yes.iter().all(|name| pattern(text).matches(name)), "{text}");
            assert!(no.iter().all(|name| !pattern(text).matches(name)), "{text}");
        }
        for bad in ["", "a b", "a\nb", "*****", &"x".repeat(257)] {
            assert!(bad.parse::<NamePattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_rule_about_tools_applies_to_calls_only() {
        let tools = Messages { methods: Vec::new(), tools: vec![pattern("query_*")] };
        assert!(tools.include("tools/call", Some("query_sales")));
        assert!(!tools.include("tools/call", Some("drop")) && !tools.include("tools/call", None));
        assert!(!tools.include("prompts/get", Some("query_sales")));
        let both = Messages { methods: vec![pattern("tools/list")], ..tools };
        assert!(
            !both.include("tools/call", Some("query_sales")) && !both.include("tools/list", None)
        );
        let methods = Messages { methods: vec![pattern("tools/*")], tools: Vec::new() };
        assert!(methods.include("tools/list", None) && methods.include("tools/call", Some("x")));
        assert_eq!(both.to_string(), "the methods tools/list and tools query_*");
    }
}
