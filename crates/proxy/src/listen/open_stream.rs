//! Open streams of a connection. While HTTP/2 has one, the connection is not idle; while an answer has no end of its own, a drain
//! leaves the connection the time of streams.

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

/// Marks a response without an end of its own, as an extension: server-sent events, gRPC.
#[derive(Debug, Clone, Copy)]
pub struct OpenEnded;

/// A response without an end of its own, counted until this is dropped.
struct Unending(Arc<ConnInfo>);

/// An open WebSocket of a connection, counted until this is dropped. With HTTP/1 the connection itself is the WebSocket.
pub struct OpenTunnel {
    _stream: OpenStream,
    _unending: Unending,
}

impl OpenTunnel {
    /// Counts a WebSocket of this connection.
    pub fn begin(connection: &Arc<ConnInfo>) -> Self {
        connection.state.unending_begun();
        Self { _stream: OpenStream::begin(connection), _unending: Unending(Arc::clone(connection)) }
    }
}

/// The body of a response that may take long.
struct LongBody<G> {
    body: Body,
    _stream: G,
}

impl OpenEnded {
    /// Counts a response of this connection until it has ended.
    pub(super) fn count(response: Response<Body>, connection: &Arc<ConnInfo>) -> Response<Body> {
        connection.state.unending_begun();
        let stream = Unending(Arc::clone(connection));
        response.map(|body| Body::new(LongBody { body, _stream: stream }))
    }
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

impl Drop for Unending {
    fn drop(&mut self) {
        self.0.state.unending_ended();
    }
}

// === impl LongBody ===

impl<G: Unpin> HttpBody for LongBody<G> {
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
