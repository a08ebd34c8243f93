//! The request target ([RFC 9112 §3.2]): origin form, or absolute form as clients of a proxy write it.
//!
//! Some clients send a few bytes raw that a URL holds percent-encoded only ([RFC 3986 §2]). The parser behind refuses one of them
//! in a path and one in a query, so these two are replaced here; the canonical request encodes the others. None of them
//! separates anything, in any server.
//!
//! [RFC 9112 §3.2]: https://www.rfc-editor.org/rfc/rfc9112#section-3.2
//! [RFC 3986 §2]: https://www.rfc-editor.org/rfc/rfc3986#section-2

use super::Action;

/// A target within its request line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// Position of its path in the line.
    path: usize,
    /// Length of its path.
    path_length: usize,
    /// Length of the path and what follows.
    length: usize,
    raw: bool,
}

impl Target {
    /// Reads a target that begins at a position of its line; `None` for another form, or for a byte that it must not hold.
    pub(super) fn read(begin: usize, target: &[u8]) -> Option<Self> {
        let authority = authority(target)?;
        let rest = target.get(authority..)?;
        let path_length = rest.iter().position(|byte| *byte == b'?').unwrap_or(rest.len());
        let (path, query) = rest.split_at_checked(path_length)?;
        let in_path =
            |byte: &u8| matches!(byte, 0x21..=0x7E) && !matches!(byte, b'#' | b'\\' | b'<' | b'>');
        let in_query =
            |byte: &u8| matches!(byte, 0x21..=0x7E) && !matches!(byte, b'#' | b'<' | b'>');
        let rooted = path.first() == Some(&b'/') || (path.is_empty() && authority > 0);
        if !rooted || !path.iter().all(in_path) || !query.iter().all(in_query) {
            return None;
        }
        let raw = path.contains(&IN_PATH) || query.contains(&IN_QUERY);
        Some(Self { path: begin + authority, path_length, length: rest.len(), raw })
    }

    /// Whether bytes of it must be replaced.
    pub(super) fn is_raw(self) -> bool {
        self.raw
    }
}

/// The byte that is replaced in a path.
const IN_PATH: u8 = b'`';
/// The byte that is replaced in a query.
const IN_QUERY: u8 = b'"';

/// Length of the scheme and authority in front of a path; 0 in origin form. The canonical request compares it with `Host`.
fn authority(target: &[u8]) -> Option<usize> {
    if target.first() == Some(&b'/') {
        return Some(0);
    }
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| {
        target.get(..scheme.len()).is_some_and(|t| t.eq_ignore_ascii_case(scheme))
    })?;
    let after = target.get(scheme.len()..)?;
    let length = after.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(after.len());
    let host = after.get(..length)?;
    crate::host::CanonicalHost::is_valid(host).then_some(scheme.len() + length)
}

/// Replaces bytes of a target, in a head that is complete.
#[derive(Debug)]
pub(super) struct Escaping {
    /// Bytes before the path.
    before: usize,
    path: usize,
    query: usize,
    /// Bytes after the query, up to the end of the head.
    after: usize,
}

impl Escaping {
    /// The target of a head of this length.
    pub(super) fn new(target: Target, head: usize) -> Self {
        let Target { path: before, path_length: path, length, .. } = target;
        let query = length.saturating_sub(path);
        Self { before, path, query, after: head.saturating_sub(before + length) }
    }

    /// The action for the bytes at the front, and whether the head ends with it.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> (Action, bool) {
        let path = self.before..self.before + self.path;
        let query = path.end..path.end + self.query;
        let find = |range: std::ops::Range<usize>, raw: u8| {
            let start = range.start;
            bytes.get(range)?.iter().position(|byte| *byte == raw).map(|at| start + at)
        };
        let raw = find(path, IN_PATH).or_else(|| find(query, IN_QUERY));
        match (raw, bytes.first()) {
            (Some(0), Some(byte)) => {
                self.drop_front(1);
                (Action::Replace(escaped(*byte)), false)
            }
            (Some(count), _) => {
                self.drop_front(count);
                (Action::Pass(count), false)
            }
            (None, _) => (Action::Pass(self.before + self.path + self.query + self.after), true),
        }
    }

    fn drop_front(&mut self, mut count: usize) {
        for part in [&mut self.before, &mut self.path, &mut self.query] {
            let here = count.min(*part);
            *part -= here;
            count -= here;
        }
    }
}

fn escaped(byte: u8) -> [u8; 3] {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'A' + value - 10 };
    [b'%', digit(byte >> 4), digit(byte & 15)]
}
