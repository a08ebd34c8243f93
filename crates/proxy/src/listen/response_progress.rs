//! Progress of a response whose request body is still arriving, as in a bidirectional gRPC call.
//!
//! The request body asks it whether the response is in progress. HTTP/2 only: an HTTP/1 client sends first and reads afterwards.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::body::Body;
use http_body::Body as _;

/// Whether a response has begun and not ended, and whether the request may pause before that.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResponseProgress {
    open: Arc<AtomicBool>,
    unhurried: Arc<AtomicBool>,
}

/// A response in progress, until this is dropped.
pub(super) struct InProgress(ResponseProgress);

impl ResponseProgress {
    /// Marks the response as begun; `None` for one that has ended with its head.
    pub(super) fn begin(self, body: &Body) -> Option<InProgress> {
        if body.is_end_stream() {
            return None;
        }
        self.open.store(true, Ordering::Release);
        Some(InProgress(self))
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

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.open.store(false, Ordering::Release);
    }
}
