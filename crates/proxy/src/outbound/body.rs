//! Bodies on their way through the local listener. Nothing is stored but a short upload, which may have to be sent twice.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use super::refused::Refused;
use crate::{
    forward::headers::may_be_trailer,
    listen::Body,
    upstream::{InFlight, Lease, Upload},
};

/// Bytes of an upload that are kept to be sent again.
const SHORT: u64 = 64 * 1024;

/// The body of a request.
pub(super) enum Sent {
    /// None.
    Empty,
    /// One that may be sent twice.
    Short(Bytes),
    /// One that is sent once.
    Streamed(Option<Body>),
}

impl Sent {
    /// Reads a body whose declared length is short; any other one streams.
    pub(super) async fn of(body: Body, length: Option<u64>) -> Result<Self, Refused> {
        if body.is_end_stream() {
            return Ok(Self::Empty);
        }
        if length.is_none_or(|length| length > SHORT) {
            return Ok(Self::Streamed(Some(body)));
        }
        let limit = usize::try_from(SHORT).unwrap_or(usize::MAX);
        let whole = Limited::new(body, limit).collect().await.map_err(|_| Refused::BrokenOff)?;
        Ok(Self::Short(whole.to_bytes()))
    }

    /// Whether it can be sent again.
    pub(super) fn is_repeatable(&self) -> bool {
        !matches!(self, Self::Streamed(_))
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// The upload of the next attempt, and the time at which its last byte moved.
    pub(super) fn upload(&mut self) -> (Upload, Moved) {
        let moved = Moved::now();
        let upload = match self {
            Self::Empty => Upload::Empty,
            Self::Short(bytes) => Upload::streamed(Full::new(bytes.clone())),
            Self::Streamed(body) => match body.take() {
                Some(inner) => Upload::streamed(Watched { inner, moved: moved.clone() }),
                None => Upload::Empty,
            },
        };
        (upload, moved)
    }
}

/// The time at which the last byte of an upload moved. Clones share it.
#[derive(Clone)]
pub(super) struct Moved(Arc<Mutex<Instant>>);

impl Moved {
    fn now() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    pub(super) fn at(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// An upload whose progress is noted.
struct Watched {
    inner: Body,
    moved: Moved,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        self.moved.touch();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of an answer. Gives its connection back at its end; ends when no byte moves for the idle time.
pub(super) struct Passing {
    inner: Option<Incoming>,
    lease: Option<Lease>,
    _in_flight: InFlight,
    idle: Duration,
    timer: Pin<Box<Sleep>>,
}

/// Reason an answer is broken off; the client never sees a complete one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the service broke off its answer")]
    Service(#[source] hyper::Error),
    #[error("no byte of the answer came in time")]
    Idle,
}

impl Passing {
    pub(super) fn new(inner: Incoming, lease: Lease, in_flight: InFlight, idle: Duration) -> Self {
        let timer = Box::pin(sleep(idle));
        Self { inner: Some(inner), lease: Some(lease), _in_flight: in_flight, idle, timer }
    }

    /// The body goes first, so that the connection knows whether it was read to its end.
    fn stop(&mut self) {
        self.inner = None;
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl http_body::Body for Passing {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let body = &mut *self;
        let Some(inner) = &mut body.inner else { return Poll::Ready(None) };
        let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) else {
            ready!(body.timer.as_mut().poll(cx));
            body.stop();
            return Poll::Ready(Some(Err(Broken::Idle)));
        };
        body.timer.as_mut().reset(Instant::now() + body.idle);
        let frame = match frame {
            None => {
                body.stop();
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                body.stop();
                return Poll::Ready(Some(Err(Broken::Service(error))));
            }
            Some(Ok(frame)) => frame,
        };
        Poll::Ready(Some(Ok(match frame.into_trailers() {
            Ok(mut trailers) => {
                let dropped: Vec<_> =
                    trailers.keys().filter(|name| !may_be_trailer(name)).cloned().collect();
                for name in dropped {
                    trailers.remove(name);
                }
                Frame::trailers(trailers)
            }
            Err(data) => data,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) => inner.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.stop();
    }
}
