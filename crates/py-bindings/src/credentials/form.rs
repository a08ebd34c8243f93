//! The token as a caller wants it.

use m2m::AccessToken;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Form in which a caller gets a token.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Bare,
    Header,
}

impl Form {
    pub(super) fn of(self, py: Python<'_>, token: &AccessToken) -> PyResult<Py<PyAny>> {
        let header;
        let text = match self {
            Self::Bare => token.secret().expose(),
            Self::Header => {
                header = token.authorization();
                header.to_str().map_err(|error| PyValueError::new_err(error.to_string()))?
            }
        };
        Ok(text.into_pyobject(py)?.into_any().unbind())
    }
}
