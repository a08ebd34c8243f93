//! `TokenSet`: the tokens of a login or a refresh.

use std::time::{SystemTime, UNIX_EPOCH};

use oidc_core::client::TokenSet as Tokens;
use oidc_core::{IdToken, Secret, Verified};
use py_values::refuse_pickling;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::claims::{self, Claims};

/// The tokens of a login or a refresh. Its text shows none of them.
#[pyclass(frozen, weakref, module = "doorward")]
pub(crate) struct TokenSet {
    tokens: Tokens,
    claims: Option<Py<Claims>>,
}

impl TokenSet {
    pub(super) fn of(
        py: Python<'_>,
        tokens: Tokens,
        id_token: Option<&Verified<IdToken>>,
    ) -> PyResult<Py<PyAny>> {
        let claims = id_token.map(|token| claims::of_id_token(py, token)).transpose()?;
        Ok(Py::new(py, Self { tokens, claims })?.into_any())
    }
}

fn seconds(at: Option<SystemTime>) -> Option<f64> {
    at.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs_f64())
}

#[pymethods]
impl TokenSet {
    /// The access token, for requests on the person's behalf.
    #[getter]
    fn access_token(&self) -> &str {
        self.tokens.access_token.expose()
    }

    /// The token for :meth:`Client.refresh`; ``None`` of a refresh means that the one that was sent stays good.
    #[getter]
    fn refresh_token(&self) -> Option<&str> {
        self.tokens.refresh_token.as_ref().map(Secret::expose)
    }

    /// The ID token as it was sent, for :meth:`Client.logout_url`.
    #[getter]
    fn id_token(&self) -> Option<&str> {
        self.tokens.id_token.as_ref().map(Secret::expose)
    }

    /// The claims of the verified ID token: the person who signed in; ``None`` if a refresh brought none.
    #[getter]
    fn claims(&self, py: Python<'_>) -> Option<Py<Claims>> {
        self.claims.as_ref().map(|claims| claims.clone_ref(py))
    }

    /// End of the access token, in UTC, where it is known.
    #[getter]
    fn expires_at(&self) -> Option<SystemTime> {
        self.tokens.expires_at
    }

    /// End of the refresh token, in UTC, where the issuer says.
    #[getter]
    fn refresh_expires_at(&self) -> Option<SystemTime> {
        self.tokens.refresh_expires_at
    }

    /// The scope granted; ``None``: the one that was asked for.
    #[getter]
    fn scope(&self) -> Option<String> {
        self.tokens.scope.as_ref().map(ToString::to_string)
    }

    /// The scheme that presents the access token: ``Bearer``.
    #[getter]
    fn token_type(&self) -> &'static str {
        self.tokens.token_type.as_str()
    }

    /// The tokens with their ends in seconds since 1970, as a new dictionary, to be stored encrypted.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("access_token", self.access_token())?;
        dict.set_item("refresh_token", self.refresh_token())?;
        dict.set_item("id_token", self.id_token())?;
        dict.set_item("token_type", self.token_type())?;
        dict.set_item("scope", self.scope())?;
        dict.set_item("expires_at", seconds(self.tokens.expires_at))?;
        dict.set_item("refresh_expires_at", seconds(self.tokens.refresh_expires_at))?;
        Ok(dict)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let subject = self.claims.as_ref().map(|claims| claims.get().subject().to_owned());
        let subject = subject.into_pyobject(py)?.repr()?.to_string();
        Ok(format!("<doorward.TokenSet subject={subject} {}>", self.token_type()))
    }

    fn __reduce__(&self) -> PyResult<()> {
        refuse_pickling("a TokenSet", "it holds tokens; store to_dict() instead, encrypted")
    }
}
