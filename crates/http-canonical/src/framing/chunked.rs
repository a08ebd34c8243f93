//! The chunked coding ([RFC 9112 §7.1]), without extensions.
//!
//! Sizes are 1 to 16 hexadecimal digits, lines end in CRLF, and the sum of all sizes is limited. The trailer section is checked
//! like a header section. Its fields that a server could act on are left out; the parser behind never sees them.
//!
//! [RFC 9112 §7.1]: https://www.rfc-editor.org/rfc/rfc9112#section-7.1

use memchr::memchr;

use super::{Action, Reason, head::split_field};
use crate::trailers;

/// The largest trailer section that is read.
const TRAILER_LIMIT: usize = 8 * 1024;

/// Position of the next byte in a chunked body.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    at: At,
    /// Data bytes announced so far.
    total: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size { value: u64, digits: u8 },
    SizeLf { value: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer { seen: usize, fields: usize },
    Over,
}

impl Default for At {
    fn default() -> Self {
        Self::Size { value: 0, digits: 0 }
    }
}

impl Chunked {
    pub(super) fn is_over(&self) -> bool {
        self.at == At::Over
    }

    /// Judges the bytes at the front. A violation behind valid bytes is returned once those have passed.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<Action, Reason> {
        let mut passed = 0;
        while let Some(rest) = bytes.get(passed..).filter(|rest| !rest.is_empty()) {
            if passed > 0 && matches!(self.at, At::Trailer { .. }) {
                break;
            }
            match self.step(rest) {
                Ok(Action::Pass(count)) => passed += count,
                Ok(other) if passed == 0 => return Ok(other),
                Err(reason) if passed == 0 => return Err(reason),
                _ => break,
            }
            if self.is_over() {
                break;
            }
        }
        Ok(if passed == 0 { Action::NeedMore } else { Action::Pass(passed) })
    }

    /// Judges one byte of syntax, or as much data as there is; changes nothing when it refuses.
    fn step(&mut self, bytes: &[u8]) -> Result<Action, Reason> {
        let first = bytes.first().copied().unwrap_or_default();
        self.at = match self.at {
            At::Size { value, digits } => match (first, char::from(first).to_digit(16)) {
                (_, Some(digit)) if digits < 16 => {
                    At::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
                }
                (b'\r', _) if digits > 0 => At::SizeLf { value },
                _ => return Err(Reason::Chunk),
            },
            At::SizeLf { value } => {
                let total = self.total.checked_add(value).filter(|total| *total <= i64::MAX as u64);
                match (first, total) {
                    (b'\n', Some(total)) => {
                        self.total = total;
                        if value == 0 {
                            At::Trailer { seen: 0, fields: 0 }
                        } else {
                            At::Data { left: value }
                        }
                    }
                    _ => return Err(Reason::Chunk),
                }
            }
            At::Data { left } => {
                let here = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                let left = left - here as u64;
                self.at = if left == 0 { At::DataCr } else { At::Data { left } };
                return Ok(Action::Pass(here));
            }
            At::DataCr if first == b'\r' => At::DataLf,
            At::DataLf if first == b'\n' => At::default(),
            At::DataCr | At::DataLf => return Err(Reason::Chunk),
            At::Trailer { seen, fields } => return self.trailer(bytes, seen, fields),
            At::Over => return Ok(Action::NeedMore),
        };
        Ok(Action::Pass(1))
    }

    fn trailer(&mut self, bytes: &[u8], seen: usize, fields: usize) -> Result<Action, Reason> {
        let Some(end) = memchr(b'\n', bytes) else {
            let stray = memchr(b'\r', bytes).is_some_and(|place| place + 1 < bytes.len());
            return match seen + bytes.len() > TRAILER_LIMIT || stray {
                true => Err(Reason::Trailer),
                false => Ok(Action::NeedMore),
            };
        };
        let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
        let line = line.ok_or(Reason::Trailer)?;
        if line.is_empty() {
            self.at = At::Over;
            return Ok(Action::Pass(end + 1));
        }
        let (name, _) = split_field(line).map_err(|_| Reason::Trailer)?;
        if name.contains(&b'_') {
            return Err(Reason::Trailer);
        }
        let seen = seen + end + 1;
        if seen > TRAILER_LIMIT || fields == trailers::MOST {
            return Err(Reason::Trailer);
        }
        self.at = At::Trailer { seen, fields: fields + 1 };
        let name = std::str::from_utf8(name).map(str::to_ascii_lowercase);
        match name.is_ok_and(|name| trailers::may_be_sent(&name)) {
            true => Ok(Action::Pass(end + 1)),
            false => Ok(Action::Skip(end + 1)),
        }
    }
}
