//! `Issuer`: who is trusted, and the way there.
//!
//! What is configured is kept as plain values; the HTTP client, the metadata and the keys made of it live in one process and are
//! made anew in a forked child.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use m2m::ClientCredentials;
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::{KeyPolicy, Provider, ProviderPolicy, RemoteKeys};
use pyo3::prelude::*;

use crate::arguments::{Span, Texts, refuse_pickling};
use crate::credentials::{Authentication, Recipe, TokenSource};
use crate::engine::PerProcess;
use crate::verifier::Verifier;
use crate::{environment, errors};

/// An OpenID provider that is trusted, called by its issuer identifier.
///
/// Making one opens no connection: metadata and keys are fetched when first needed and kept fresh, so a program starts while its
/// issuer is down. Share one between threads, tasks and forked workers.
#[pyclass(frozen, module = "doorward")]
pub(crate) struct Issuer {
    settings: Settings,
    parts: PerProcess<Parts>,
}

struct Settings {
    issuer: oidc_core::Issuer,
    ca_file: Option<PathBuf>,
    timeout: Duration,
}

/// What lives in one process.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) provider: Provider,
    pub(crate) keys: Arc<RemoteKeys>,
}

impl Settings {
    fn connect(&self, py: Python<'_>) -> PyResult<Parts> {
        let mut options = HttpOptions::default().with_timeout(self.timeout);
        if let Some(path) = &self.ca_file {
            options = options.with_ca_file(path);
        }
        let http = ReqwestHttp::new(options).map_err(|error| errors::http_setup(py, &error))?;
        let provider = Provider::new(self.issuer.clone(), Arc::new(http))
            .with_policy(ProviderPolicy::default().with_wait(self.timeout));
        let policy = KeyPolicy::default().with_wait(self.timeout);
        let keys = Arc::new(RemoteKeys::new(provider.clone()).with_policy(policy));
        Ok(Parts { provider, keys })
    }
}

impl Issuer {
    /// The parts of this process.
    pub(crate) fn parts(&self, py: Python<'_>) -> PyResult<Parts> {
        match self.parts.current(py) {
            Some(parts) => Ok(parts),
            None => Ok(self.parts.keep(py, self.settings.connect(py)?)),
        }
    }

    pub(crate) fn identifier(&self) -> &oidc_core::Issuer {
        &self.settings.issuer
    }
}

#[pymethods]
impl Issuer {
    #[new]
    #[pyo3(signature = (url, *, ca_file = None, timeout = Span(Duration::from_secs(10))))]
    fn new(py: Python<'_>, url: &str, ca_file: Option<PathBuf>, timeout: Span) -> PyResult<Self> {
        let issuer = url.parse().map_err(|error| errors::invalid_issuer(py, &error))?;
        let ca_file = match ca_file {
            Some(path) => Some(path),
            None => environment::ca_file(py)?,
        };
        let settings = Settings { issuer, ca_file, timeout: timeout.0 };
        let parts = settings.connect(py)?;
        Ok(Self { settings, parts: PerProcess::new(parts) })
    }

    #[getter]
    fn url(&self) -> &str {
        self.settings.issuer.as_str()
    }

    #[pyo3(signature = (audience, *, profile = "keycloak", leeway = Span(Duration::from_secs(30)), algorithms = None))]
    fn verifier(
        this: Py<Self>,
        py: Python<'_>,
        audience: Texts,
        profile: &str,
        leeway: Span,
        algorithms: Option<Texts>,
    ) -> PyResult<Verifier> {
        Verifier::new(py, this, audience.0, profile, leeway.0, algorithms)
    }

    #[pyo3(signature = (client_id, *, secret = None, secret_file = None, private_key_file = None, key_id = None, key_algorithm = None, assertion_file = None, method = None, scope = None, audience = None, resource = None, cache_dir = None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn client_credentials(
        this: Py<Self>,
        py: Python<'_>,
        client_id: String,
        secret: Option<String>,
        secret_file: Option<PathBuf>,
        private_key_file: Option<PathBuf>,
        key_id: Option<String>,
        key_algorithm: Option<String>,
        assertion_file: Option<PathBuf>,
        method: Option<String>,
        scope: Option<Texts>,
        audience: Option<String>,
        resource: Option<Texts>,
        cache_dir: Option<PathBuf>,
    ) -> PyResult<TokenSource> {
        let given = Authentication {
            secret,
            secret_file,
            private_key_file,
            key_id,
            key_algorithm,
            assertion_file,
            method,
        };
        let authentication = given.method(py)?;
        let mut grant = ClientCredentials::new();
        if let Some(Texts(words)) = scope {
            grant = grant.with_scope(&words.join(" "));
        }
        if let Some(audience) = audience {
            grant = grant.with_audience(audience);
        }
        for uri in resource.map(|Texts(uris)| uris).unwrap_or_default() {
            grant = grant.with_resource(uri);
        }
        let recipe = Recipe { client_id, authentication, grant, cache_dir };
        TokenSource::new(py, this, recipe)
    }

    fn __repr__(&self) -> String {
        format!("doorward.Issuer({:?})", self.settings.issuer.as_str())
    }

    fn __reduce__(&self) -> PyResult<()> {
        refuse_pickling(
            "an Issuer",
            "make one in each process that needs it, or let the worker be forked",
        )
    }
}
