//! Patterns for subjects.
//!
//! Platforms build the subjects of their jobs from parts: `system:serviceaccount:run:trainer`,
//! `project_path:data/churn:ref_type:branch:ref:main`. `*` matches any text within one part, so that no pattern matches
//! across a namespace, a project or a branch with `/` in its name.

/// Whether a subject matches a pattern.
pub(super) fn matches(pattern: &str, subject: &str) -> bool {
    let parts = |text| str::split_inclusive(text, is_separator);
    let (mut own, mut given) = (parts(pattern), parts(subject));
    loop {
        match (own.next(), given.next()) {
            (None, None) => return true,
            (Some(own), Some(given)) if part_matches(own, given) => {}
            _ => return false,
        }
    }
}

fn is_separator(character: char) -> bool {
    matches!(character, ':' | '/')
}

/// Matches one part, with the separator that ends it. The last `*` is widened first, as far as possible.
fn part_matches(pattern: &str, part: &str) -> bool {
    let (pattern, part) = (pattern.as_bytes(), part.as_bytes());
    let (mut own, mut given) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = part.get(given) {
        match pattern.get(own) {
            Some(b'*') => {
                star = Some((own, given));
                own += 1;
            }
            Some(literal) if literal == byte => {
                own += 1;
                given += 1;
            }
            _ => match star {
                Some((at, from))
                    if !part.get(from).is_none_or(|o| is_separator(char::from(*o))) =>
                {
                    star = Some((at, from + 1));
                    own = at + 1;
                    given = from + 1;
                }
                _ => return false,
            },
        }
    }
    pattern.get(own..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_pattern_matches_within_its_parts() {
        for (pattern, subject) in [
            ("248289761001", "248289761001"),
            ("system:serviceaccount:run:*", "system:serviceaccount:run:trainer"),
            (
                "project_path:data/*:ref_type:branch:ref:main",
                "project_path:data/churn:ref_type:branch:ref:main",
            ),
            ("repo:corp/*:ref:refs/heads/rel-*", "repo:corp/churn:ref:refs/heads/rel-1-2"),
            ("a*b*c", "axxbyybzc"),
            ("*", "alice"),
            ("**", "alice"),
            ("a*", "a"),
        ] {
            assert!(matches(pattern, subject), "{pattern} {subject}");
        }
    }

    #[test]
    fn a_star_reaches_across_no_separator() {
        for (pattern, subject) in [
            ("system:serviceaccount:run:*", "system:serviceaccount:run:a:b"),
            ("system:serviceaccount:*", "system:serviceaccount:run:trainer"),
            (
                "project_path:data/*:ref_type:branch:ref:main",
                "project_path:data/x/y:ref_type:branch:ref:main",
            ),
            ("repo:corp/*:ref:refs/heads/*", "repo:corp/churn:ref:refs/heads/feature/x"),
            ("*", "a/b"),
            ("*", "a:"),
            ("a*", "ab:"),
            ("", "a"),
            ("a", ""),
            ("alice", "Alice"),
            ("alice", "alice:"),
            ("a*b", "a:b"),
        ] {
            assert!(!matches(pattern, subject), "{pattern} {subject}");
        }
    }
}
