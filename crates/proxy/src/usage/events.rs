//! Server-sent events that arrive in pieces ([HTML §9.2.6](https://html.spec.whatwg.org/multipage/server-sent-events.html)): the
//! data of each event, without keeping it.

use super::members::{Found, Members};

/// The name of the field that is read.
const DATA: &[u8] = b"data";
/// The mark that a stream may begin with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads events.
#[derive(Debug, Default)]
pub(super) struct Events {
    place: Place,
    /// The last line ended with CR, and a LF that follows belongs to it.
    after_cr: bool,
    /// The event has data.
    has_data: bool,
    members: Members,
}

/// Place within a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the mark at the beginning of the stream, after so many of its bytes.
    Mark(usize),
    /// In the name of a field, of which so many bytes are those of `data`.
    Name(usize),
    /// At the first byte of the value of `data`.
    Value,
    /// In the value of `data`.
    Data,
    /// In another field, or in a comment.
    Other,
}

impl Default for Place {
    fn default() -> Self {
        Self::Mark(0)
    }
}

impl Events {
    /// Reads the next piece, and passes on the members of each event that ends in it.
    pub(super) fn read(&mut self, mut piece: &[u8], mut event: impl FnMut(Found)) {
        while let Some((&byte, rest)) = piece.split_first() {
            let was_cr = std::mem::take(&mut self.after_cr);
            match (self.place, byte) {
                (_, b'\n') if was_cr => {}
                (_, b'\r' | b'\n') => {
                    self.after_cr = byte == b'\r';
                    self.end_line(&mut event);
                }
                (Place::Mark(at), _) if BYTE_ORDER_MARK.get(at) == Some(&byte) => {
                    let is_whole = at + 1 == BYTE_ORDER_MARK.len();
                    self.place = if is_whole { Place::Name(0) } else { Place::Mark(at + 1) };
                }
                (Place::Mark(at), _) => {
                    self.place = if at == 0 { Place::Name(0) } else { Place::Other };
                    continue;
                }
                (Place::Name(at), _) if DATA.get(at) == Some(&byte) => {
                    self.place = Place::Name(at + 1);
                }
                (Place::Name(at), b':') if at == DATA.len() => {
                    self.begin_data();
                    self.place = Place::Value;
                }
                (Place::Name(_), _) => self.place = Place::Other,
                (Place::Value, b' ') => self.place = Place::Data,
                (Place::Value | Place::Data, _) => {
                    self.place = Place::Data;
                    let end = piece.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                    let (data, rest) =
                        piece.split_at_checked(end.unwrap_or(piece.len())).unwrap_or_default();
                    self.members.read(data);
                    piece = rest;
                    continue;
                }
                (Place::Other, _) => {
                    let end = piece.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                    let (_, rest) =
                        piece.split_at_checked(end.unwrap_or(piece.len())).unwrap_or_default();
                    piece = rest;
                    continue;
                }
            }
            piece = rest;
        }
    }

    /// The members of an event that the stream ends in.
    pub(super) fn end(&mut self) -> Option<Found> {
        std::mem::take(&mut self.has_data).then(|| self.members.end())
    }

    fn begin_data(&mut self) {
        if std::mem::replace(&mut self.has_data, true) {
            // Lines of data are joined.
            self.members.read(b"\n");
        }
    }

    fn end_line(&mut self, event: &mut impl FnMut(Found)) {
        match self.place {
            Place::Mark(0) | Place::Name(0) => {
                if let Some(found) = self.end() {
                    event(found);
                }
            }
            Place::Name(at) if at == DATA.len() => self.begin_data(),
            _ => {}
        }
        self.place = Place::Name(0);
    }
}
