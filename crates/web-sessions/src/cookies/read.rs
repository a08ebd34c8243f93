//! Reads `Cookie` headers as bytes, and removes our cookies from them.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, header::COOKIE};
use percent_encoding::percent_decode;

use super::{LOGIN, NAME};

const HOST_PREFIX: &[u8] = b"__host-";

/// Number of times a request presents a cookie of one name.
#[derive(Debug, Default, Clone, Copy)]
pub(super) enum Presented<'h> {
    /// The cookie is absent.
    #[default]
    Not,
    /// Once, with this value.
    Once(&'h [u8]),
    /// Twice or more: another site may have set one of them.
    Often,
}

impl<'h> Presented<'h> {
    pub(super) fn add(&mut self, value: &'h [u8]) {
        *self = match self {
            Self::Not => Self::Once(value),
            Self::Once(_) | Self::Often => Self::Often,
        };
    }

    /// The value, if presented once and in our alphabet (base64url).
    pub(super) fn once(self) -> Option<&'h str> {
        let Self::Once(value) = self else { return None };
        let ours = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if value.is_empty() || !value.iter().all(ours) {
            return None;
        }
        std::str::from_utf8(value).ok()
    }
}

/// Names and values of a request's cookies (the reverse of RFC 6265bis §5.8.3): split at `;`, stripped of SP and HTAB, split at
/// the first `=`.
pub(super) fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.get_all(COOKIE).iter().flat_map(|header| segments(header).filter_map(pair))
}

/// Reads the cookies of one name from a request.
pub(super) fn presented<'h>(headers: &'h HeaderMap, wanted: &str) -> Presented<'h> {
    let mut presented = Presented::default();
    for (_, value) in pairs(headers).filter(|(name, _)| *name == wanted.as_bytes()) {
        presented.add(value);
    }
    presented
}

/// A `Cookie` header without the cookies that could be ours: named `doorward`, or `configured`, which is in lower case.
pub(super) fn strip(header: &HeaderValue, configured: Option<&str>) -> Option<HeaderValue> {
    let ours = |segment: &[u8]| could_be_ours(segment, configured);
    let mut all = segments(header);
    // Up to the first of ours nothing is copied, and each cookie is judged once.
    let Some(first) = all.position(ours) else { return Some(header.clone()) };
    let mut joined = Vec::with_capacity(header.len());
    for segment in segments(header).take(first).chain(all.filter(|segment| !ours(segment))) {
        joined.extend_from_slice(segment);
        joined.push(b';');
    }
    joined.pop();
    let left = trim(&joined);
    if left.is_empty() {
        return None;
    }
    HeaderValue::from_bytes(left).ok()
}

fn segments(header: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    header.as_bytes().split(|byte| *byte == b';')
}

fn pair(segment: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut halves = trim(segment).splitn(2, |byte| *byte == b'=');
    Some((halves.next()?, halves.next()?))
}

fn trim(bytes: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = bytes.iter().position(|byte| !blank(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

/// Whether some parser could take this cookie for one of ours: by another case or prefix, with blanks or quotes around the
/// name, percent-encoded, or nameless with the name in the value.
fn could_be_ours(segment: &[u8], configured: Option<&str>) -> bool {
    let mut parts = segment.split(|byte| *byte == b'=').map(trim);
    // The first part that is not empty: in `=__Host-doorward=x` a browser or server may take the second part for the name.
    let Some(name) = parts.find(|part| !part.is_empty()) else { return false };
    let mentioned = mentions(name, NAME) || configured.is_some_and(|own| mentions(name, own));
    if !name.contains(&b'%') && !mentioned {
        return false;
    }
    if is_written_as(name, NAME) || configured.is_some_and(|own| is_written_as(name, own)) {
        return true;
    }
    let decoded: Cow<'_, [u8]> = percent_decode(name).into();
    let text = String::from_utf8_lossy(&decoded).to_ascii_lowercase();
    let mut rest = text.trim_matches(|character: char| {
        character.is_whitespace()
            || character.is_control()
            || matches!(
                character,
                '"' | '$' | '\u{feff}' | '\u{200b}' | char::REPLACEMENT_CHARACTER
            )
    });
    let written = rest;
    while let Some(bare) = ["__host-", "__secure-", "__http-", "http-"]
        .iter()
        .find_map(|prefix| rest.strip_prefix(prefix))
    {
        rest = bare;
    }
    // With a prefix, every name of this form is some gateway's: no application has it.
    let of_another = rest.len() < written.len()
        && rest.strip_prefix(NAME).is_some_and(|tail| tail.starts_with('-'));
    of_another || has_name(rest, NAME) || configured.is_some_and(|own| has_name(rest, own))
}

/// Whether a cookie's name is `name` as the gateway itself writes it, in any case. Most of ours are found by this.
fn is_written_as(found: &[u8], name: &str) -> bool {
    let bare = found
        .split_at_checked(HOST_PREFIX.len())
        .filter(|(prefix, _)| prefix.eq_ignore_ascii_case(HOST_PREFIX))
        .map_or(found, |(_, bare)| bare);
    bare.eq_ignore_ascii_case(name.as_bytes())
}

/// Whether a cookie's name is `name`, one of its chunks, or one of its logins.
fn has_name(found: &str, name: &str) -> bool {
    let chunk = |tail: &str| {
        tail.strip_prefix('.')
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    found
        .strip_prefix(name)
        .is_some_and(|tail| tail.is_empty() || tail.starts_with(LOGIN) || chunk(tail))
}

fn mentions(name: &[u8], us: &str) -> bool {
    name.windows(us.len()).any(|window| window.eq_ignore_ascii_case(us.as_bytes()))
}
