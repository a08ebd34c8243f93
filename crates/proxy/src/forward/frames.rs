//! Boundaries of WebSocket frames ([RFC 6455 §5.2]).
//!
//! Reads headers only, so that a close frame of the gateway's never lands inside another frame. Payloads, extensions and
//! fragments are ignored: a control frame may come between the fragments of a message.
//!
//! [RFC 6455 §5.2]: https://www.rfc-editor.org/rfc/rfc6455#section-5.2

/// The longest frame header: two bytes, eight of length, four of mask.
const LONGEST: usize = 14;
const CLOSE: u8 = 0x8;

/// Follows one direction of a WebSocket.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: [u8; LONGEST],
    have: usize,
    payload: u64,
    closed: bool,
    data: bool,
}

impl Frames {
    /// Whether a frame may begin here.
    pub(super) fn at_boundary(&self) -> bool {
        self.have == 0 && self.payload == 0
    }

    /// Whether a close frame began.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether a byte of a message arrived since the last call. Control frames are no message: browsers answer pings without
    /// their user.
    pub(super) fn take_data(&mut self) -> bool {
        std::mem::take(&mut self.data)
    }

    /// Follows these bytes.
    pub(super) fn follow(&mut self, bytes: &[u8]) {
        self.walk(bytes, false);
    }

    /// Follows these bytes up to the next boundary, and returns their number.
    pub(super) fn follow_to_boundary(&mut self, bytes: &[u8]) -> usize {
        self.walk(bytes, true)
    }

    fn walk(&mut self, bytes: &[u8], stop: bool) -> usize {
        let mut rest = bytes;
        while let Some((first, after)) = rest.split_first() {
            if self.payload > 0 {
                let step =
                    usize::try_from(self.payload).map_or(rest.len(), |left| left.min(rest.len()));
                self.payload -= step as u64;
                self.data |= self.is_message();
                rest = rest.get(step..).unwrap_or_default();
            } else {
                if let Some(slot) = self.header.get_mut(self.have) {
                    *slot = *first;
                }
                self.have += 1;
                rest = after;
                self.read_header();
            }
            if stop && self.at_boundary() {
                break;
            }
        }
        bytes.len() - rest.len()
    }

    /// Whether the current frame is part of a message.
    fn is_message(&self) -> bool {
        let [first, ..] = self.header;
        first & 0x0F < CLOSE
    }

    /// Reads the header once it is complete; its payload follows.
    fn read_header(&mut self) {
        let [first, second, ..] = self.header;
        if self.have < 2 {
            return;
        }
        let extended: usize = match second & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        if self.have < 2 + extended + mask {
            return;
        }
        self.payload = match extended {
            0 => u64::from(second & 0x7F),
            _ => self
                .header
                .iter()
                .skip(2)
                .take(extended)
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        self.have = 0;
        self.closed |= first & 0x0F == CLOSE;
        self.data |= self.is_message();
    }
}

/// A close frame from a server ([RFC 6455 §5.5.1](https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1)).
pub(super) fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    let reason = reason.get(..reason.len().min(100)).unwrap_or_default();
    let mut frame = vec![0x80 | CLOSE, u8::try_from(2 + reason.len()).unwrap_or(2)];
    frame.extend(code.to_be_bytes());
    frame.extend(reason.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(opcode: u8, length: usize, mask: bool) -> Vec<u8> {
        let bit = if mask { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match length {
            0..=125 => frame.push(bit | length as u8),
            126..=65535 => {
                frame.push(bit | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(bit | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        if mask {
            frame.extend([1, 2, 3, 4]);
        }
        // A payload that looks like a close frame.
        frame.extend(std::iter::repeat_n(0x88, length));
        frame
    }

    #[test]
    fn a_close_frame_is_seen_and_a_payload_like_one_is_not() {
        let mut frames = Frames::default();
        frames.follow(&frame(2, 300, false));
        assert!(frames.at_boundary() && !frames.is_closed());
        frames.follow(&close_frame(1000, "bye"));
        assert!(frames.at_boundary() && frames.is_closed());
    }

    #[test]
    fn messages_are_data_and_control_frames_are_not() {
        let mut frames = Frames::default();
        for (opcode, data) in [(0x1, true), (0x8, false), (0x2, true), (0x9, false), (0xA, false)] {
            for byte in frame(opcode, 3, true) {
                frames.follow(&[byte]);
            }
            assert_eq!(frames.take_data(), data, "{opcode}");
        }
        frames.follow(&frame(0x1, 0, true));
        assert!(frames.take_data(), "an empty message");
    }

    #[test]
    fn the_gateways_close_frame_says_code_and_reason() {
        assert_eq!(close_frame(1008, "session ended"), b"\x88\x0f\x03\xf0session ended");
    }

    proptest! {
        #[test]
        fn boundaries_are_found_however_the_bytes_are_split(
            parts in prop::collection::vec((0u8..8, prop_oneof![0usize..200, 65530usize..65560], any::<bool>()), 1..6),
            cut in 1usize..5000,
        ) {
            let mut ends = Vec::new();
            let mut bytes = Vec::new();
            for (opcode, length, mask) in parts {
                bytes.extend(frame(opcode, length, mask));
                ends.push(bytes.len());
            }
            let mut whole = Frames::default();
            for chunk in bytes.chunks(cut) {
                whole.follow(chunk);
            }
            prop_assert!(whole.at_boundary());

            let (mut stepping, mut at, mut found) = (Frames::default(), 0, Vec::new());
            while at < bytes.len() {
                let chunk = bytes.get(at..(at + cut).min(bytes.len())).unwrap_or_default();
                at += stepping.follow_to_boundary(chunk);
                if stepping.at_boundary() {
                    found.push(at);
                }
            }
            prop_assert_eq!(found, ends);
        }
    }
}
