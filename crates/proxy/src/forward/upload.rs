//! A request's body in transit to the upstream.
//!
//! Nothing is stored: each frame is passed on when the upstream asks for it. Of the trailers, those pass that the client announced
//! and that are neither of framing nor of authentication nor reserved for the gateway. A body that is too large, or
//! that the client breaks off, ends the exchange and never looks complete.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use http_canonical::trailers::Announced;

use super::{
    cutoff::{Cut, Cutoff, Outcome, Progress},
    streams::{Activity, Bounds},
};
use crate::{listen::Body, route::Route, upstream::Upload};

/// A body that is counted and may be ended.
struct Counted {
    inner: Body,
    route: Arc<Route>,
    limit: Option<u64>,
    taken: u64,
    progress: Arc<Progress>,
    cutoff: Cutoff,
    activity: Option<Activity>,
    /// Boxed: mostly none.
    trailers: Option<Box<Announced>>,
}

/// Reason an upload was broken off; the upstream never sees its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    #[error("body larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the client broke off its upload")]
    BrokenOff(#[source] axum::Error),
    #[error("the upload was ended: {0}")]
    Cut(#[source] Cut),
}

/// A body and its progress; no progress for an empty one. The cutoff counts once the response has begun; before that,
/// [`Exchange`](super::exchange::Exchange) ends the upload.
pub(super) fn upload(
    inner: Body,
    route: &Arc<Route>,
    bounds: &Bounds,
    trailers: &Announced,
) -> (Upload, Option<Arc<Progress>>) {
    if inner.is_end_stream() {
        return (Upload::Empty, None);
    }
    let progress = Arc::new(Progress::begin());
    let counted = Counted {
        inner,
        route: Arc::clone(route),
        limit: route.body_limit,
        taken: 0,
        progress: Arc::clone(&progress),
        cutoff: bounds.cutoff(),
        activity: bounds.activity(),
        trailers: (!trailers.is_empty()).then(|| Box::new(trailers.clone())),
    };
    (Upload::streamed(counted), Some(progress))
}

impl Counted {
    /// The trailers of a frame that are passed on.
    #[cold]
    fn announced(&self, frame: Frame<Bytes>) -> Option<HeaderMap> {
        self.trailers.as_ref()?.keep(frame.into_trailers().ok()?)
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let body = &mut *self;
        loop {
            let frame = match ready!(Pin::new(&mut body.inner).poll_frame(cx)) {
                None => {
                    body.progress.complete();
                    return Poll::Ready(None);
                }
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    body.progress.end(Outcome::BrokenOff);
                    return Poll::Ready(Some(Err(UploadError::BrokenOff(error))));
                }
            };
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            let now = body.progress.touch(bytes);
            if let Some(activity) = &mut body.activity {
                activity.note(now);
            }
            if body.progress.has_response_begun()
                && let Some(cut) = body.cutoff.moved(cx)
            {
                return Poll::Ready(Some(Err(UploadError::Cut(cut))));
            }
            if body.inner.is_end_stream() {
                body.progress.complete();
            }
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(other) => match body.announced(other) {
                    Some(trailers) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                    None => continue,
                },
            };
            body.route.meters.received(data.len());
            body.taken = body.taken.saturating_add(data.len() as u64);
            if let Some(limit) = body.limit
                && body.taken > limit
            {
                body.progress.end(Outcome::TooLarge);
                return Poll::Ready(Some(Err(UploadError::TooLarge { limit })));
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
