//! `Gateway`: the Doorward gateway as services behind it see it. It vouches for people by a short-lived signed assertion.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use oidc_core::provider::{PlainHttpHosts, ProviderMetadata};
use py_values::{Span, Texts, refuse_pickling};
use pyo3::prelude::*;

use crate::errors;
use crate::trusted::{Settings, Trusted};
use crate::verifier::{Kind, Verifier};

/// The gateway, called by its public URL.
///
/// To services behind it, it vouches for people by a short-lived signed assertion (``X-Doorward-Assertion``, good for a minute).
/// Making one opens no connection: its keys are fetched when first needed and kept fresh.
///
/// Args:
///     public_url: the gateway's ``public_url``; ``https``, or ``http`` on loopback only.
///     keys_url: where its keys are fetched, if not at ``public_url``: an address inside the cluster.
///     endpoints: the prefix of the gateway's own URLs.
///     ca_file: PEM file with the only certificates to trust; see :class:`Issuer`.
///     timeout: how long one exchange may take, in seconds or as a ``timedelta``.
///
/// Raises:
///     ConfigurationError: if a URL or the certificates cannot be used.
#[pyclass(frozen, weakref, module = "doorward")]
pub(crate) struct Gateway {
    trusted: Arc<Trusted>,
}

#[pymethods]
impl Gateway {
    #[new]
    #[pyo3(signature = (public_url, *, keys_url = None, endpoints = "/oauth2", ca_file = None, timeout = Span(Duration::from_secs(10))), text_signature = "(public_url, *, keys_url=None, endpoints='/oauth2', ca_file=None, timeout=10)")]
    fn new(
        py: Python<'_>,
        public_url: &str,
        keys_url: Option<String>,
        endpoints: &str,
        ca_file: Option<PathBuf>,
        timeout: Span,
    ) -> PyResult<Self> {
        let url = public_url.trim_end_matches('/');
        let issuer = url.parse().map_err(|error| errors::invalid_issuer(py, &error))?;
        let keys_url =
            keys_url.unwrap_or_else(|| format!("{url}/{}/jwks", endpoints.trim_matches('/')));
        let metadata = ProviderMetadata::new(&issuer, &keys_url).map_err(|error| {
            let remedy = "pass an https URL; http is for a gateway on loopback only".to_owned();
            errors::configuration(py, "keys_url", error.to_string(), remedy)
        })?;
        let settings = Settings {
            discovery_url: None,
            plain_http: PlainHttpHosts::default(),
            issuer,
            metadata: Some(metadata),
            ca_file,
            timeout: timeout.0,
            certificate: None,
        };
        Ok(Self { trusted: Trusted::new(py, settings)? })
    }

    /// The public URL.
    #[getter]
    fn url(&self) -> &str {
        self.trusted.issuer().as_str()
    }

    /// A verifier for assertions. The :class:`Claims` have roles, groups and client as the gateway understood them.
    ///
    /// Args:
    ///     audience: the name, or names, of the routes that lead here; an assertion for another route is refused.
    ///     leeway: how far clocks may differ, in seconds or as a ``timedelta``; 30 s unless set.
    ///
    /// Raises:
    ///     ConfigurationError: if an argument has no such value.
    #[pyo3(signature = (audience, *, leeway = Span(Duration::from_secs(30))), text_signature = "($self, audience, *, leeway=30)")]
    fn verifier(&self, py: Python<'_>, audience: Texts, leeway: Span) -> PyResult<Verifier> {
        let algorithms = Some(Texts(vec!["ES256".to_owned()]));
        let trusted = Arc::clone(&self.trusted);
        Verifier::new(py, trusted, Kind::Assertion, audience.0, leeway.0, algorithms, |rules| rules)
    }

    fn __repr__(&self) -> String {
        format!("doorward.Gateway({:?})", self.url())
    }

    fn __copy__(this: Py<Self>) -> Py<Self> {
        this
    }

    /// The object is immutable, so a copy is the object itself; only pickling would make another.
    #[pyo3(signature = (memo, /))]
    fn __deepcopy__(this: Py<Self>, memo: &Bound<'_, PyAny>) -> Py<Self> {
        let _ = memo;
        this
    }

    fn __reduce__(&self) -> PyResult<()> {
        refuse_pickling(
            "a Gateway",
            "make one in each process that needs it, or let the worker be forked",
        )
    }
}
