//! Facts about an exchange with an upstream that are complete only at its end.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use http_canonical::RequestId;

use super::{Exchanged, Line, Trail};
use crate::{telemetry::Span, upstream::Target};

/// Account of one exchange. Each body in transit holds it; when the last one lets go of it, the exchange is over. Then the audit
/// line of a plain exchange is written, and the request's span ends.
pub(crate) struct Tally {
    request_id: RequestId,
    target: Arc<Target>,
    stream: bool,
    received: AtomicU64,
    sent: AtomicU64,
    at_the_end: Mutex<AtTheEnd>,
}

/// Everything that waits for the end of the exchange.
#[derive(Default)]
struct AtTheEnd {
    line: Option<Waiting>,
    span: Option<Span>,
    /// Boxed: only answers of models have it.
    spent: Option<Box<SpentTokens>>,
}

/// Tokens of an answer of a model.
#[derive(Debug, Clone)]
pub(crate) struct SpentTokens {
    /// The model that the answer names.
    pub(crate) model: Option<String>,
    pub(crate) total: u64,
    pub(crate) input: u64,
    pub(crate) output: u64,
    /// The answer was broken off, or stated no usage.
    pub(crate) estimated: bool,
}

/// A request whose answer has begun.
struct Waiting {
    trail: Trail,
    outcome: &'static str,
    status: StatusCode,
    took: Duration,
}

impl Tally {
    /// Begins the account of an exchange with this target. The line of a `stream` is not held back: its end has a line of its
    /// own.
    pub(crate) fn new(request_id: RequestId, target: Arc<Target>, stream: bool) -> Arc<Self> {
        Arc::new(Self {
            request_id,
            target,
            stream,
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            at_the_end: Mutex::default(),
        })
    }

    /// The reference number of the request.
    pub(crate) fn request_id(&self) -> &str {
        self.request_id.as_str()
    }

    /// The target, as configured.
    pub(crate) fn upstream(&self) -> &str {
        self.target.name()
    }

    /// Sets the number of bytes from the client.
    pub(crate) fn received(&self, bytes: u64) {
        self.received.store(bytes, Ordering::Relaxed);
    }

    /// Counts bytes to the client.
    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Sets the numbers of bytes from the client and to it.
    pub(crate) fn passed(&self, received: u64, sent: u64) {
        self.received.store(received, Ordering::Relaxed);
        self.sent.store(sent, Ordering::Relaxed);
    }

    /// Sets the tokens of the answer.
    pub(crate) fn spent(&self, tokens: SpentTokens) {
        let mut at_the_end = self.at_the_end.lock().unwrap_or_else(PoisonError::into_inner);
        at_the_end.spent = Some(Box::new(tokens));
    }

    /// The tokens of the answer, for the line at the end of a stream.
    pub(crate) fn spent_tokens(&self) -> Option<SpentTokens> {
        let at_the_end = self.at_the_end.lock().unwrap_or_else(PoisonError::into_inner);
        at_the_end.spent.as_deref().cloned()
    }

    /// Takes the record of the request, whose answer has begun.
    pub(super) fn answered(&self, mut trail: Trail, outcome: &'static str, status: StatusCode) {
        let took = trail.total(outcome, status);
        let mut at_the_end = self.at_the_end.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stream {
            trail.write(&self.line(outcome, status, took, None, None));
            at_the_end.span = trail.span.take();
        } else {
            at_the_end.line = Some(Waiting { trail, outcome, status, took });
        }
    }

    fn line<'a>(
        &'a self,
        outcome: &'static str,
        status: StatusCode,
        took: Duration,
        bytes: Option<(u64, u64)>,
        spent: Option<&'a SpentTokens>,
    ) -> Line<'a> {
        let exchange =
            Exchanged { request_id: self.request_id(), upstream: self.upstream(), bytes, spent };
        Line { outcome, status, refusal: None, took, exchange: Some(exchange) }
    }
}

// === impl Tally ===

impl Drop for Tally {
    fn drop(&mut self) {
        let at_the_end = self.at_the_end.get_mut().unwrap_or_else(PoisonError::into_inner);
        let AtTheEnd { line, mut span, spent } = std::mem::take(at_the_end);
        let bytes = (*self.received.get_mut(), *self.sent.get_mut());
        if let Some(Waiting { mut trail, outcome, status, took }) = line {
            trail.write(&self.line(outcome, status, took, Some(bytes), spent.as_deref()));
            span = trail.span.take();
        }
        if let Some(mut span) = span {
            span.bytes(bytes.0, bytes.1);
        }
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tally").field("upstream", &self.upstream()).finish_non_exhaustive()
    }
}
