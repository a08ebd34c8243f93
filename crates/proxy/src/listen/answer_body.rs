//! The body of an answer on its way to the client, with what ends when it does.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{
    open_stream::{OpenStream, Unending},
    response_progress::InProgress,
};

/// A body, in no memory of its own: an answer needs no further allocation to be counted.
pub(super) struct AnswerBody {
    pub(super) body: Body,
    pub(super) _stream: Option<OpenStream>,
    pub(super) _unending: Option<Unending>,
    pub(super) _progress: Option<InProgress>,
}

// === impl AnswerBody ===

impl HttpBody for AnswerBody {
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
