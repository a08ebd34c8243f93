//! Base32 in lower case without padding (RFC 4648 §6): it has no character that a shell, a URL or a header treats specially, and
//! a double click selects all of it.

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The text of these bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(letter(held >> bits));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(letter(held << (5 - bits)));
    }
    text
}

/// Whether all of these are letters of the alphabet.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
}

fn letter(five_bits: u32) -> char {
    ALPHABET.get((five_bits & 31) as usize).map_or('a', |letter| char::from(*letter))
}

#[cfg(test)]
mod tests {
    use super::{encode, is_plain};

    #[test]
    fn the_text_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "my"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("fooba", "mzxw6ytb"),
            ("foobar", "mzxw6ytboi"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert!(is_plain(text));
        }
        assert!(!is_plain("A") && !is_plain("1") && !is_plain("a="));
    }
}
