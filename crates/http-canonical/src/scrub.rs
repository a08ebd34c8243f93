//! The header section: checked whole, then stripped of fields that clients must not send ([RFC 9110 §7.6.1], [RFC 9113 §8.2]).
//!
//! The client's `Connection` list is applied to the client's own fields here, before the gateway writes any of its own.
//!
//! [RFC 9110 §7.6.1]: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
//! [RFC 9113 §8.2]: https://www.rfc-editor.org/rfc/rfc9113#section-8.2

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};

use crate::{
    refusal::RequestRefusal,
    reserved::{is_hop_by_hop, is_reserved},
    spelling::Spelling,
};

/// Fields that must not occur twice, because the request would become ambiguous; by length.
const SINGLE: [&str; 15] = [
    "host",
    "expect",
    "origin",
    "upgrade",
    "content-type",
    "authorization",
    "content-length",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-user",
    "x-doorward-token",
    "sec-websocket-key",
    "proxy-authorization",
    "sec-websocket-version",
];

/// Index of a name, in any case, among the fields that must not occur twice.
pub(crate) fn single_field(name: &[u8]) -> Option<usize> {
    let (first, count) = match name.len() {
        4 => (0, 1),
        6 => (1, 2),
        7 => (3, 1),
        12 => (4, 1),
        13 => (5, 1),
        14 => (6, 5),
        16 => (11, 1),
        17 => (12, 1),
        19 => (13, 1),
        21 => (14, 1),
        _ => return None,
    };
    let mut as_long = SINGLE.iter().enumerate().skip(first).take(count);
    let found = as_long.find(|(_, single)| name.eq_ignore_ascii_case(single.as_bytes()));
    found.map(|(place, _)| place)
}

/// Names that are about the message or the request, and so are not passed on.
const OF_THE_REQUEST: [&str; 4] = ["content-length", "expect", "host", "traceparent"];

/// Whether a name with `_` becomes, in a server that takes `_` for `-`, one that only the gateway writes, that belongs to the
/// connection, or that may occur once. Names are compared without case.
pub(crate) fn folds_onto_ours(name: &[u8]) -> bool {
    let plain = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    let folded: Vec<u8> = name.iter().map(plain).collect();
    let Ok(folded) = std::str::from_utf8(&folded) else { return true };
    is_reserved(folded)
        || is_hop_by_hop(folded)
        || OF_THE_REQUEST.contains(&folded)
        || single_field(folded.as_bytes()).is_some()
}

/// Refuses header sections that HTTP/1 framing cannot check or that HTTP/2 lets through.
pub(super) fn check(headers: &HeaderMap, version: Version) -> Result<(), RequestRefusal> {
    let bad = |name: &HeaderName| {
        let name = name.as_str().as_bytes();
        match Spelling::of(name) {
            Spelling::Plain => false,
            Spelling::Underscored => folds_onto_ours(name),
            Spelling::Invalid => true,
        }
    };
    if headers.keys().any(bad) {
        return Err(RequestRefusal::HeaderName);
    }
    if headers.len() != headers.keys_len() {
        for name in SINGLE {
            if headers.get_all(name).iter().nth(1).is_some() {
                return Err(RequestRefusal::Duplicate(HeaderName::from_static(name)));
            }
        }
    }
    if headers.get(header::EXPECT).is_some_and(|expect| !is(expect, "100-continue")) {
        return Err(RequestRefusal::Expect);
    }
    if version == Version::HTTP_2 {
        let specific =
            ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
        if let Some(name) = specific.into_iter().find(|name| headers.contains_key(*name)) {
            return Err(RequestRefusal::ConnectionSpecific(HeaderName::from_static(name)));
        }
        if headers.get(header::TE).is_some_and(|te| !is(te, "trailers")) {
            return Err(RequestRefusal::ConnectionSpecific(header::TE));
        }
    }
    Ok(())
}

/// `TE: trailers`, alone or in a list.
pub(super) fn accepts_trailers(headers: &HeaderMap) -> bool {
    let Some(te) = headers.get(header::TE) else { return false };
    te.as_bytes()
        .split(|byte| *byte == b',')
        .any(|word| word.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Removes every field that is not end-to-end or that a client must not send; joins cookie crumbs into one field. Removes names
/// with `_` too, which servers confuse with others, and returns the number of those fields.
pub(super) fn scrub(headers: &mut HeaderMap) -> usize {
    let mut gone: Vec<HeaderName> = Vec::new();
    for connection in headers.get_all(header::CONNECTION) {
        let named = connection.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        gone.extend(named.filter_map(|name| HeaderName::from_bytes(name).ok()));
    }
    let ours =
        |name: &str| is_hop_by_hop(name) || is_reserved(name) || OF_THE_REQUEST.contains(&name);
    let mut underscored = 0;
    for name in headers.keys() {
        if name.as_str().contains('_') {
            underscored += headers.get_all(name).iter().count();
            gone.push(name.clone());
        } else if ours(name.as_str()) {
            gone.push(name.clone());
        }
    }
    for name in gone {
        headers.remove(name);
    }
    join_cookies(headers);
    underscored
}

/// [RFC 9113 §8.2.3](https://www.rfc-editor.org/rfc/rfc9113#section-8.2.3)
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> =
        headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    match HeaderValue::from_bytes(&crumbs.join(b"; ".as_slice())) {
        Ok(joined) => drop(headers.insert(header::COOKIE, joined)),
        Err(_) => drop(headers.remove(header::COOKIE)),
    }
}

fn is(value: &HeaderValue, word: &str) -> bool {
    value.as_bytes().eq_ignore_ascii_case(word.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_single_field_is_found_in_any_case() {
        for (place, name) in SINGLE.iter().enumerate() {
            assert_eq!(single_field(name.as_bytes()), Some(place), "{name}");
            assert_eq!(single_field(name.to_ascii_uppercase().as_bytes()), Some(place), "{name}");
            let longer = format!("{name}s");
            assert_eq!(single_field(longer.as_bytes()), None, "{longer}");
        }
        for other in ["", "cookie", "accept", "sec-fetch-dist"] {
            assert_eq!(single_field(other.as_bytes()), None, "{other}");
        }
    }
}
