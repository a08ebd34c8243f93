//! The two forms of each call that asks the issuer: one that waits with the interpreter released, and one that is awaited.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

use crate::coroutine::{Coroutine, Step};
use crate::engine::{Engine, Outcome, Work};

/// Work whose result becomes a Python value by `value`.
pub(crate) fn work<T: Send + 'static>(
    asked: impl Future<Output = T> + Send + 'static,
    value: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
) -> Work<Outcome> {
    Box::pin(async move {
        let answer = asked.await;
        let outcome: Outcome = Box::new(move |py| value(py, answer));
        outcome
    })
}

/// Waits for the value. The work goes on when the caller is interrupted.
pub(crate) fn now(py: Python<'_>, work: Work<Outcome>) -> PyResult<Py<PyAny>> {
    Engine::of(py)?.wait_elsewhere(py, work)?(py)
}

/// The value, to be awaited; `name` is for debuggers.
pub(crate) fn later(name: &'static str, work: Work<Outcome>) -> Coroutine {
    // Never locked: it makes the work `Sync`, as a Python object must be.
    let work = Mutex::new(work);
    Coroutine::new(name, move |_, _| {
        Ok(Step::Wait(work.into_inner().unwrap_or_else(PoisonError::into_inner)))
    })
}
