//! Progress of a response whose request body is still arriving, as in a bidirectional gRPC call.
//!
//! The request body asks it whether the response is in progress. HTTP/2 only: an HTTP/1 client sends first and reads afterwards.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// Whether a response has begun and not ended, and whether the request may pause before that.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResponseProgress {
    open: Arc<AtomicBool>,
    unhurried: Arc<AtomicBool>,
}

/// The body of a response. Dropping it marks the response as ended.
struct TrackedBody {
    body: Body,
    progress: ResponseProgress,
}

impl ResponseProgress {
    /// Marks the response as begun; it is in progress until its body ends.
    pub(super) fn begin(self, response: Response<Body>) -> Response<Body> {
        if response.body().is_end_stream() {
            return response;
        }
        self.open.store(true, Ordering::Release);
        response.map(|body| Body::new(TrackedBody { body, progress: self }))
    }

    /// Lets the request pause although no response has begun, as a call whose service answers at the end. The stage that
    /// permitted the request limits the pauses.
    pub(crate) fn allow_pauses(&self) {
        self.unhurried.store(true, Ordering::Release);
    }

    /// Whether a pause of the request may be part of the exchange.
    pub(super) fn allows_pauses(&self) -> bool {
        self.open.load(Ordering::Acquire) || self.unhurried.load(Ordering::Acquire)
    }
}

// === impl TrackedBody ===

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        self.progress.open.store(false, Ordering::Release);
    }
}
