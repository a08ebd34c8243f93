//! `TestIssuer`: a real OpenID provider in the test process, over `dev-issuer`. Python adds conveniences (`doorward_testing.Issuer`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dev_issuer::{DevClient, DevIssuer, Endpoint, Fault};
use py_values::{Span, Texts, refuse_pickling, with_causes};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

mod json;
mod order;
mod running;

use order::{in_product, person, signed_with, token};
use running::Running;

/// Parts of the provider that can be counted or made to fail, by the names used in Python.
const ENDPOINTS: [(&str, Endpoint); 7] = [
    ("all", Endpoint::All),
    ("discovery", Endpoint::Discovery),
    ("keys", Endpoint::Jwks),
    ("token", Endpoint::Token),
    ("userinfo", Endpoint::UserInfo),
    ("introspection", Endpoint::Introspection),
    ("revocation", Endpoint::Revocation),
];

/// The native part of :class:`doorward.testing.Issuer`.
#[pyclass(frozen, subclass, module = "doorward_testing._native")]
pub(crate) struct TestIssuer {
    url: String,
    process: u32,
    running: Mutex<Option<Arc<Running>>>,
}

impl TestIssuer {
    fn running(&self) -> PyResult<Arc<Running>> {
        if self.process != std::process::id() {
            return Err(PyRuntimeError::new_err(
                "this issuer belongs to the parent process: here, only its URL can be used",
            ));
        }
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.clone().ok_or_else(|| PyRuntimeError::new_err("this issuer is closed"))
    }
}

impl Drop for TestIssuer {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            // Its sockets and tasks are the parent's.
            std::mem::forget(self.running.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

#[pymethods]
impl TestIssuer {
    #[new]
    #[pyo3(signature = (*, realm = "dev", token_lifetime = Span(Duration::from_secs(300)), algorithm = "RS256", product = "keycloak"))]
    fn new(
        py: Python<'_>,
        realm: &str,
        token_lifetime: Span,
        algorithm: &str,
        product: &str,
    ) -> PyResult<Self> {
        let builder = DevIssuer::builder()
            .realm(realm)
            .access_token_lifetime(token_lifetime.0)
            .signing_algorithm(signed_with(algorithm)?)
            .product(in_product(product)?);
        let running = Running::start(py, builder)?;
        Ok(Self {
            url: running.issuer.url().to_owned(),
            process: std::process::id(),
            running: Mutex::new(Some(Arc::new(running))),
        })
    }

    /// The issuer identifier: ``http://127.0.0.1:PORT/realms/REALM``.
    #[getter]
    fn url(&self) -> &str {
        &self.url
    }

    /// Add a client, or change it from now on.
    ///
    /// Args:
    ///     client_id: its id.
    ///     secret: its secret.
    ///     public_key: instead of a secret, the public key in PEM whose private half signs its assertions (``private_key_jwt``).
    ///     audience: audiences of the tokens it gets, besides Keycloak's own.
    ///     scopes: words it may ask for, besides the standard ones.
    ///     roles: realm roles in its own tokens (client credentials).
    ///     client_roles: roles at clients in its own tokens.
    ///     token_lifetime: how long its tokens live, in seconds, where that differs from the issuer's.
    ///     redirect_uri: redirect URIs of a login; ``*`` matches any port.
    ///     opaque_access_tokens: its access tokens are not JWTs: only the issuer can read them (RFC 7662).
    #[pyo3(signature = (client_id, secret = None, *, public_key = None, audience = Texts(vec![]), scopes = Texts(vec![]), roles = Texts(vec![]), client_roles = None, token_lifetime = None, redirect_uri = Texts(vec![]), opaque_access_tokens = false))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn add_client(
        &self,
        client_id: &str,
        secret: Option<&str>,
        public_key: Option<&str>,
        audience: Texts,
        scopes: Texts,
        roles: Texts,
        client_roles: Option<&Bound<'_, PyDict>>,
        token_lifetime: Option<Span>,
        redirect_uri: Texts,
        opaque_access_tokens: bool,
    ) -> PyResult<()> {
        let mut client = match (secret, public_key) {
            (Some(secret), None) => DevClient::confidential(client_id, secret),
            (None, Some(key)) => DevClient::private_key_jwt(client_id, key),
            (None, None) => DevClient::public(client_id),
            (Some(_), Some(_)) => {
                return Err(PyValueError::new_err("pass secret or public_key, not both"));
            }
        };
        client = client.scopes(scopes.0).service_account_roles(roles.0);
        for name in audience.0 {
            client = client.audience(name);
        }
        for uri in redirect_uri.0 {
            client = client.redirect_uri(uri);
        }
        for (at, roles) in client_roles.into_iter().flatten() {
            let roles: Texts = roles.extract()?;
            client = client.service_account_client_roles(at.extract::<String>()?, roles.0);
        }
        if let Some(Span(lifetime)) = token_lifetime {
            client = client.access_token_lifetime(lifetime);
        }
        if opaque_access_tokens {
            client = client.opaque_access_tokens();
        }
        self.running()?.issuer.set_client(client);
        Ok(())
    }

    /// Add a person, or change them. The password is the user name unless given.
    #[pyo3(signature = (username, *, password = None, subject = None, name = None, email = None, roles = Texts(vec![]), client_roles = None, groups = Texts(vec![]), claims = None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn add_user(
        &self,
        username: &str,
        password: Option<&str>,
        subject: Option<&str>,
        name: Option<&str>,
        email: Option<&str>,
        roles: Texts,
        client_roles: Option<&Bound<'_, PyDict>>,
        groups: Texts,
        claims: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let mut user = person(username, password, subject, name, email);
        user = user.roles(roles.0).groups(groups.0);
        for (at, roles) in client_roles.into_iter().flatten() {
            let roles: Texts = roles.extract()?;
            user = user.client_roles(at.extract::<String>()?, roles.0);
        }
        for (name, value) in claims.into_iter().flatten() {
            user = user.claim(name.extract::<String>()?, json::from_python(&value)?);
        }
        self.running()?.issuer.set_user(user);
        Ok(())
    }

    /// Options as `doorward.testing.Issuer.mint` documents them.
    fn _mint(&self, kind: &str, about: &str, options: &Bound<'_, PyDict>) -> PyResult<String> {
        let order = token(kind, about, options)?;
        let minted = self.running()?.issuer.mint(order);
        minted.map_err(|error| PyValueError::new_err(with_causes(&error)))
    }

    /// A whole token set for a person who is known, in a session of their own, as the token endpoint would answer it.
    ///
    /// Unlike a minted token it is live: it can be exchanged, introspected, refreshed and revoked.
    ///
    /// Raises:
    ///     ValueError: if person, client or scope are unknown.
    #[pyo3(signature = (username, client_id = "client", *, scope = Texts(vec!["openid".to_owned()])))]
    fn log_in<'py>(
        &self,
        py: Python<'py>,
        username: &str,
        client_id: &str,
        scope: Texts,
    ) -> PyResult<Bound<'py, PyDict>> {
        let tokens = self.running()?.issuer.log_in(username, client_id, &scope.0.join(" "));
        let tokens = tokens.map_err(|error| PyValueError::new_err(with_causes(&error)))?;
        let answer = PyDict::new(py);
        answer.set_item("access_token", tokens.access_token)?;
        answer.set_item("id_token", tokens.id_token)?;
        answer.set_item("refresh_token", tokens.refresh_token)?;
        answer.set_item("expires_in", tokens.expires_in)?;
        answer.set_item("scope", tokens.scope)?;
        Ok(answer)
    }

    /// Sign in at this page as a browser does. Returns the URL that the browser is sent back to.
    ///
    /// Raises:
    ///     ValueError: if the request or the person is not accepted.
    fn sign_in(&self, authorization_url: &str, username: &str) -> PyResult<String> {
        let back = self.running()?.issuer.sign_in(authorization_url, username);
        back.map_err(|error| PyValueError::new_err(with_causes(&error)))
    }

    /// Type the code of a device (RFC 8628) and agree, as a person does. Returns whether there is such a code.
    fn allow_device(&self, user_code: &str, username: &str) -> PyResult<bool> {
        Ok(self.running()?.issuer.allow_device(user_code, username))
    }

    /// Sign with a new key from now on; the former stays published. Returns the new ``kid``.
    fn rotate(&self, py: Python<'_>) -> PyResult<String> {
        let rotated = self.running()?.wait(py, DevIssuer::rotate_keys);
        rotated.map_err(|error| PyRuntimeError::new_err(with_causes(&error)))
    }

    /// Publish the current signing key only.
    fn remove_old_keys(&self) -> PyResult<()> {
        self.running()?.issuer.remove_old_keys();
        Ok(())
    }

    /// The ``kid`` that new tokens carry.
    #[getter]
    fn key_id(&self) -> PyResult<String> {
        Ok(self.running()?.issuer.signing_key_id())
    }

    /// Stop listening and break every connection. Keys, sessions and counters stay.
    fn down(&self, py: Python<'_>) -> PyResult<()> {
        self.running()?.wait(py, DevIssuer::stop);
        Ok(())
    }

    /// Listen again, at the same address.
    fn up(&self, py: Python<'_>) -> PyResult<()> {
        let resumed = self.running()?.wait(py, DevIssuer::resume);
        resumed.map_err(|error| PyOSError::new_err(with_causes(&error)))
    }

    /// Misbehave from now on, in one of these ways, until :meth:`heal`.
    ///
    /// Args:
    ///     endpoint: where.
    ///     status: answer with this HTTP status and do nothing else.
    ///     delay: answer this many seconds later.
    ///     answer: break off in the middle, send bytes one by one, no JSON, a page, 64 MiB, or a redirect.
    #[pyo3(signature = (endpoint = "token", *, status = None, delay = None, answer = None))]
    fn fail(
        &self,
        endpoint: &str,
        status: Option<u16>,
        delay: Option<Span>,
        answer: Option<&str>,
    ) -> PyResult<()> {
        let fault = match (status, delay, answer) {
            (Some(status), None, None) => Fault::Down(status),
            (None, Some(Span(delay)), None) => Fault::Slow(delay),
            (None, None, Some("cut off")) => Fault::CutOff,
            (None, None, Some("drip")) => Fault::Drip,
            (None, None, Some("huge")) => Fault::Huge,
            (None, None, Some("html")) => Fault::Html,
            (None, None, Some("garbage")) => Fault::Garbage,
            (None, None, Some("redirect")) => Fault::Redirect,
            _ => {
                return Err(PyValueError::new_err(
                    "pass one of status=, delay= and answer= (\"cut off\", \"drip\", \"garbage\", \"html\", \"huge\", \"redirect\")",
                ));
            }
        };
        self.running()?.issuer.faults().set(fault, endpoint_of(endpoint)?);
        Ok(())
    }

    /// Behave again.
    fn heal(&self) -> PyResult<()> {
        self.running()?.issuer.faults().clear();
        Ok(())
    }

    /// Number of requests to this endpoint, those that failed on purpose included.
    #[pyo3(signature = (endpoint = "token"))]
    fn requests(&self, endpoint: &str) -> PyResult<u64> {
        Ok(self.running()?.issuer.requests(endpoint_of(endpoint)?))
    }

    /// Stop for good. Done twice it does nothing the second time.
    fn close(&self, py: Python<'_>) {
        if self.process != std::process::id() {
            return;
        }
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            running.wait(py, DevIssuer::stop);
            py.detach(move || drop(running));
        }
    }

    fn __reduce__(&self) -> PyResult<()> {
        refuse_pickling("an Issuer", "send its url")
    }
}

fn endpoint_of(name: &str) -> PyResult<Endpoint> {
    let found = ENDPOINTS.into_iter().find(|(known, _)| *known == name);
    found.map(|(_, endpoint)| endpoint).ok_or_else(|| {
        let known = ENDPOINTS.map(|(known, _)| known).join(", ");
        PyValueError::new_err(format!("{name:?} is not one of {known}"))
    })
}
