//! An awaitable of one step or two: done at once when the answer is in memory, and else settled from another thread while the event
//! loop goes on.
//!
//! It is a coroutine to `asyncio` (`collections.abc.Coroutine`), so that `asyncio.run`, `create_task` and `gather` take it, and as
//! with any other nothing happens before it is awaited.

use std::ffi::CString;

use pyo3::exceptions::{PyRuntimeError, PyRuntimeWarning, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;

use crate::engine::{Engine, Outcome, Work};

/// Result of the first step.
pub(crate) enum Step {
    /// The answer.
    Done(PyResult<Py<PyAny>>),
    /// Work that the event loop has to wait for.
    Wait(Work<Outcome>),
}

type Begin = Box<dyn FnOnce(Python<'_>, &Engine) -> PyResult<Step> + Send + Sync>;

/// Return value of the ``…_async`` methods: await it once.
#[pyclass(module = "doorward")]
pub(crate) struct Coroutine {
    name: &'static str,
    state: State,
}

enum State {
    New(Begin),
    /// The iterator of the event loop's future.
    Waiting(Py<PyAny>),
    Over,
}

impl Coroutine {
    /// `begin` takes the first step; `name` is for debuggers.
    pub(crate) fn new(
        name: &'static str,
        begin: impl FnOnce(Python<'_>, &Engine) -> PyResult<Step> + Send + Sync + 'static,
    ) -> Self {
        Self { name, state: State::New(Box::new(begin)) }
    }

    fn first_step(&mut self, py: Python<'_>, begin: Begin) -> PyResult<Py<PyAny>> {
        let engine = Engine::of(py)?;
        let work = match begin(py, &engine)? {
            Step::Done(answer) => return Err(PyStopIteration::new_err((answer?,))),
            Step::Wait(work) => work,
        };
        let event_loop = py.import(intern!(py, "asyncio"))?.call_method0("get_running_loop")?;
        let future = event_loop.call_method0(intern!(py, "create_future"))?;
        let steps = future.call_method0(intern!(py, "__await__"))?;
        engine.tell(py, work, event_loop.unbind(), future.unbind());
        let yielded = steps.call_method1(intern!(py, "send"), (py.None(),))?;
        self.state = State::Waiting(steps.unbind());
        Ok(yielded.unbind())
    }
}

/// Warns of a coroutine that was never awaited, as Python does: a caller could take it for the answer, and it is always true.
impl Drop for Coroutine {
    fn drop(&mut self) {
        if !matches!(self.state, State::New(_)) {
            return;
        }
        let message = CString::new(format!("coroutine '{}' was never awaited", self.name));
        let Ok(message) = message else { return };
        // Attaching fails when the interpreter is ending: the warning is then dropped.
        let _ = Python::try_attach(|py| {
            let pending = PyErr::take(py);
            if let Err(error) = PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &message, 1) {
                error.write_unraisable(py, None);
            }
            if let Some(pending) = pending {
                pending.restore(py);
            }
        });
    }
}

#[pymethods]
impl Coroutine {
    fn send(&mut self, py: Python<'_>, value: Py<PyAny>) -> PyResult<Py<PyAny>> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::New(begin) => self.first_step(py, begin),
            State::Waiting(steps) => {
                let yielded = steps.call_method1(py, intern!(py, "send"), (value,))?;
                self.state = State::Waiting(steps);
                Ok(yielded)
            }
            State::Over => Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine")),
        }
    }

    #[pyo3(signature = (kind, value = None, traceback = None, /))]
    fn throw(
        &mut self,
        py: Python<'_>,
        kind: Bound<'_, PyAny>,
        value: Option<Py<PyAny>>,
        traceback: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Waiting(steps) => {
                let yielded = match (value, traceback) {
                    (None, None) => steps.call_method1(py, intern!(py, "throw"), (kind,))?,
                    (value, traceback) => {
                        steps.call_method1(py, intern!(py, "throw"), (kind, value, traceback))?
                    }
                };
                self.state = State::Waiting(steps);
                Ok(yielded)
            }
            State::New(_) | State::Over => Err(PyErr::from_value(match value {
                Some(value) => value.into_bound(py),
                None if kind.is_instance_of::<pyo3::types::PyType>() => kind.call0()?,
                None => kind,
            })),
        }
    }

    fn close(&mut self) {
        self.state = State::Over;
    }

    fn __await__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.send(py, py.None())
    }

    #[getter]
    fn __name__(&self) -> &'static str {
        self.name
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        self.name
    }
}
