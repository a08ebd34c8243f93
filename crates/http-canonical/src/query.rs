//! The query of a request target ([RFC 3986 §3.4](https://www.rfc-editor.org/rfc/rfc3986#section-3.4)).

use crate::refusal::RequestRefusal;

/// Accepts a query that a request line can hold. The query is sent on unchanged.
pub(super) fn check_query(query: &str) -> Result<(), RequestRefusal> {
    let plain = |byte: u8| (0x21..=0x7E).contains(&byte) && byte != b'#';
    if query.bytes().all(plain) { Ok(()) } else { Err(RequestRefusal::Query) }
}
