//! The native module of the Python package `doorward-testing`: `dev-issuer` as a class of Python.
//!
//! It mints tokens, which is why it is a distribution of its own: the package `doorward` neither links it nor imports it unasked.
//! Both meet over loopback HTTP alone, as any service meets its provider.

mod issuer;

use pyo3::prelude::*;

/// The native module of `doorward_testing`.
// A fork never inherits a held lock: every lock is taken with the interpreter held.
#[pymodule(gil_used = true)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::issuer::TestIssuer;

    #[pymodule_init]
    fn prepare(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
