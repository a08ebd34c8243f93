//! The query of a request target ([RFC 3986 §3.4](https://www.rfc-editor.org/rfc/rfc3986#section-3.4)).

use crate::{escape::push_escape, refusal::RequestRefusal};

/// Accepts a query that a request line can hold, and percent-encodes the bytes that a URL does not hold raw although clients
/// send them: `"`, `\`, `^`, `` ` ``, `{`, `|` and `}`. Everything else stays as it is.
pub(super) fn canonical_query(query: &str) -> Result<String, RequestRefusal> {
    let mut raw = false;
    for byte in query.bytes() {
        match byte {
            b'#' | 0..=0x20 | 0x7F.. => return Err(RequestRefusal::Query),
            b'"' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => raw = true,
            _ => {}
        }
    }
    if !raw {
        return Ok(query.to_owned());
    }
    let mut canonical = String::with_capacity(query.len() + 16);
    for byte in query.bytes() {
        match byte {
            b'"' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => push_escape(&mut canonical, byte),
            plain => canonical.push(char::from(plain)),
        }
    }
    Ok(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_a_url_does_not_hold_raw_are_encoded() {
        for (sent, canonical) in [
            ("", ""),
            ("a=b&c[]=d'e!*();:@,/?~", "a=b&c[]=d'e!*();:@,/?~"),
            ("q={\"a\":1}", "q=%7B%22a%22:1%7D"),
            ("c=C:\\dir|x^`", "c=C:%5Cdir%7Cx%5E%60"),
            ("%7B%zz%", "%7B%zz%"),
        ] {
            assert_eq!(canonical_query(sent).unwrap(), canonical);
            assert_eq!(canonical_query(canonical).unwrap(), canonical);
        }
        for bad in ["a#b", "a b", "\u{e9}", "a\u{0}", "a\u{7f}", "a\tb"] {
            assert!(canonical_query(bad).is_err(), "{bad:?}");
        }
    }
}
