//! Patterns for subjects: a pattern and a subject agree by trying every length of every wildcard, and text that a caller puts into
//! one part never takes the place of another.

use access_policy::SubjectPattern;
use subject_pattern::{LONGEST_PATTERN, LONGEST_SUBJECT, MOST_WILDCARDS};

/// A pattern in the first line, and a subject in the rest.
pub fn subject_pattern(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (written, subject) = text.split_once('\n').unwrap_or((text, text));
    let Ok(pattern) = written.parse::<SubjectPattern>() else { return };
    assert_eq!(pattern.as_str(), written);
    assert_eq!(pattern.to_string().parse(), Ok(pattern.clone()));
    let wildcards = written.matches('*').count();
    assert!(
        !written.contains("**") && wildcards <= MOST_WILDCARDS && written.len() <= LONGEST_PATTERN
    );
    for open in ["repo:*", "project_path:*", "spiffe://*"] {
        assert!(!written.starts_with(open), "anyone matches {written}");
    }

    let matches = pattern.matches(subject);
    let usual = subject.len() <= LONGEST_SUBJECT && !subject.contains(char::is_control);
    assert_eq!(
        matches,
        usual && by_trial(written.as_bytes(), subject.as_bytes()),
        "{written} {subject}"
    );
    // Without a wildcard there is one subject.
    if wildcards == 0 {
        assert_eq!(matches, usual && written == subject, "{written} {subject}");
    }
    if !matches {
        return;
    }
    assert_eq!(separators(written), separators(subject), "{written} {subject}");
    for (at, _) in subject.char_indices().chain([(subject.len(), ' ')]) {
        for separator in [":", "/", "\0", "\r\n"] {
            let injected = format!("{}{separator}{}", &subject[..at], &subject[at..]);
            assert!(!pattern.matches(&injected), "{written} {injected:?}");
        }
    }
}

fn separators(text: &str) -> String {
    text.chars().filter(|letter| matches!(letter, ':' | '/')).collect()
}

/// Whether some length of each wildcard makes the pattern the text: the places that the beginning of the pattern can reach.
fn by_trial(pattern: &[u8], text: &[u8]) -> bool {
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for own in pattern {
        let mut next = vec![false; text.len() + 1];
        for (at, byte) in text.iter().enumerate() {
            let crosses = matches!(byte, b':' | b'/');
            next[at + 1] = match own {
                b'*' => !crosses && (reached[at] || next[at]),
                literal => reached[at] && literal == byte,
            };
        }
        reached = next;
    }
    reached[text.len()]
}
