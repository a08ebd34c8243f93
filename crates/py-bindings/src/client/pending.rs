//! `PendingLogin`: what a caller keeps between the redirect to the issuer and the browser's return.

use oidc_core::login::PendingLogin as Login;
use py_values::refuse_pickling;
use pyo3::prelude::*;
use url::Url;

use crate::errors;

/// A login under way: what to keep until the browser comes back; made by :meth:`Client.begin_login`.
///
/// It holds secrets of the login (``state``, ``nonce``, the PKCE verifier). Keep it where this browser alone reaches it: in a session on the
/// server, or :meth:`to_json` in an encrypted cookie; a cookie that is only signed shows them to the browser's user.
#[pyclass(frozen, weakref, module = "doorward")]
pub(crate) struct PendingLogin {
    url: Option<Url>,
    login: Login,
}

impl PendingLogin {
    pub(super) fn begun(url: Url, login: Login) -> Self {
        Self { url: Some(url), login }
    }

    pub(super) fn login(&self) -> &Login {
        &self.login
    }
}

#[pymethods]
impl PendingLogin {
    /// The address to redirect the browser to; ``None`` of one that was read again from its JSON.
    #[getter]
    fn url(&self) -> Option<&str> {
        self.url.as_ref().map(Url::as_str)
    }

    /// ``state``: finds this login among several of the same browser.
    #[getter]
    fn state(&self) -> &str {
        self.login.state()
    }

    /// Its text, with the secrets, for :meth:`from_json`.
    fn to_json(&self, py: Python<'_>) -> PyResult<String> {
        serde_json::to_string(&self.login).map_err(|error| unreadable(py, &error))
    }

    /// The login whose text :meth:`to_json` wrote.
    ///
    /// Raises:
    ///     ConfigurationError: if it did not write this text.
    #[staticmethod]
    fn from_json(py: Python<'_>, text: &str) -> PyResult<Self> {
        let login = serde_json::from_str(text).map_err(|error| unreadable(py, &error))?;
        Ok(Self { url: None, login })
    }

    fn __repr__(&self) -> String {
        format!("<doorward.PendingLogin back to {:?}>", self.login.redirect_uri().as_str())
    }

    fn __reduce__(&self) -> PyResult<()> {
        refuse_pickling("a PendingLogin", "it holds secrets; keep to_json() instead, encrypted")
    }
}

/// The parser's message may quote the text, so only the position is shown.
fn unreadable(py: Python<'_>, error: &serde_json::Error) -> PyErr {
    let message = format!("no PendingLogin has this text (column {})", error.column());
    let remedy = "pass what to_json() returned, unmodified; else begin the login again".to_owned();
    errors::configuration(py, "pending", message, remedy)
}
