//! A body that can be sent twice if it is short: the frames that were sent are kept, up to a limit, and the
//! unread rest is taken back.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// A request's body on its way through a [`Bearer`](super::Bearer). Frames pass through at once, and
/// are kept to be sent again; this needs no copy where the data is [`Bytes`].
pub struct ReplayBody<B>(State<B>);

enum State<B> {
    Once(B),
    Recorded {
        /// Data that was sent before, to be sent again.
        again: VecDeque<Bytes>,
        /// The rest; `None` when it was sent before to its end.
        rest: Option<B>,
        trailers: Option<HeaderMap>,
        record: Record<B>,
    },
}

/// The part of a body that has been sent.
pub(crate) struct Record<B>(Arc<Mutex<Sent<B>>>);

struct Sent<B> {
    data: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    /// Bytes that may still be kept; `None` if the body was too long or failed, so it cannot be sent again.
    room: Option<usize>,
    is_whole: bool,
    /// The unread rest: a service may refuse a request before it has read the body.
    rest: Option<B>,
}

impl<B: Body> ReplayBody<B> {
    pub(crate) fn once(body: B) -> Self {
        Self(State::Once(body))
    }

    pub(crate) fn recorded(body: B, limit: usize) -> (Self, Record<B>) {
        let sent = Sent {
            data: VecDeque::new(),
            trailers: None,
            room: Some(limit),
            // A client may never poll a body that is empty.
            is_whole: body.is_end_stream(),
            rest: None,
        };
        let record = Record(Arc::new(Mutex::new(sent)));
        let again = VecDeque::new();
        let state =
            State::Recorded { again, rest: Some(body), trailers: None, record: record.clone() };
        (Self(state), record)
    }
}

impl<B> Record<B> {
    /// The same body again, if all of it is available: the sent part was kept, and the rest was returned.
    pub(crate) fn replay(&self) -> Option<ReplayBody<B>> {
        let mut sent = self.sent();
        sent.room?;
        let rest = match sent.is_whole {
            true => None,
            false => Some(sent.rest.take()?),
        };
        let (again, trailers) = (sent.data.clone(), sent.trailers.clone());
        Some(ReplayBody(State::Recorded { again, rest, trailers, record: self.clone() }))
    }

    /// The same body again, if it was sent to its end and all of it was kept.
    #[cfg(feature = "tonic")]
    pub(crate) fn replay_whole(&self) -> Option<ReplayBody<B>> {
        let is_whole = self.sent().is_whole;
        is_whole.then(|| self.replay()).flatten()
    }

    /// The data that was kept, in the parts it was sent in.
    #[cfg(feature = "tonic")]
    pub(crate) fn kept(&self) -> VecDeque<Bytes> {
        self.sent().data.clone()
    }

    fn sent(&self) -> MutexGuard<'_, Sent<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Clone for Record<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> Sent<B> {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.room = self.room.and_then(|room| room.checked_sub(data.len()));
            match self.room {
                Some(_) => self.data.push_back(data.clone()),
                None => self.data.clear(),
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
        }
    }
}

type Polled<E> = Poll<Option<Result<Frame<Bytes>, E>>>;

fn next<B: Body + Unpin>(body: &mut B, cx: &mut Context<'_>) -> Polled<B::Error> {
    let in_bytes =
        |frame: Frame<B::Data>| frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
    Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map(in_bytes)))
}

impl<B: Body + Unpin> Body for ReplayBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled<B::Error> {
        let (again, rest, trailers, record) = match &mut self.get_mut().0 {
            State::Once(body) => return next(body, cx),
            State::Recorded { again, rest, trailers, record } => (again, rest, trailers, record),
        };
        if let Some(data) = again.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let Some(body) = rest else {
            return Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        };
        let frame = ready!(next(body, cx));
        let mut sent = record.sent();
        match &frame {
            Some(Ok(frame)) => {
                sent.keep(frame);
                // A client that knows the length does not poll for the end.
                sent.is_whole = body.is_end_stream();
            }
            Some(Err(_)) => sent.room = None,
            None => sent.is_whole = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            State::Once(body) => body.is_end_stream(),
            State::Recorded { again, rest, trailers, .. } => {
                again.is_empty()
                    && trailers.is_none()
                    && rest.as_ref().is_none_or(Body::is_end_stream)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            State::Once(body) => body.size_hint(),
            State::Recorded { again, rest, .. } => {
                let before: u64 = again.iter().map(|data| data.len() as u64).sum();
                let rest = rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower().saturating_add(before));
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper.saturating_add(before));
                }
                hint
            }
        }
    }
}

/// Returns the unread rest to the record.
impl<B> Drop for ReplayBody<B> {
    fn drop(&mut self) {
        if let State::Recorded { rest, record, .. } = &mut self.0 {
            record.sent().rest = rest.take();
        }
    }
}

impl<B: Default> Default for ReplayBody<B> {
    fn default() -> Self {
        Self(State::Once(B::default()))
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplayBody(..)")
    }
}
