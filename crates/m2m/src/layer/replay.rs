//! A body that can be sent twice if it is short: what passes is kept, up to a limit.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// A request's body on its way through a [`Bearer`](super::Bearer). It is not buffered: what has been
/// sent is kept besides, which costs no copy where the data is [`Bytes`].
pub struct ReplayBody<B>(State<B>);

enum State<B> {
    Once(B),
    Recorded { body: B, record: Record },
    Again { data: VecDeque<Bytes>, trailers: Option<HeaderMap> },
}

/// What has been sent of a body.
#[derive(Clone)]
pub(super) struct Record(Arc<Mutex<Sent>>);

struct Sent {
    data: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    /// How much more may be kept; `None`: it was too long, and nothing is kept.
    room: Option<usize>,
    is_whole: bool,
}

impl<B: Body> ReplayBody<B> {
    pub(super) fn once(body: B) -> Self {
        Self(State::Once(body))
    }

    pub(super) fn recorded(body: B, limit: usize) -> (Self, Record) {
        // A client may never look into a body that is empty.
        let is_whole = body.is_end_stream();
        let sent = Sent { data: VecDeque::new(), trailers: None, room: Some(limit), is_whole };
        let record = Record(Arc::new(Mutex::new(sent)));
        (Self(State::Recorded { body, record: record.clone() }), record)
    }
}

impl Record {
    /// The same body again, if it was sent to its end and kept.
    pub(super) fn replay<B>(&self) -> Option<ReplayBody<B>> {
        let sent = self.sent();
        sent.room.filter(|_| sent.is_whole)?;
        let (data, trailers) = (sent.data.clone(), sent.trailers.clone());
        Some(ReplayBody(State::Again { data, trailers }))
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sent {
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

impl<B: Body + Unpin> Body for ReplayBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let in_bytes =
            |frame: Frame<B::Data>| frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
        match &mut self.get_mut().0 {
            State::Once(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map(in_bytes)))
            }
            State::Recorded { body, record } => {
                let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
                let frame = frame.map(|frame| frame.map(in_bytes));
                let mut sent = record.sent();
                match &frame {
                    Some(Ok(frame)) => {
                        sent.keep(frame);
                        // A client that knows the length does not ask for the end.
                        sent.is_whole = body.is_end_stream();
                    }
                    Some(Err(_)) => sent.room = None,
                    None => sent.is_whole = true,
                }
                Poll::Ready(frame)
            }
            State::Again { data, trailers } => Poll::Ready(match data.pop_front() {
                Some(data) => Some(Ok(Frame::data(data))),
                None => trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            State::Once(body) | State::Recorded { body, .. } => body.is_end_stream(),
            State::Again { data, trailers } => data.is_empty() && trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            State::Once(body) | State::Recorded { body, .. } => body.size_hint(),
            State::Again { data, .. } => {
                SizeHint::with_exact(data.iter().map(|data| data.len() as u64).sum())
            }
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
