//! Open exchanges of a connection. While one is open, the connection is not idle; while an answer has no end of its own, a drain
//! leaves the connection the time of streams.

use std::sync::Arc;

use axum::body::Body;
use http_body::Body as _;

use super::ConnInfo;

/// A response of at most this size is on its way at once; its stream of HTTP/2 need not be counted any longer.
const SOON_DONE: u64 = 64 * 1024;

/// An exchange of a connection, counted until this is dropped.
pub(super) struct OpenStream {
    connection: Arc<ConnInfo>,
    http2: bool,
}

/// Marks a response without an end of its own, as an extension: server-sent events, gRPC.
#[derive(Debug, Clone, Copy)]
pub struct OpenEnded;

/// A response without an end of its own, counted until this is dropped.
pub(super) struct Unending(Arc<ConnInfo>);

/// An open WebSocket of a connection, counted until this is dropped. With HTTP/1 the connection itself is the WebSocket.
pub struct OpenTunnel {
    _stream: OpenStream,
    _unending: Unending,
}

impl OpenTunnel {
    /// Counts a WebSocket of this connection.
    pub fn begin(connection: &Arc<ConnInfo>) -> Self {
        Self {
            _stream: OpenStream::begin(connection, true),
            _unending: Unending::begin(connection),
        }
    }
}

impl Unending {
    /// Counts a response of this connection.
    pub(super) fn begin(connection: &Arc<ConnInfo>) -> Self {
        connection.state.unending_begun();
        Self(Arc::clone(connection))
    }
}

impl OpenStream {
    /// Counts an exchange of this connection.
    pub(super) fn begin(connection: &Arc<ConnInfo>, http2: bool) -> Self {
        connection.state.stream_opened();
        Self { connection: Arc::clone(connection), http2 }
    }

    /// The count while the answer is sent; `None` when it may end before.
    pub(super) fn answered(self, body: &Body) -> Option<Self> {
        let soon = self.http2 && body.size_hint().upper().is_some_and(|bytes| bytes <= SOON_DONE);
        (!soon).then_some(self)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.connection.state.stream_ended();
    }
}

impl Drop for Unending {
    fn drop(&mut self) {
        self.0.state.unending_ended();
    }
}
