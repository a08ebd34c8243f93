//! A person at this machine: signed in by a browser (RFC 8252) or a code typed elsewhere (RFC 8628), kept as `cli_auth::KeptLogins` keeps
//! it, so that a login made by the program `doorward` is used here and the other way round. `python -m doorward` is built on this.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use cli_auth::{KeptLogin, KeptLogins, LoginFacts, Person};
use m2m::{ClientCredentials, Exchange};
use oidc_core::{Client, ClientAuth, DeviceLogin, LoopbackLogin, LoopbackRedirect, TokenEndpoint};
use py_values::{Span, refuse_pickling};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arguments::CertificateFiles;
use crate::credentials::Authentication;
use crate::engine::Engine;
use crate::errors;
use crate::issuer::Issuer;
use crate::trusted::Trusted;

mod tokens;

pub(crate) use tokens::AccountTokens;
use tokens::Shared;

/// A client at an issuer, as a person at this machine uses it; ``python -m doorward`` is built on it.
#[pyclass(frozen, module = "doorward._native")]
pub(crate) struct Account {
    trusted: Arc<Trusted>,
    client_id: String,
    authentication: ClientAuth,
    logins: KeptLogins,
}

/// A login that waits for the person.
#[pyclass(frozen, module = "doorward._native")]
pub(crate) struct PendingLogin {
    kept: KeptLogin,
    url: String,
    user_code: Option<String>,
    complete_url: Option<String>,
    expires_at: Option<SystemTime>,
    waiting: Mutex<Option<Waiting>>,
}

enum Waiting {
    Browser(Box<LoopbackLogin>),
    Device(Box<DeviceLogin>),
}

impl Account {
    fn client(&self, py: Python<'_>) -> PyResult<Client> {
        let parts = self.trusted.parts(py)?;
        let authentication = self.authentication.clone();
        Ok(Client::new(parts.provider, parts.keys, self.client_id.as_str(), authentication))
    }

    fn endpoint(&self, py: Python<'_>) -> PyResult<TokenEndpoint> {
        let (provider, auth) = (self.trusted.parts(py)?.provider, self.authentication.clone());
        Ok(TokenEndpoint::new(provider, self.client_id.as_str(), auth))
    }

    fn kept(&self, py: Python<'_>) -> PyResult<KeptLogin> {
        Ok(self.logins.login(self.endpoint(py)?))
    }
}

#[pymethods]
impl Account {
    #[new]
    #[pyo3(signature = (issuer, client_id, folder, *, secret_file = None, private_key_file = None, key_id = None, key_algorithm = None, assertion_file = None, certificate = None, method = None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        py: Python<'_>,
        issuer: &Issuer,
        client_id: String,
        folder: PathBuf,
        secret_file: Option<PathBuf>,
        private_key_file: Option<PathBuf>,
        key_id: Option<String>,
        key_algorithm: Option<String>,
        assertion_file: Option<PathBuf>,
        certificate: Option<CertificateFiles>,
        method: Option<String>,
    ) -> PyResult<Self> {
        let is_public = secret_file.is_none()
            && private_key_file.is_none()
            && assertion_file.is_none()
            && certificate.is_none();
        let given = Authentication {
            secret: None,
            secret_file,
            private_key_file,
            key_id,
            key_algorithm,
            assertion_file,
            certificate: certificate.is_some(),
            method,
        };
        let authentication = if is_public { ClientAuth::None } else { given.method(py)? };
        let trusted = match certificate {
            Some(CertificateFiles(certificate, key)) => {
                issuer.trusted().with_certificate(py, (certificate, key))?
            }
            None => Arc::clone(issuer.trusted()),
        };
        Ok(Self { trusted, client_id, authentication, logins: KeptLogins::new(folder) })
    }

    /// Begin a login by a browser on this machine (RFC 8252), at a free port unless ``redirect_uri`` says which.
    #[pyo3(signature = (scopes, redirect_uri = None))]
    fn begin_browser(
        &self,
        py: Python<'_>,
        scopes: Vec<String>,
        redirect_uri: Option<&str>,
    ) -> PyResult<PendingLogin> {
        let client = self.client(py)?;
        let registered = redirect_uri.map(str::parse).transpose();
        let registered = registered
            .map_err(|error| PyValueError::new_err(format!("the redirect URI: {error}")))?;
        let begun = Engine::of(py)?.wait_elsewhere(py, async move {
            let redirect = match registered {
                Some(uri) => LoopbackRedirect::bind_to(&uri).await,
                None => LoopbackRedirect::bind().await,
            };
            let redirect = redirect.map_err(|error| py_values::with_causes(&error))?;
            let request = redirect.request().with_scopes(scopes);
            redirect.begin(&client, request).await.map_err(|error| py_values::with_causes(&error))
        })?;
        let waiting = begun.map_err(|message: String| errors::login_failed(py, &message))?;
        Ok(PendingLogin {
            kept: self.kept(py)?,
            url: waiting.url().to_string(),
            user_code: None,
            complete_url: None,
            expires_at: None,
            waiting: Mutex::new(Some(Waiting::Browser(Box::new(waiting)))),
        })
    }

    /// Begin a login on another device (RFC 8628): show the person the code.
    fn begin_device(&self, py: Python<'_>, scopes: Vec<String>) -> PyResult<PendingLogin> {
        let client = self.client(py)?;
        let begun = Engine::of(py)?
            .wait_elsewhere(py, async move { client.begin_device_login(scopes).await })?;
        let waiting =
            begun.map_err(|error| errors::login_failed(py, &py_values::with_causes(&error)))?;
        Ok(PendingLogin {
            kept: self.kept(py)?,
            url: waiting.verification_uri().to_string(),
            user_code: Some(waiting.user_code().to_owned()),
            complete_url: waiting.verification_uri_complete().map(ToString::to_string),
            expires_at: Some(waiting.expires_at()),
            waiting: Mutex::new(Some(Waiting::Device(Box::new(waiting)))),
        })
    }

    /// The machine's tokens by its own credential (RFC 6749 §4.4), shared among runs in ``directory``, sealed by ``seal`` if it is on a disk.
    #[pyo3(signature = (*, scope = None, audience = None, resource = vec![], directory = None, seal = None))]
    fn machine_tokens(
        &self,
        py: Python<'_>,
        scope: Option<&str>,
        audience: Option<&str>,
        resource: Vec<String>,
        directory: Option<PathBuf>,
        seal: Option<String>,
    ) -> PyResult<AccountTokens> {
        let mut asked = ClientCredentials::new();
        if let Some(scope) = scope {
            asked = asked.with_scope(scope);
        }
        if let Some(audience) = audience {
            asked = asked.with_audience(audience);
        }
        let asked = resource.into_iter().fold(asked, ClientCredentials::with_resource);
        AccountTokens::of_machine(self.endpoint(py)?, asked, Shared { directory, seal })
    }

    /// The tokens of the person who signed in; with any argument but ``directory``, those obtained in exchange (RFC 8693).
    #[pyo3(signature = (*, scope = None, audience = vec![], resource = vec![], directory = None))]
    fn person_tokens(
        &self,
        py: Python<'_>,
        scope: Option<&str>,
        audience: Vec<String>,
        resource: Vec<String>,
        directory: Option<PathBuf>,
    ) -> PyResult<AccountTokens> {
        let as_it_is = scope.is_none() && audience.is_empty() && resource.is_empty();
        let wanted = audience.into_iter().fold(Exchange::new(), Exchange::with_audience);
        let mut wanted = resource.into_iter().fold(wanted, Exchange::with_resource);
        if let Some(scope) = scope {
            wanted = wanted.with_scope(scope);
        }
        let wanted = Some(wanted).filter(|_| !as_it_is);
        AccountTokens::of_person(self.kept(py)?, wanted, Shared { directory, seal: None })
    }

    /// Have the issuer revoke the tokens (RFC 7009), and forget them whatever it answers. Returns the reason if it did not.
    fn end(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let kept = self.kept(py)?;
        let ended = Engine::of(py)?.wait_elsewhere(py, async move { kept.end().await })?;
        let ended = ended.map_err(|error| errors::kept_login(py, &error))?;
        Ok(ended.revoked.err().map(|error| error.to_string()))
    }

    fn __reduce__(&self) -> PyResult<()> {
        refuse_pickling("an Account", "make one in each process that needs it")
    }
}

#[pymethods]
impl PendingLogin {
    /// URL that the person opens.
    #[getter]
    fn url(&self) -> &str {
        &self.url
    }

    /// Code that the person types there; ``None`` where a browser of this machine comes back by itself.
    #[getter]
    fn user_code(&self) -> Option<&str> {
        self.user_code.as_deref()
    }

    /// The same page with the code in it, if the issuer has one.
    #[getter]
    fn complete_url(&self) -> Option<&str> {
        self.complete_url.as_deref()
    }

    /// End of the code, in UTC.
    #[getter]
    fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// Wait for the person, verify the ID token and keep the login, with settings of the program that belong to it: who signed in.
    ///
    /// Raises:
    ///     LoginFailed: if no person signed in.
    fn finish<'py>(
        &self,
        py: Python<'py>,
        within: Span,
        settings: BTreeMap<String, String>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let waiting =
            waiting.ok_or_else(|| PyRuntimeError::new_err("this login was waited for"))?;
        let done = Engine::of(py)?.wait(py, async move {
            match waiting {
                Waiting::Browser(login) => {
                    login.finish(within.0).await.map_err(|error| py_values::with_causes(&error))
                }
                Waiting::Device(login) => {
                    login.finish().await.map_err(|error| py_values::with_causes(&error))
                }
            }
        })?;
        let login = done.map_err(|message: String| errors::login_failed(py, &message))?;
        let claims = &login.id_token;
        let mut person = Person::new(claims.subject());
        if let Some(name) = claims.preferred_username().or(claims.name()).or(claims.email()) {
            person = person.with_name(name);
        }
        for (name, value) in settings {
            person = person.with_setting(name, value);
        }
        let (kept, tokens) = (self.kept.clone(), login.tokens);
        let facts = Engine::of(py)?
            .wait_elsewhere(py, async move { kept.keep(person, tokens).await })?
            .map_err(|error| errors::kept_login(py, &error))?;
        shown(py, &facts)
    }

    fn __reduce__(&self) -> PyResult<()> {
        refuse_pickling("a PendingLogin", "it waits in this process")
    }
}

/// The logins kept in a folder, the last one first; that of an issuer and client alone where both are named, whatever the others are
/// like.
#[pyfunction]
#[pyo3(signature = (folder, issuer = None, client_id = None))]
pub(crate) fn kept_logins<'py>(
    py: Python<'py>,
    folder: PathBuf,
    issuer: Option<&str>,
    client_id: Option<&str>,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let logins = KeptLogins::new(folder);
    let issuer: Option<oidc_core::Issuer> = issuer
        .map(|url| url.parse().map_err(|error| errors::invalid_issuer(py, &error)))
        .transpose()?;
    let found = match (&issuer, client_id) {
        (Some(issuer), Some(client)) => logins.of(issuer, client).map(Vec::from_iter),
        _ => logins.all(),
    };
    let found = found.map_err(|error| errors::kept_login(py, &error))?;
    let fits = |facts: &&LoginFacts| {
        issuer.as_ref().is_none_or(|issuer| *issuer == facts.issuer)
            && client_id.is_none_or(|client| *client == facts.client_id)
    };
    found.iter().filter(fits).map(|facts| shown(py, facts)).collect()
}

fn shown<'py>(py: Python<'py>, facts: &LoginFacts) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("issuer", facts.issuer.as_str())?;
    dict.set_item("client_id", &facts.client_id)?;
    dict.set_item("subject", &facts.person.subject)?;
    dict.set_item("name", &facts.person.name)?;
    dict.set_item("settings", &facts.person.settings)?;
    dict.set_item("access_expires_at", facts.access_expires_at)?;
    dict.set_item("refresh_expires_at", facts.refresh_expires_at)?;
    dict.set_item("renews", facts.renews)?;
    Ok(dict)
}
