//! A trusted issuer and the connection to it.
//!
//! Its settings are kept as plain values; the HTTP client, the metadata and the keys made from them live in one process and are
//! made again in a forked child.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use oidc_core::Issuer;
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::keys::{KeyPolicy, RemoteKeys};
use oidc_core::provider::{PlainHttpHosts, Provider, ProviderMetadata, ProviderPolicy};
use pyo3::prelude::*;
use url::Url;

use crate::engine::PerProcess;
use crate::{environment, errors, logging};

/// An issuer with its settings.
pub(crate) struct Trusted {
    settings: Settings,
    parts: PerProcess<Parts>,
}

/// Settings from which the parts are made.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) issuer: Issuer,
    /// Another address of the same issuer.
    pub(crate) discovery_url: Option<Url>,
    /// Hosts with which plain `http` is accepted.
    pub(crate) plain_http: PlainHttpHosts,
    /// Metadata, where it is known without a request.
    pub(crate) metadata: Option<ProviderMetadata>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) timeout: Duration,
    /// Files with a client certificate and its key.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
}

/// Parts that live in one process.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) provider: Provider,
    pub(crate) keys: Arc<RemoteKeys>,
}

impl Trusted {
    /// Trusts the certificates of `ca_file`, else those the environment names. Opens no connection.
    pub(crate) fn new(py: Python<'_>, mut settings: Settings) -> PyResult<Arc<Self>> {
        if settings.timeout.is_zero() {
            let remedy = "pass how long an exchange may take, like timeout=10".to_owned();
            let message = "no exchange takes no time at all".to_owned();
            return Err(errors::configuration(py, "timeout", message, remedy));
        }
        // Times become `datetime`, which is imported now: a destructor cannot import it when the interpreter ends.
        SystemTime::UNIX_EPOCH.into_pyobject(py)?;
        logging::follow(py)?;
        if settings.ca_file.is_none() {
            settings.ca_file = environment::ca_file(py)?;
        }
        let parts = PerProcess::new(settings.connect(py)?);
        Ok(Arc::new(Self { settings, parts }))
    }

    /// The same, reached with a client certificate (RFC 8705 §2).
    pub(crate) fn with_certificate(
        &self,
        py: Python<'_>,
        certificate: (PathBuf, PathBuf),
    ) -> PyResult<Arc<Self>> {
        Self::new(py, Settings { certificate: Some(certificate), ..self.settings.clone() })
    }

    /// The parts of this process.
    pub(crate) fn parts(&self, py: Python<'_>) -> PyResult<Parts> {
        match self.parts.current(py) {
            Some(parts) => Ok(parts),
            None => Ok(self.parts.keep(py, self.settings.connect(py)?)),
        }
    }

    pub(crate) fn issuer(&self) -> &Issuer {
        &self.settings.issuer
    }
}

impl Settings {
    fn connect(&self, py: Python<'_>) -> PyResult<Parts> {
        let mut options = HttpOptions::default().with_timeout(self.timeout);
        if let Some(path) = &self.ca_file {
            options = options.with_ca_file(path);
        }
        if let Some((certificate, key)) = &self.certificate {
            options = options.with_client_certificate(certificate, key);
        }
        let http = ReqwestHttp::new(options).map_err(|error| errors::http_setup(py, &error))?;
        let http = Arc::new(http);
        let provider = match &self.metadata {
            Some(metadata) => Provider::with_metadata(metadata.clone(), http),
            None => {
                let provider = Provider::new(self.issuer.clone(), http)
                    .dangerous_allow_http(self.plain_http.clone())
                    .with_policy(ProviderPolicy::default().with_wait(self.timeout));
                match &self.discovery_url {
                    Some(url) => provider.with_discovery_url(url.clone()),
                    None => provider,
                }
            }
        };
        let policy = KeyPolicy::default().with_wait(self.timeout);
        let keys = Arc::new(RemoteKeys::new(provider.clone()).with_policy(policy));
        Ok(Parts { provider, keys })
    }
}
