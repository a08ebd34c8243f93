//! Forks of the process: a value records at how many it was made, and is not used in a child of later ones.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::types::IntoPyDict;

/// Number of forks that led to this process.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// Number of forks so far.
pub(crate) fn generation() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Counts forks from now on.
pub(crate) fn count(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let forked = wrap_pyfunction!(forked, module)?;
    let named = [("after_in_child", forked)].into_py_dict(py)?;
    py.import("os")?.getattr("register_at_fork")?.call((), Some(&named))?;
    Ok(())
}

#[pyfunction]
fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}
