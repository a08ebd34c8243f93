//! Target of a browser after signing in or out: always a page of the same origin.
//!
//! The address of every page that the gateway serves is a valid target, also where a link writes it without percent-encoding. A
//! target is read as every known browser might read it (bytes stripped, backslashes and characters that look like slashes as
//! slashes, decoded once or twice more, dot segments removed). If any reading leaves the origin, the target is not followed.

use http::StatusCode;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::refusal::Refusal;

/// Replaces every target that is not followed.
pub const HOME: &str = "/";

/// The longest target that a login keeps in a store of records, in bytes.
pub const LIMIT: usize = 8 * 1024;

/// The longest target that a login keeps in a cookie, in bytes.
pub const COOKIE_LIMIT: usize = 2 * 1024;

/// Target of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReturnTo {
    /// Path and query, and the fragment if there is one.
    pub(crate) address: String,
    /// Whether the address asked for was too long, so that this is [`HOME`].
    pub(crate) too_long: bool,
}

impl Default for ReturnTo {
    fn default() -> Self {
        Self { address: HOME.to_owned(), too_long: false }
    }
}

impl ReturnTo {
    /// A target that replaces one that is too long to keep.
    pub(crate) fn too_long() -> Self {
        Self { address: HOME.to_owned(), too_long: true }
    }

    /// A target on the own origin; [`HOME`] if it is not followed or too long.
    pub(crate) fn read(target: &[u8], origin: &str, limit: usize) -> Self {
        let encoded = encoded(target);
        let local = match encoded.strip_prefix(origin) {
            Some("") => HOME,
            Some(rest) if rest.starts_with('/') => rest,
            Some(_) => HOME,
            None => &encoded,
        };
        match is_local(local, origin) {
            true if local.len() > limit => Self::too_long(),
            true => Self { address: local.to_owned(), too_long: false },
            false => Self::default(),
        }
    }

    /// The same, from the parameter `rd` of a query. `None`: there is no such parameter.
    ///
    /// # Errors
    ///
    /// [`Refusal::Malformed`] for a parameter that occurs more than once.
    pub(crate) fn of_query(
        query: &[u8],
        origin: &str,
        limit: usize,
    ) -> Result<Option<Self>, Refusal> {
        let mut values = query.split(|byte| *byte == b'&').filter_map(|pair| {
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (pair.get(..at)?, pair.get(at + 1..)?),
                None => (pair, &b""[..]),
            };
            let name = percent_encoding::percent_decode(name).collect::<Vec<_>>();
            matches!(name.as_slice(), b"rd" | b"too_long").then_some((name, value))
        });
        let Some((name, value)) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(Refusal::Malformed {
                status: StatusCode::BAD_REQUEST,
                reason: "the return address (`rd`) occurs twice".into(),
            });
        }
        if name == b"too_long" {
            return Ok(Some(Self::too_long()));
        }
        // A `+` stays a plus sign: an address has no raw space that a form could have written so, but may have a plus sign, and
        // proxies put addresses on links without encoding them.
        let target: Vec<u8> = percent_encoding::percent_decode(value).collect();
        Ok(Some(Self::read(&target, origin, limit)))
    }
}

/// The path and query of a target on the own origin, or [`HOME`].
///
/// ```
/// use doorward::endpoints::return_to::sanitize;
/// assert_eq!(sanitize("/search?q=https://elsewhere.test/", "https://own.example"), "/search?q=https://elsewhere.test/");
/// assert_eq!(sanitize("https://own.example/lab", "https://own.example"), "/lab");
/// assert_eq!(sanitize("/path/✓", "https://own.example"), "/path/%E2%9C%93");
/// assert_eq!(sanitize("//elsewhere.test", "https://own.example"), "/");
/// ```
pub fn sanitize(target: &str, origin: &str) -> String {
    ReturnTo::read(target.as_bytes(), origin, LIMIT).address
}

/// The target as a browser writes it (URL Standard, path and query percent-encode sets): bytes beyond ASCII, spaces, and percent
/// signs that begin no escape are encoded, and a backslash after the path. Other bytes stay, also those that no address may have.
fn encoded(target: &[u8]) -> String {
    let mut text = String::with_capacity(target.len());
    let mut in_path = true;
    let mut rest = target;
    while let Some((byte, after)) = rest.split_first() {
        let escape = |bytes: &[u8]| matches!(bytes, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit());
        in_path &= !matches!(byte, b'?' | b'#');
        match byte {
            b'%' if escape(after) => text.push('%'),
            b'\\' if in_path => text.push('\\'),
            0x80.. | b' ' | b'%' | b'\\' => {
                text.push_str(percent_encoding::percent_encode_byte(*byte));
            }
            other => text.push(char::from(*other)),
        }
        rest = after;
    }
    text
}

fn is_local(target: &str, origin: &str) -> bool {
    if !target.starts_with('/') {
        return false;
    }
    // The URL of a real page contains no bytes that a browser strips or reads differently.
    if target.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'\\') {
        return false;
    }
    let path = target.split(['?', '#']).next().unwrap_or(target);
    let once = percent_decode_str(path).decode_utf8_lossy().into_owned();
    let twice = percent_decode_str(&once).decode_utf8_lossy().into_owned();
    [target, path, &once, &twice].into_iter().all(|reading| stays(reading, origin))
}

/// Whether one reading of a target stays on the origin, as it is and as a browser may clean it.
fn stays(reading: &str, origin: &str) -> bool {
    let tidy: String = reading
        .chars()
        .filter(|c| !c.is_control() && !c.is_whitespace())
        .map(|c| if looks_like_slash(c) { '/' } else { c })
        .collect();
    if without_dot_segments(&tidy).starts_with("//") || tidy.starts_with("//") {
        return false;
    }
    let Ok(base) = Url::parse(origin) else { return false };
    [reading, tidy.as_str()].into_iter().all(|text| {
        base.join(text).is_ok_and(|url| {
            url.origin() == base.origin()
                && url.username().is_empty()
                && !url.path().starts_with("//")
        })
    })
}

/// A backslash, and the characters that some software makes a slash of or that look like one (Unicode TR 36 §2.8).
fn looks_like_slash(character: char) -> bool {
    matches!(
        character,
        '\\' | '\u{2044}' | '\u{2215}' | '\u{2216}' | '\u{29f5}' | '\u{29f8}' | '\u{3031}'
            ..='\u{3035}' | '\u{ff0f}' | '\u{ff3c}'
    )
}

fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}
