//! Arguments that Python writes in several ways.

use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

/// One text or several: `"churn"` or `["churn", "score"]`.
#[derive(Debug)]
pub struct Texts(pub Vec<String>);

impl<'py> FromPyObject<'_, 'py> for Texts {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(one) = value.cast::<PyString>() {
            return Ok(Self(vec![one.to_str()?.to_owned()]));
        }
        let many = value.try_iter()?.map(|item| item?.extract::<String>());
        Ok(Self(many.collect::<PyResult<_>>()?))
    }
}

/// A span of time: seconds as a number, or a `timedelta`. Neither negative nor longer than a year.
#[derive(Debug)]
pub struct Span(pub Duration);

impl<'py> FromPyObject<'_, 'py> for Span {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        const YEAR: f64 = 366.0 * 24.0 * 60.0 * 60.0;
        let seconds: f64 = match value.extract() {
            Ok(seconds) => seconds,
            Err(_) => value
                .call_method0("total_seconds")
                .and_then(|seconds| seconds.extract())
                .map_err(|_| PyTypeError::new_err("expected seconds or a timedelta"))?,
        };
        if !(0.0..=YEAR).contains(&seconds) {
            return Err(PyValueError::new_err("expected a span between 0 s and a year"));
        }
        Ok(Self(Duration::from_secs_f64(seconds)))
    }
}

/// Refuses to pickle a value that belongs to its process.
///
/// # Errors
/// Always: `TypeError`.
pub fn refuse_pickling<T>(kind: &str, instead: &str) -> PyResult<T> {
    Err(PyTypeError::new_err(format!("{kind} cannot be pickled: {instead}")))
}
