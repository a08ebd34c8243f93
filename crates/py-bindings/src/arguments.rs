//! What callers pass, where Python has several ways to say it.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

/// One text or several: `"churn"` or `["churn", "score"]`.
pub(crate) struct Texts(pub(crate) Vec<String>);

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
pub(crate) struct Span(pub(crate) Duration);

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

/// A client certificate: one PEM file that also holds the key, or one for each, as `requests` takes them.
pub(crate) struct CertificateFiles(pub(crate) PathBuf, pub(crate) PathBuf);

impl<'py> FromPyObject<'_, 'py> for CertificateFiles {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok((certificate, key)) = value.extract::<(PathBuf, PathBuf)>() {
            return Ok(Self(certificate, key));
        }
        let both: PathBuf = value.extract()?;
        Ok(Self(both.clone(), both))
    }
}

/// Why a value stays in its process.
///
/// # Errors
/// Always: `TypeError`.
pub(crate) fn refuse_pickling<T>(kind: &str, instead: &str) -> PyResult<T> {
    Err(PyTypeError::new_err(format!("{kind} cannot be pickled: {instead}")))
}
