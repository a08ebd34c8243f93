//! Numbers of bytes with a unit.

use std::fmt;
use std::str::FromStr;

use super::text::written_as_text;

/// A number of bytes: `512KiB`, `10GiB`, `1500B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Reason a text is not a size.
#[derive(Debug, thiserror::Error)]
#[error("invalid size `{text}`; write a whole number and a unit, such as `512KiB` or `10GiB`")]
pub struct ByteSizeError {
    text: String,
}

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        UNITS
            .iter()
            .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))
            .and_then(|(number, factor)| {
                number.trim_end().parse::<u64>().ok()?.checked_mul(*factor)
            })
            .map(Self)
            .ok_or_else(|| ByteSizeError { text: text.to_owned() })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS
            .iter()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor))
            .unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

written_as_text!(ByteSize, "a size", "10GiB");
