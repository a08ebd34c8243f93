//! A provider with the runtime it listens on. Both live in the process that started them.

use std::future::Future;

use dev_issuer::{DevIssuer, DevIssuerBuilder};
use py_values::with_causes;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};

/// Enough for the requests that a test makes at once: they wait more than they compute.
const WORKERS: usize = 2;

/// A provider that listens.
pub(super) struct Running {
    /// The provider, for calls that need no waiting.
    pub(super) issuer: DevIssuer,
    runtime: Runtime,
}

impl Running {
    /// Starts a provider at a free port of loopback.
    ///
    /// # Errors
    /// `OSError` if there are no threads, or no port.
    pub(super) fn start(py: Python<'_>, builder: DevIssuerBuilder) -> PyResult<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("doorward-testing")
            .enable_all()
            .build()?;
        let started = py.detach(|| runtime.block_on(builder.start("127.0.0.1:0")));
        let issuer = started.map_err(|error| PyOSError::new_err(with_causes(&error)))?;
        Ok(Self { issuer, runtime })
    }

    /// Waits with the interpreter released.
    pub(super) fn wait<'a, F>(
        &'a self,
        py: Python<'_>,
        ask: impl FnOnce(&'a DevIssuer) -> F,
    ) -> F::Output
    where
        F: Future + Send,
        F::Output: Send,
    {
        let asked = ask(&self.issuer);
        py.detach(|| self.runtime.block_on(asked))
    }
}
