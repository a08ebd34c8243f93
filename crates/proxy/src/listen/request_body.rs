//! A request's body as the service reads it: no trailers, and never slower than the minimum while it is being waited for.
//!
//! HTTP/1 bodies were judged on the way in; HTTP/2 frames its own, so its bodies are judged here.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use http::Version;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::{Limits, Reason, Violation, deadline::BodyClock};

/// The body of an HTTP/2 request.
pub(super) struct RequestBody {
    body: Incoming,
    clock: BodyClock,
}

impl RequestBody {
    pub(super) fn of(body: Incoming, version: Version, limits: &Limits) -> Body {
        if body.is_end_stream() {
            Body::empty()
        } else if version == Version::HTTP_2 {
            Body::new(Self { body, clock: BodyClock::new(limits) })
        } else {
            Body::new(body)
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
                    // Trailers: never part of the header section, and never sent on.
                    Err(_) => continue,
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
