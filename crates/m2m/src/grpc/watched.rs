//! The body of an answer, whose trailers may refuse the token.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};

use super::is_unauthenticated;
use crate::access_token::AccessToken;
use crate::outgoing::{Outgoing, wants_nonce};

/// The body of an answer. Frames pass through; if the trailers say that the service refused the token, the
/// token's source replaces it in the background.
pub struct WatchedBody<R> {
    body: R,
    report: Option<Report>,
}

/// The token of a call, and its source.
pub(super) struct Report {
    outgoing: Arc<Outgoing>,
    token: AccessToken,
}

impl Report {
    pub(super) fn new(outgoing: Arc<Outgoing>, token: AccessToken) -> Self {
        Self { outgoing, token }
    }

    pub(super) fn send(self) {
        self.outgoing.report(self.token);
    }
}

impl<R> WatchedBody<R> {
    pub(super) fn unwatched(body: R) -> Self {
        Self { body, report: None }
    }

    pub(super) fn watched(body: R, report: Report) -> Self {
        Self { body, report: Some(report) }
    }
}

// === impl Body ===

impl<R: Body + Unpin> Body for WatchedBody<R> {
    type Data = R::Data;
    type Error = R::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<R::Data>, R::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(trailers) = frame.trailers_ref()
            && let Some(report) = self.report.take()
            && is_unauthenticated(trailers)
            && !wants_nonce(trailers)
        {
            report.send();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<R: Default> Default for WatchedBody<R> {
    fn default() -> Self {
        Self::unwatched(R::default())
    }
}

impl<R> fmt::Debug for WatchedBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WatchedBody(..)")
    }
}
