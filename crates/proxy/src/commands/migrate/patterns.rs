//! Regular expressions for paths as patterns of rules.
//!
//! Only expressions that a pattern can say are translated; but for a slash at the end, which makes no
//! difference here, a pattern matches no more paths than the expression did.

use crate::config::RulePath;

/// A mark for one whole segment, which no expression has.
const ANY: &str = "\u{1}";

/// A pattern that stands for a regular expression.
pub(super) struct Pattern {
    text: String,
    /// Whether the expression matched other paths too.
    pub(super) narrower: bool,
}

impl Pattern {
    /// A path, or with `/**` at its end everything below one too.
    pub(super) fn new(text: &str) -> Option<Self> {
        text.parse::<RulePath>().ok().map(|_| Self { text: text.to_owned(), narrower: false })
    }

    /// Translates an expression as Go and Apache read it: it matches anywhere unless it is anchored.
    pub(super) fn of_regex(regex: &str) -> Option<Self> {
        let body = regex.strip_prefix('^')?;
        let (body, ends) = match body.strip_suffix('$') {
            Some(body) if !body.ends_with('\\') => (body, true),
            _ => (body, false),
        };
        let open = ["(/|$)(.*)", "(/.*)?", "/(.*)", "/.*", "/(.+)", "/.+"];
        let (body, open) = match open.iter().find_map(|end| body.strip_suffix(end)) {
            Some(body) => (body, true),
            None if !ends && body.ends_with('/') => (body.trim_end_matches('/'), true),
            None => (body, false),
        };
        // Without an end, `^/api` matches `/apiary` too.
        let (body, partly) = match body.strip_suffix(".*") {
            Some(body) => (body, true),
            None => (body, !ends && !open),
        };
        let mut narrower = partly;
        let body = body.replace("([^/]+)", ANY).replace("[^/]+", ANY).replace("[^/]*", ANY);
        if !body.starts_with('/') && !body.is_empty() {
            return None;
        }
        let mut text = String::new();
        for segment in body.split('/').skip(1) {
            text.push('/');
            match segment {
                ANY => text.push('*'),
                _ => text.push_str(&literal(segment, &mut narrower)?),
            }
        }
        if open || partly {
            text = format!("{}/**", text.trim_end_matches('/'));
        }
        if text.is_empty() {
            text.push('/');
        }
        Self::new(&text).map(|pattern| Self { narrower, ..pattern })
    }

    /// The pattern as rules write it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it matches everything below a path.
    pub(super) fn is_open(&self) -> bool {
        self.text.ends_with("/**")
    }

    /// Whether it matches everything below one path, and no other paths.
    pub(super) fn is_everything_below(&self) -> bool {
        self.text.strip_suffix("/**").is_some_and(|path| !path.contains('*'))
    }

    /// The path before the first star.
    pub(super) fn literal(&self) -> &str {
        let end = self.text.find('*').unwrap_or(self.text.len());
        let literal = self.text.get(..end).unwrap_or_default();
        if end < self.text.len() { literal.trim_end_matches('/') } else { literal }
    }
}

/// The text that a part of an expression matches, if it matches one only.
fn literal(segment: &str, narrower: &mut bool) -> Option<String> {
    let mut text = String::new();
    let mut characters = segment.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next()? {
                escaped if escaped.is_ascii_alphanumeric() => return None,
                escaped => text.push(escaped),
            },
            '.' => {
                *narrower = true;
                text.push('.');
            }
            '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' => return None,
            '\u{1}' => return None,
            plain => text.push(plain),
        }
    }
    // An escaped star is a star of the path, and none of the pattern.
    (!text.contains('*')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn a_pattern_matches_no_more_than_the_expression() {
        for (regex, pattern) in [
            ("^/health$", Some("/health")),
            ("^/health", Some("/health/**")),
            ("^/static/", Some("/static/**")),
            ("^/static/.*$", Some("/static/**")),
            ("^/api/v1/(.*)", Some("/api/v1/**")),
            ("^/users/[^/]+/photo$", Some("/users/*/photo")),
            ("^/favicon\\.ico$", Some("/favicon.ico")),
            ("^/favicon.ico$", Some("/favicon.ico")),
            ("^/app.*$", Some("/app/**")),
            ("^/$", Some("/")),
            ("^/app(/|$)(.*)", Some("/app/**")),
            ("/health", None),
            ("^/(a|b)$", None),
            ("^/a+$", None),
            ("^/\\w+$", None),
            ("health$", None),
            ("^/a\\*b$", None),
            ("^/.*\\.css$", None),
        ] {
            let found = Pattern::of_regex(regex);
            assert_eq!(found.as_ref().map(Pattern::text), pattern, "{regex}");
        }
        assert!(Pattern::of_regex("^/health").unwrap().narrower);
        assert!(!Pattern::of_regex("^/health$").unwrap().narrower);
        assert_eq!(Pattern::of_regex("^/static/").unwrap().literal(), "/static");
    }
}
