//! A line of JSON that is written without an event: the form of each is that of the same line as an event.

use std::{
    convert::Infallible,
    fmt::{self, Write as _},
};

use tracing::Level;

use super::{level, of_request, timestamp};

/// Bytes of text that need no escape. A character that does is ASCII, or begins with 0xC2: U+0080 to U+009F.
static PLAIN: [bool; 256] = plain();

#[expect(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
const fn plain() -> [bool; 256] {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < plain.len() {
        plain[byte] = byte >= 0x20 && !matches!(byte, 0x22 | 0x5C | 0x7F | 0xC2);
        byte += 1;
    }
    plain
}

/// A line in progress.
#[derive(Debug)]
pub(crate) struct Line<'a>(&'a mut Vec<u8>);

/// Writes a whole line into an empty buffer. The id of the request that this task answers is the last field, unless the line
/// has one already.
pub(super) fn compose(
    buffer: &mut Vec<u8>,
    (of, message): (Level, &str),
    has_id: bool,
    fields: impl FnOnce(&mut Line<'_>),
) {
    let mut line = Line(buffer);
    line.raw("{\"ts\":\"");
    // Writing to memory never fails.
    let _ = timestamp::write(|text| {
        line.raw(text);
        Ok::<(), Infallible>(())
    });
    line.raw("\",\"level\":\"");
    line.raw(level(of));
    line.raw("\"");
    line.text("msg", message);
    fields(&mut line);
    if !has_id {
        let _ = of_request::with_id(|id| {
            line.text("request_id", id.as_str());
            Ok::<(), Infallible>(())
        });
    }
    line.raw("}\n");
}

impl Line<'_> {
    /// Adds a text.
    pub(crate) fn text(&mut self, name: &'static str, text: &str) {
        self.key(name);
        self.raw("\"");
        self.escaped(text);
        self.raw("\"");
    }

    /// Adds a text, if there is one.
    pub(crate) fn optional(&mut self, name: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// Adds a value as its text.
    pub(crate) fn display(&mut self, name: &'static str, value: impl fmt::Display) {
        self.key(name);
        self.raw("\"");
        let _ = write!(Escaping(self), "{value}");
        self.raw("\"");
    }

    /// Adds `true`.
    pub(crate) fn flag(&mut self, name: &'static str) {
        self.key(name);
        self.raw("true");
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, name: &'static str, number: u64) {
        self.key(name);
        let mut digits = [0; 20];
        let mut rest = number;
        let mut from = digits.len();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            from -= 1;
            if rest == 0 {
                break;
            }
        }
        self.0.extend_from_slice(digits.get(from..).unwrap_or_default());
    }

    fn key(&mut self, name: &'static str) {
        self.raw(",\"");
        self.raw(name);
        self.raw("\":");
    }

    fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Writes text within a JSON string, as [`Escaped`](super::Escaped) does.
    fn escaped(&mut self, text: &str) {
        // Most text has nothing to escape.
        let plain = |byte: u8| PLAIN.get(usize::from(byte)).is_some_and(|plain| *plain);
        if text.bytes().all(plain) {
            return self.raw(text);
        }
        for character in text.chars() {
            match character {
                '"' => self.raw("\\\""),
                '\\' => self.raw("\\\\"),
                control if control.is_control() => {
                    self.raw(&format!("\\u{:04x}", u32::from(control)));
                }
                other => self.raw(other.encode_utf8(&mut [0; 4])),
            }
        }
    }
}

/// Takes the pieces of a value.
struct Escaping<'l, 'a>(&'l mut Line<'a>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.escaped(text);
        Ok(())
    }
}
