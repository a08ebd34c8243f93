//! Percent-encoding of single bytes ([RFC 3986 §2.1](https://www.rfc-editor.org/rfc/rfc3986#section-2.1)).

/// The value of a hexadecimal digit.
pub(super) fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// [RFC 3986 §2.3](https://www.rfc-editor.org/rfc/rfc3986#section-2.3)
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The delimiters that a segment may hold as they are: `sub-delims`, `:` and `@` of
/// [RFC 3986 §3.3](https://www.rfc-editor.org/rfc/rfc3986#section-3.3).
pub(super) fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'!' | b'$' | b'&'..=b',' | b':' | b';' | b'=' | b'@')
}

/// Writes `%XX`, in upper case.
pub(super) fn push_escape(text: &mut String, byte: u8) {
    text.push_str(percent_encoding::percent_encode_byte(byte));
}

/// The same text with plain delimiters.
pub(super) fn with_plain_delimiters(text: &str) -> String {
    rewritten(text, "%", |out, byte| {
        let plain = is_delimiter(byte);
        if plain {
            out.push(char::from(byte));
        }
        plain
    })
}

/// The same text, with `write` for each byte whose two hexadecimal digits follow `mark`; as it was where that returns `false`.
pub(super) fn rewritten(text: &str, mark: &str, write: impl Fn(&mut String, u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(mark) {
        out.push_str(before);
        let mut digits = after.bytes();
        let value = digits.next().and_then(hex).zip(digits.next().and_then(hex));
        match (value.map(|(high, low)| high << 4 | low), after.get(2..)) {
            (Some(byte), Some(left)) if write(&mut out, byte) => rest = left,
            _ => {
                out.push_str(mark);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}
