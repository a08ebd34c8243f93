//! A request's body as the service reads it: never slower than the minimum while it is awaited.
//!
//! While the response is in progress a pause may be part of the exchange, and the service that answers limits it. So it is in a
//! permitted gRPC call before the response, because a service may answer only at the end.
//!
//! HTTP/1 bodies were judged before hyper parsed them; HTTP/2 has its own framing, so its bodies are judged here.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use crate::metric;

use super::{Limits, deadline::BodyClock, response_progress::ResponseProgress};
use http_canonical::{
    framing::{Reason, Violation},
    trailers,
};

/// The body of an HTTP/2 request.
pub(super) struct RequestBody {
    body: Incoming,
    clock: BodyClock,
    response: ResponseProgress,
}

impl RequestBody {
    /// Wraps a body. Over HTTP/2 the progress of the response is known; HTTP/1 bodies need no check here.
    pub(super) fn of(body: Incoming, limits: &Limits, response: Option<ResponseProgress>) -> Body {
        if body.is_end_stream() {
            return Body::empty();
        }
        match response {
            Some(response) => Body::new(Self { body, clock: BodyClock::new(limits), response }),
            None => Body::new(body),
        }
    }
}

// === impl RequestBody ===

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        loop {
            let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
                ready!(this.clock.poll_waiting(context));
                if this.response.allows_pauses() {
                    this.clock.restart();
                    continue;
                }
                metric::limit_reached("body_rate");
                let slow = Violation::from(Reason::BodyTimeout);
                return Poll::Ready(Some(
                    Err(io::Error::new(io::ErrorKind::TimedOut, slow).into()),
                ));
            };
            return Poll::Ready(match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        this.clock.received(data.len());
                        Some(Ok(Frame::data(data)))
                    }
                    // Trailers are never merged into the header section.
                    Err(other) => match other.into_trailers().ok().and_then(trailers::scrubbed) {
                        Some(trailers) => Some(Ok(Frame::trailers(trailers))),
                        None => continue,
                    },
                },
                Some(Err(error)) => Some(Err(error.into())),
                None => None,
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
