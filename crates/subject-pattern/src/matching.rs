//! Compares a pattern and a subject, part by part.

/// Whether a byte ends a part.
pub(crate) fn is_separator(byte: u8) -> bool {
    matches!(byte, b':' | b'/')
}

/// Whether every part of the subject matches the part of the pattern at its place, with the same separators between them.
pub(crate) fn matches(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.as_bytes(), subject.as_bytes());
    loop {
        let (own, after_own) = cut(pattern);
        let (given, after_given) = cut(subject);
        if !part_matches(own, given) {
            return false;
        }
        match (after_own, after_given) {
            (None, None) => return true,
            (Some((own, rest)), Some((given, more))) if own == given => {
                (pattern, subject) = (rest, more);
            }
            _ => return false,
        }
    }
}

/// The first part, then the separator that ends it and the rest.
fn cut(text: &[u8]) -> (&[u8], Option<(u8, &[u8])>) {
    let end = text.iter().position(|byte| is_separator(*byte)).unwrap_or(text.len());
    let (part, rest) = text.split_at(end);
    (part, rest.split_first().map(|(separator, rest)| (*separator, rest)))
}

/// Matches one part. Each `*` takes one byte first; the last one is widened when what follows does not fit. Earlier ones need no
/// second look: if the text fits at all, it fits with each of them as short as possible.
fn part_matches(pattern: &[u8], part: &[u8]) -> bool {
    let (mut own, mut given) = (0, 0);
    // Places behind the last `*`, and behind the text that it stands for.
    let mut wide: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(own), part.get(given)) {
            (None, None) => return true,
            (Some(b'*'), Some(_)) => {
                (own, given) = (own + 1, given + 1);
                wide = Some((own, given));
            }
            (Some(literal), Some(byte)) if literal == byte => (own, given) = (own + 1, given + 1),
            _ => match wide {
                Some((after, end)) if end < part.len() => {
                    (own, given) = (after, end + 1);
                    wide = Some((after, end + 1));
                }
                _ => return false,
            },
        }
    }
}
