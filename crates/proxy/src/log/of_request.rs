//! Lines of a request carry its id, wherever in the request they are written.
//!
//! A span would do the same for fifty times the instructions: it is allocated, formatted, and entered at each poll. So there is
//! one only where the log needs it: for text, whose lines show the span, and where debug lines are on, whose spans nest.

use std::future::Future;

use http_canonical::RequestId;
use tracing::Instrument as _;

use super::direct::direct;

tokio::task_local! {
    /// The id of the request that the task answers.
    static REQUEST: RequestId;
}

/// Runs the answer to a request; the lines that it writes have the id of the request.
pub(crate) async fn of_request<F: Future>(id: &RequestId, answer: F) -> F::Output {
    match direct() {
        Some(_) => within(id, answer).await,
        None => answer.instrument(tracing::error_span!("request", request_id = %id)).await,
    }
}

/// The same without a span.
pub(super) fn within<F: Future>(id: &RequestId, answer: F) -> impl Future<Output = F::Output> {
    REQUEST.scope(id.clone(), answer)
}

/// Passes on the id of the request that this task answers, if it answers one outside a span.
pub(super) fn with_id<E>(write: impl FnOnce(&RequestId) -> Result<(), E>) -> Result<(), E> {
    REQUEST.try_with(write).unwrap_or(Ok(()))
}
