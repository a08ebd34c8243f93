//! The frames of messages in a gRPC request ([Length-Prefixed-Message]).
//!
//! [Length-Prefixed-Message]: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests

use std::collections::VecDeque;

use bytes::Bytes;

/// Bytes before a message: the flag of its compression, then its length.
const PREFIX: usize = 5;

/// True if these parts together are exactly one message.
pub(super) fn is_one_message(parts: &VecDeque<Bytes>) -> bool {
    let mut bytes = parts.iter().flat_map(|part| part.iter().copied());
    let (Some(_), Some(a), Some(b), Some(c), Some(d)) =
        (bytes.next(), bytes.next(), bytes.next(), bytes.next(), bytes.next())
    else {
        return false;
    };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d]));
    let sent: usize = parts.iter().map(Bytes::len).sum();
    length.is_ok_and(|length| PREFIX.checked_add(length) == Some(sent))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::is_one_message;

    fn is_one(parts: &[&'static [u8]]) -> bool {
        is_one_message(&parts.iter().map(|part| Bytes::from_static(part)).collect())
    }

    #[test]
    fn one_message_is_one_however_it_was_sent() {
        assert!(is_one(&[b"\0\0\0\0\0"]));
        assert!(is_one(&[b"\0\0\0\0\x03abc"]));
        assert!(is_one(&[b"\0\0", b"\0\0\x03a", b"", b"bc"]));
        assert!(is_one(&[b"\x01\0\0\0\x03abc"]), "compressed");
    }

    #[test]
    fn none_two_or_a_part_of_one_is_not() {
        assert!(!is_one(&[]));
        assert!(!is_one(&[b"\0\0\0\0"]));
        assert!(!is_one(&[b"\0\0\0\0\x03ab"]));
        assert!(!is_one(&[b"\0\0\0\0\x01a", b"\0\0\0\0\x01b"]));
        assert!(!is_one(&[b"\0\xff\xff\xff\xffa"]));
    }
}
