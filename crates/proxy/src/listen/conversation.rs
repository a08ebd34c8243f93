//! A request's body and its answer in progress at the same time, as in a bidirectional gRPC call.
//!
//! The body learns whether the answer is still open. HTTP/2 only: an HTTP/1 client sends first and reads afterwards.

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

/// Whether an answer has begun and not ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Conversation {
    open: Arc<AtomicBool>,
}

/// An answer's body. Dropping it ends the conversation.
struct Answer {
    body: Body,
    conversation: Conversation,
}

impl Conversation {
    /// Marks the answer as begun; the conversation is open until its body ends.
    pub(super) fn begin(self, answer: Response<Body>) -> Response<Body> {
        if answer.body().is_end_stream() {
            return answer;
        }
        self.open.store(true, Ordering::Release);
        answer.map(|body| Body::new(Answer { body, conversation: self }))
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }
}

// === impl Answer ===

impl HttpBody for Answer {
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

impl Drop for Answer {
    fn drop(&mut self) {
        self.conversation.open.store(false, Ordering::Release);
    }
}
