//! The one runtime of this process.
//!
//! It starts at first use. A child made by `fork` has none of its parent's threads: it gets a runtime of its own at its first use,
//! and every value that lived on the old one ([`PerProcess`]) is made again there. The parent's values are never dropped in the
//! child, since their threads, connections and perhaps locks are the parent's.
//!
//! Two rules prevent deadlocks. Every lock in this crate is taken with the interpreter held, and released before the interpreter
//! is; a fork also happens with the interpreter held, so a child never inherits a locked lock. And the runtime's threads never
//! wait for the interpreter: a separate thread delivers results to event loops.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::forks::{self, generation};
use crate::logging::{self, Logging};

/// Longest time until Ctrl-C ends a wait.
const SIGNALS: Duration = Duration::from_millis(100);

/// Threads of the runtime. Two are enough: they only wait, and signatures are verified on the thread of the caller.
const WORKERS: usize = 2;

/// Number of results delivered in a row before the interpreter is released, so that event loops can run.
const LETTERS: usize = 32;

static ENGINE: Mutex<Option<Running>> = Mutex::new(None);

/// A future of the runtime.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Outcome of some work: makes a Python value once the interpreter is held.
pub(crate) type Outcome = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// Runs the work that callers wait for.
pub(crate) struct Engine {
    runtime: Runtime,
    letters: Sender<Letter>,
}

struct Running {
    forks: u64,
    engine: Arc<Engine>,
    teller: JoinHandle<()>,
    logging: Logging,
}

enum Letter {
    Result { event_loop: Py<PyAny>, future: Py<PyAny>, outcome: Outcome },
    End,
}

impl Engine {
    /// The engine of this process.
    pub(crate) fn of(_py: Python<'_>) -> PyResult<Arc<Self>> {
        let mut running = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = &*running
            && running.forks == generation()
        {
            return Ok(Arc::clone(&running.engine));
        }
        std::mem::forget(running.take());
        let started = Running::start()?;
        let engine = Arc::clone(&started.engine);
        *running = Some(started);
        Ok(engine)
    }

    /// Waits with the interpreter released. The future is polled on this thread.
    ///
    /// # Errors
    /// The exception that a signal handler raises, mostly `KeyboardInterrupt`.
    pub(crate) fn wait<F>(&self, py: Python<'_>, future: F) -> PyResult<F::Output>
    where
        F: Future + Send,
        F::Output: Send,
    {
        logging::look_again(py);
        let mut future = pin!(future);
        // Most work needs no waiting: it checks a signature and is done.
        let first = py.detach(|| {
            let _entered = self.runtime.enter();
            future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        });
        if let Poll::Ready(output) = first {
            return Ok(output);
        }
        loop {
            let step = py.detach(|| {
                self.runtime.block_on(async { timeout(SIGNALS, future.as_mut()).await })
            });
            match step {
                Ok(output) => return Ok(output),
                Err(_) => py.check_signals()?,
            }
        }
    }

    /// The same on a thread of the runtime, where it goes on when the caller is interrupted.
    pub(crate) fn wait_elsewhere<F>(&self, py: Python<'_>, future: F) -> PyResult<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let task = self.runtime.spawn(future);
        self.wait(py, task)?.map_err(|error| PyRuntimeError::new_err(error.to_string()))
    }

    /// Begins work whose result no caller waits for.
    pub(crate) fn begin<T: Send + 'static>(&self, work: Work<T>) {
        self.runtime.spawn(work);
    }

    /// Runs `look` where tasks can be spawned.
    pub(crate) fn within<T>(&self, look: impl FnOnce() -> T) -> T {
        let _entered = self.runtime.enter();
        look()
    }

    /// Polls once, on this thread: work that needs no waiting is then done. [`Engine::tell`] does the rest.
    pub(crate) fn attempt<T>(&self, mut work: Work<T>) -> Result<T, Work<T>> {
        let _entered = self.runtime.enter();
        match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Ok(output),
            Poll::Pending => Err(work),
        }
    }

    /// Goes on with `work` and settles `future` of `event_loop` with its outcome. The work goes on when its caller
    /// stops waiting: other callers may wait for the same result.
    pub(crate) fn tell(
        &self,
        py: Python<'_>,
        work: Work<Outcome>,
        event_loop: Py<PyAny>,
        future: Py<PyAny>,
    ) {
        logging::look_again(py);
        let letters = self.letters.clone();
        self.runtime.spawn(async move {
            let outcome = work.await;
            // An error means that the interpreter is ending: the outcome is dropped.
            let _ = letters.send(Letter::Result { event_loop, future, outcome });
        });
    }
}

impl Running {
    fn start() -> PyResult<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("doorward")
            .enable_all()
            .build()?;
        let (letters, inbox) = channel();
        let teller = std::thread::Builder::new()
            .name("doorward-teller".to_owned())
            .spawn(move || deliver(&inbox))?;
        let logging = Logging::start(generation())?;
        let engine = Arc::new(Engine { runtime, letters });
        Ok(Self { forks: generation(), engine, teller, logging })
    }
}

fn deliver(inbox: &Receiver<Letter>) {
    while let Ok(first) = inbox.recv() {
        let goes_on = Python::try_attach(|py| {
            let more = std::iter::from_fn(|| inbox.try_recv().ok());
            for letter in std::iter::once(first).chain(more).take(LETTERS) {
                let Letter::Result { event_loop, future, outcome } = letter else { return false };
                // An error means that the loop is closed: no caller waits there.
                let _ = settle(py, &event_loop, &future, outcome);
            }
            true
        });
        if goes_on != Some(true) {
            return;
        }
    }
}

fn settle(
    py: Python<'_>,
    event_loop: &Py<PyAny>,
    future: &Py<PyAny>,
    outcome: Outcome,
) -> PyResult<()> {
    static SETTLE: PyOnceLock<(Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();
    let (succeed, fail) = SETTLE.get_or_try_init(py, || {
        let bridge = py.import("doorward._bridge")?;
        PyResult::Ok((bridge.getattr("succeed")?.unbind(), bridge.getattr("fail")?.unbind()))
    })?;
    let (settle, value) = match outcome(py) {
        Ok(value) => (succeed, value),
        Err(error) => (fail, error.into_value(py).into_any()),
    };
    event_loop.call_method1(py, "call_soon_threadsafe", (settle, future, value))?;
    Ok(())
}

// === forks and the end ===

/// A value that is made once in each process.
pub(crate) struct PerProcess<T> {
    made: Mutex<Option<(u64, T)>>,
}

impl<T: Clone> PerProcess<T> {
    /// Holds a value that was made in this process.
    pub(crate) fn new(value: T) -> Self {
        Self { made: Mutex::new(Some((generation(), value))) }
    }

    /// The value of this process, if it was made.
    pub(crate) fn current(&self, _py: Python<'_>) -> Option<T> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.as_ref().filter(|(forks, _)| *forks == generation()).map(|(_, value)| value.clone())
    }

    /// Keeps `value`, unless another thread was first.
    pub(crate) fn keep(&self, _py: Python<'_>, value: T) -> T {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some((forks, first)) if *forks == generation() => first.clone(),
            _ => {
                std::mem::forget(made.replace((generation(), value.clone())));
                value
            }
        }
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        let made = self.made.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((forks, value)) = made
            && forks != generation()
        {
            std::mem::forget(value);
        }
    }
}

/// Notices forks, and the end of the interpreter: from then on no thread of this crate may attach to it.
pub(crate) fn follow_process(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    forks::count(module)?;
    let ending = wrap_pyfunction!(ending, module)?;
    py.import("atexit")?.getattr("register")?.call1((ending,))?;
    Ok(())
}

#[pyfunction]
fn ending(py: Python<'_>) {
    let running = ENGINE.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(Running { forks, engine, teller, logging }) = running else { return };
    if forks != generation() {
        // The threads are the parent's.
        std::mem::forget((engine, teller, logging));
        return;
    }
    if engine.letters.send(Letter::End).is_ok() {
        // The thread may be waiting for the interpreter.
        let _ = py.detach(|| teller.join());
    }
    logging.end(py);
    // The runtime ends with the process: daemon threads of Python may still be waiting on it.
    std::mem::forget(engine);
}
