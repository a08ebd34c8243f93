//! Arguments that only this module takes; those that it shares with the test provider are in `py-values`.

use std::path::PathBuf;

use pyo3::prelude::*;

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
