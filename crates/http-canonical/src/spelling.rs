//! The characters of a field name: letters, digits and `-`; and `_`, which some servers take for `-`.

/// Spelling of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Letters, digits and `-` only.
    Plain,
    /// Those and `_`.
    Underscored,
    /// Another character, or none at all.
    Invalid,
}

impl Spelling {
    /// The spelling of a name, in one pass over it.
    pub(crate) fn of(name: &[u8]) -> Self {
        let seen = name
            .iter()
            .fold(0, |seen, byte| seen | CLASSES.get(usize::from(*byte)).copied().unwrap_or(OTHER));
        match seen {
            PLAIN => Self::Plain,
            seen if seen & OTHER == 0 && seen != 0 => Self::Underscored,
            _ => Self::Invalid,
        }
    }
}

const PLAIN: u8 = 1;
const UNDERSCORE: u8 = 2;
const OTHER: u8 = 4;

/// The class of each byte.
static CLASSES: [u8; 256] = classes();

#[expect(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
const fn classes() -> [u8; 256] {
    let mut classes = [OTHER; 256];
    let mut byte = 0;
    while byte < 128 {
        classes[byte as usize] = match byte {
            b'_' => UNDERSCORE,
            b'-' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => PLAIN,
            _ => OTHER,
        };
        byte += 1;
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_the_class_of_its_character() {
        for byte in 0..=u8::MAX {
            let expected = match byte {
                b'_' => Spelling::Underscored,
                b'-' => Spelling::Plain,
                byte if byte.is_ascii_alphanumeric() => Spelling::Plain,
                _ => Spelling::Invalid,
            };
            assert_eq!(Spelling::of(&[byte]), expected, "{byte}");
            assert_eq!(Spelling::of(&[b'a', byte, b'z']), expected, "{byte}");
        }
    }

    #[test]
    fn the_worst_character_counts() {
        assert_eq!(Spelling::of(b""), Spelling::Invalid);
        assert_eq!(Spelling::of(b"X_Real-Ip"), Spelling::Underscored);
        assert_eq!(Spelling::of(b"_ "), Spelling::Invalid);
        assert_eq!(Spelling::of("x_\u{e9}".as_bytes()), Spelling::Invalid);
    }
}
