//! Open streams of an HTTP/2 connection: while there is one, the connection is not idle.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::ConnInfo;

/// A response of at most this size is on its way at once; its stream need not be counted any longer.
const SOON_DONE: u64 = 64 * 1024;

/// A stream of a connection, counted until this is dropped.
pub(super) struct OpenStream(Arc<ConnInfo>);

/// The body of a response that may take long.
struct LongBody {
    body: Body,
    _stream: OpenStream,
}

impl OpenStream {
    /// Counts a stream of this connection.
    pub(super) fn begin(connection: &Arc<ConnInfo>) -> Self {
        connection.state.stream_opened();
        Self(Arc::clone(connection))
    }

    /// Counts the stream until its response has ended.
    pub(super) fn answered(self, response: Response<Body>) -> Response<Body> {
        match response.body().size_hint().upper() {
            Some(bytes) if bytes <= SOON_DONE => response,
            _ => response.map(|body| Body::new(LongBody { body, _stream: self })),
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.state.stream_ended();
    }
}

// === impl LongBody ===

impl HttpBody for LongBody {
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
