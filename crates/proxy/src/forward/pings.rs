//! Pings of the gateway's own on a quiet WebSocket ([RFC 6455 §5.5.2]).
//!
//! A ping keeps load balancers between from closing the connection, and its answer shows that the other end is alive. Each
//! tunnel has a random mark as the payload of its pings. The pong with the mark belongs to the gateway and is not passed on;
//! every other frame passes unchanged.
//!
//! [RFC 6455 §5.5.2]: https://www.rfc-editor.org/rfc/rfc6455#section-5.5.2

use std::{
    borrow::Cow,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::frames::Frames;

/// Payload of a tunnel's pings.
pub(super) type Mark = [u8; 8];

/// A whole ping: final fragment, no extension.
const PING: u8 = 0x89;
/// A whole pong.
const PONG: u8 = 0x8A;
const MASKED: u8 = 0x80;
/// The longest payload of a control frame (RFC 6455 §5.5).
const CONTROL: u8 = 125;

/// A ping for the client.
pub(super) fn ping(mark: &Mark) -> Vec<u8> {
    [&[PING, 8], mark.as_slice()].concat()
}

/// A ping for the upstream, which receives masked frames only (RFC 6455 §5.3).
pub(super) fn masked_ping(mark: &Mark, key: [u8; 4]) -> Vec<u8> {
    let mut payload = *mark;
    mask(&mut payload, &key);
    [&[PING, MASKED | 8], key.as_slice(), payload.as_slice()].concat()
}

fn mask(payload: &mut [u8], key: &[u8]) {
    payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
}

/// Decides when the next ping is due.
pub(super) struct Heartbeat {
    interval: Option<Duration>,
    pinged: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Heartbeat {
    /// A ping after each quiet interval; without one, never.
    pub(super) fn new(interval: Option<Duration>) -> Self {
        Self { interval, pinged: Instant::now(), timer: None }
    }

    /// Ready when a ping is due on a tunnel where a byte last moved at `moved`.
    pub(super) fn poll_due(&mut self, moved: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let Some(interval) = self.interval else { return Poll::Pending };
        loop {
            let due = moved.max(self.pinged) + interval;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            ready!(timer.as_mut().poll(cx));
            // The timer fired: bytes may have moved since it was set.
            let now = Instant::now();
            if due > now {
                timer.as_mut().reset(due);
                continue;
            }
            self.pinged = now;
            timer.as_mut().reset(now + interval);
            return Poll::Ready(());
        }
    }
}

/// Takes the answers to the gateway's pings out of one direction of a tunnel.
#[derive(Default)]
pub(super) struct Pongs {
    /// Set with the first ping.
    mark: Option<Mark>,
    /// A pong that has not arrived completely.
    held: Vec<u8>,
    answered: bool,
}

impl Pongs {
    /// The mark of this tunnel's pings: `fresh` for the first. From now on pongs with it are answers to the gateway.
    pub(super) fn mark(&mut self, fresh: Mark) -> &Mark {
        self.mark.get_or_insert(fresh)
    }

    /// Whether an answer came since the last call.
    pub(super) fn take_answer(&mut self) -> bool {
        std::mem::take(&mut self.answered)
    }

    /// Gives up a pong that has not arrived completely; its bytes are to be passed on.
    pub(super) fn give_up(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Follows bytes, and returns what is to be passed on.
    pub(super) fn sift<'b>(&mut self, frames: &mut Frames, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        if self.mark.is_none() {
            frames.follow(bytes);
            return Cow::Borrowed(bytes);
        }
        let mut passed: Option<Vec<u8>> = None;
        let mut at = 0;
        while let Some(first) = bytes.get(at) {
            let rest = bytes.get(at..).unwrap_or_default();
            if self.held.is_empty() && !(frames.at_boundary() && *first == PONG) {
                let step = frames.follow_to_boundary(rest);
                if let Some(passed) = &mut passed {
                    passed.extend_from_slice(rest.get(..step).unwrap_or_default());
                }
                at += step;
                continue;
            }
            let passed = passed.get_or_insert_with(|| bytes.get(..at).unwrap_or_default().to_vec());
            // The second byte says whether this can be a pong at all.
            let room = if self.held.len() < 2 { 2 - self.held.len() } else { rest.len() };
            let step = frames.follow_to_boundary(rest.get(..room).unwrap_or(rest));
            self.held.extend_from_slice(rest.get(..step).unwrap_or_default());
            at += step;
            let too_long = self.held.get(1).is_some_and(|length| length & !MASKED > CONTROL);
            if frames.at_boundary() || too_long {
                let held = std::mem::take(&mut self.held);
                if !too_long && self.is_answer(&held) {
                    self.answered = true;
                } else {
                    passed.extend(held);
                }
            }
        }
        passed.map_or(Cow::Borrowed(bytes), Cow::Owned)
    }

    fn is_answer(&self, pong: &[u8]) -> bool {
        let Some((head, rest)) = pong.split_at_checked(2) else { return false };
        let masked = head.get(1).is_some_and(|length| length & MASKED != 0);
        let (key, payload) = rest.split_at_checked(if masked { 4 } else { 0 }).unwrap_or_default();
        let mut payload = payload.to_vec();
        mask(&mut payload, key);
        self.mark.is_some_and(|mark| payload == mark)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MARK: Mark = *b"quietly!";

    fn pong(payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        let mut payload = payload.to_vec();
        match key {
            None => [&[PONG, length], payload.as_slice()].concat(),
            Some(key) => {
                mask(&mut payload, &key);
                [&[PONG, MASKED | length], key.as_slice(), payload.as_slice()].concat()
            }
        }
    }

    fn sift(pongs: &mut Pongs, chunks: &[&[u8]]) -> Vec<u8> {
        let mut frames = Frames::default();
        let mut passed = Vec::new();
        for chunk in chunks {
            passed.extend_from_slice(&pongs.sift(&mut frames, chunk));
        }
        passed
    }

    #[test]
    fn a_ping_is_masked_for_the_upstream_only() {
        assert_eq!(ping(&MARK), b"\x89\x08quietly!");
        let masked = masked_ping(&MARK, [0x01, 0x02, 0x03, 0x04]);
        assert_eq!(masked.get(..6).unwrap(), b"\x89\x88\x01\x02\x03\x04");
        assert_ne!(masked.get(6..).unwrap(), MARK);
        let mut payload = masked.get(6..).unwrap().to_vec();
        mask(&mut payload, &[1, 2, 3, 4]);
        assert_eq!(payload, MARK);
    }

    #[test]
    fn only_the_answer_to_the_gateway_is_taken_out() {
        for key in [None, Some([9, 8, 7, 6])] {
            let own = pong(&MARK, key);
            for other in [
                pong(b"", key),
                pong(b"quietly?", key),
                pong(b"quietly!!", key),
                // A text frame and a ping with the same payload.
                [&[0x81, 8], MARK.as_slice()].concat(),
                ping(&MARK),
                // A pong that is too long to be one passes for the other side to refuse.
                [&[PONG, 126, 0, 200], [0x8A; 200].as_slice()].concat(),
            ] {
                let mut pongs = Pongs::default();
                pongs.mark(MARK);
                let bytes = [other.as_slice(), &own, &other, &own].concat();
                assert_eq!(sift(&mut pongs, &[&bytes]), [other.as_slice(), &other].concat());
                assert!(pongs.take_answer() && !pongs.take_answer());
            }
        }
    }

    #[test]
    fn without_a_ping_every_pong_passes() {
        let mut pongs = Pongs::default();
        assert_eq!(sift(&mut pongs, &[&pong(&MARK, None)]), pong(&MARK, None));
        assert!(!pongs.take_answer());
    }

    proptest! {
        #[test]
        fn the_split_of_the_bytes_does_not_matter(
            frames in prop::collection::vec((any::<bool>(), any::<bool>(), 0usize..200), 1..8),
            cut in 1usize..40,
        ) {
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            for (own, masked, length) in frames {
                let key = masked.then_some([3, 1, 4, 1]);
                if own {
                    bytes.extend(pong(&MARK, key));
                } else {
                    let frame = if length < 100 {
                        pong(&vec![0x8A; length], key)
                    } else {
                        [&[0x82, 126, 0, u8::try_from(length).unwrap()], vec![0x8A; length].as_slice()].concat()
                    };
                    bytes.extend_from_slice(&frame);
                    expected.extend(frame);
                }
            }
            let mut pongs = Pongs::default();
            pongs.mark(MARK);
            let chunks: Vec<&[u8]> = bytes.chunks(cut).collect();
            prop_assert_eq!(sift(&mut pongs, &chunks), expected);
            prop_assert!(pongs.give_up().is_empty());
        }
    }
}
