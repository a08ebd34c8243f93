//! `Client`: a program registered at an issuer, for the logins of its users and the calls that need a client.
//!
//! It keeps no state between the steps of a login: the caller keeps [`PendingLogin`] and the tokens.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use oidc_core::Validation;
use oidc_core::client::ClientAuth;
use py_values::{Span, Texts, refuse_pickling};
use pyo3::prelude::*;

use crate::arguments::CertificateFiles;
use crate::coroutine::Coroutine;
use crate::credentials::Authentication;
use crate::engine::PerProcess;
use crate::errors;
use crate::issuer::Issuer;
use crate::rules::Rules;
use crate::trusted::Trusted;
use crate::verifier::{Introspects, Kind, Verifier};
use crate::waiting::{later, now};

mod asked;
mod errors_of_login;
mod login;
mod pending;
mod token_set;

pub(crate) use pending::PendingLogin;
pub(crate) use token_set::TokenSet;

use login::Parameters;

/// A program that is registered at an issuer: it signs people in, refreshes and revokes their tokens, and introspects tokens.
///
/// Making one opens no connection. Share one between threads, tasks and forked workers. Each method has an ``…_async`` twin. A program
/// that needs tokens of its own takes :meth:`Issuer.client_credentials`.
///
/// Args:
///     issuer: the issuer.
///     client_id: the client's id there.
///     public: true for a client without a credential (RFC 6749 §2.1): a program that cannot keep one.
///     secret_file: the credential, exactly one unless the client is public; see :meth:`Issuer.client_credentials` for this and the others.
///     leeway: how far clocks may differ when ID tokens are verified; 30 s unless set, 300 s at most.
///     algorithms: accept only ID tokens signed with these; what the issuer announces unless set.
///
/// Raises:
///     ConfigurationError: if not exactly one credential is given, or an argument has no such value.
#[pyclass(frozen, weakref, module = "doorward")]
pub(crate) struct Client {
    trusted: Arc<Trusted>,
    client_id: String,
    auth: ClientAuth,
    validation: Validation,
    client: PerProcess<oidc_core::Client>,
}

#[pymethods]
impl Client {
    #[new]
    #[pyo3(signature = (issuer, client_id, *, public = false, secret = None, secret_file = None, private_key_file = None, key_id = None, key_algorithm = None, assertion_file = None, certificate = None, method = None, leeway = Span(Duration::from_secs(30)), algorithms = None), text_signature = "(issuer, client_id, *, public=False, secret=None, secret_file=None, private_key_file=None, key_id=None, key_algorithm=None, assertion_file=None, certificate=None, method=None, leeway=30, algorithms=None)")]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        py: Python<'_>,
        issuer: &Bound<'_, Issuer>,
        client_id: String,
        public: bool,
        secret: Option<String>,
        secret_file: Option<PathBuf>,
        private_key_file: Option<PathBuf>,
        key_id: Option<String>,
        key_algorithm: Option<String>,
        assertion_file: Option<PathBuf>,
        certificate: Option<CertificateFiles>,
        method: Option<String>,
        leeway: Span,
        algorithms: Option<Texts>,
    ) -> PyResult<Self> {
        let given = Authentication {
            secret,
            secret_file,
            private_key_file,
            key_id,
            key_algorithm,
            assertion_file,
            certificate: certificate.is_some(),
            method,
        };
        let auth = match public {
            true => given.none(py)?,
            false => given.method(py)?,
        };
        let trusted = &issuer.get().trusted;
        let trusted = match certificate {
            Some(CertificateFiles(certificate, key)) => {
                trusted.with_certificate(py, (certificate, key))?
            }
            None => Arc::clone(trusted),
        };
        if client_id.is_empty() {
            let message = "client_id is empty".to_owned();
            let remedy = "pass the client's name at the issuer".to_owned();
            return Err(errors::configuration(py, "client_id", message, remedy));
        }
        // The audience of an ID token is the client.
        let (audience, issuer) = (vec![client_id.clone()], trusted.issuer().clone());
        let validation = crate::verifier::validation(py, issuer, audience, leeway.0, algorithms)?;
        let parts = trusted.parts(py)?;
        let client = PerProcess::new(asked::connected(&parts, &client_id, &auth, &validation));
        Ok(Self { trusted, client_id, auth, validation, client })
    }

    /// Begin a login (OpenID Connect Core 1.0 §3.1.2.1): authorization code with PKCE, ``state`` and ``nonce``; pushed (RFC 9126) where the
    /// issuer offers that.
    ///
    /// Redirect the browser to ``url`` of the result, and keep the result until the browser comes back.
    ///
    /// Args:
    ///     redirect_uri: the address that the browser comes back to, as registered at the issuer.
    ///     scope: scopes to ask for, as words or one text; ``openid`` is always among them.
    ///     prompt: ``none``, ``login``, ``consent`` or ``select_account``.
    ///     max_age: the person must have authenticated within this time, and the ID token must prove it.
    ///     acr_values: acceptable authentication levels, best first.
    ///     login_hint: the expected user.
    ///     parameters: other parameters of the request, like ``{"kc_idp_hint": "corp"}``; those that the login itself sets are refused.
    ///
    /// Raises:
    ///     IssuerUnavailable: to be tried again later.
    ///     TokenRequestRefused: if the issuer does not take the request.
    ///     ConfigurationError: if an argument has no such value, or the client's credentials cannot be read.
    #[pyo3(signature = (redirect_uri, *, scope = None, prompt = None, max_age = None, acr_values = None, login_hint = None, parameters = None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn begin_login(
        &self,
        py: Python<'_>,
        redirect_uri: &str,
        scope: Option<Texts>,
        prompt: Option<&str>,
        max_age: Option<Span>,
        acr_values: Option<Texts>,
        login_hint: Option<&str>,
        parameters: Option<Parameters>,
    ) -> PyResult<Py<PyAny>> {
        let texts = [("prompt", prompt), ("login_hint", login_hint)];
        let lists = (scope, acr_values);
        now(
            py,
            self.begun(py, login::request(py, redirect_uri, lists, max_age, texts, parameters)?)?,
        )
    }

    /// :meth:`begin_login`, to be awaited.
    #[pyo3(signature = (redirect_uri, *, scope = None, prompt = None, max_age = None, acr_values = None, login_hint = None, parameters = None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn begin_login_async(
        &self,
        py: Python<'_>,
        redirect_uri: &str,
        scope: Option<Texts>,
        prompt: Option<&str>,
        max_age: Option<Span>,
        acr_values: Option<Texts>,
        login_hint: Option<&str>,
        parameters: Option<Parameters>,
    ) -> PyResult<Coroutine> {
        let texts = [("prompt", prompt), ("login_hint", login_hint)];
        let lists = (scope, acr_values);
        let request = login::request(py, redirect_uri, lists, max_age, texts, parameters)?;
        Ok(later("Client.begin_login_async", self.begun(py, request)?))
    }

    /// Finish a login: check the answer that the browser brought, exchange its code, and verify the ID token.
    ///
    /// Args:
    ///     query: the query of the address that the browser came back to, the part after ``?``, unmodified.
    ///     pending: what :meth:`begin_login` returned to this same browser. Use it once, and forget it.
    ///
    /// Returns:
    ///     the tokens; ``claims`` of it are those of the verified ID token.
    ///
    /// Raises:
    ///     LoginRefused: if the answer does not belong to this login, or the person or the issuer refused; begin another login.
    ///     InvalidToken: if the ID token is not accepted; a subclass for each cause.
    ///     TokenRequestRefused: if the code is not exchanged.
    ///     IssuerUnavailable: if the issuer does not answer now; begin another login later.
    fn finish_login(
        &self,
        py: Python<'_>,
        query: String,
        pending: &Bound<'_, PendingLogin>,
    ) -> PyResult<Py<PyAny>> {
        now(py, self.finished(py, query, pending)?)
    }

    /// :meth:`finish_login`, to be awaited.
    fn finish_login_async(
        &self,
        py: Python<'_>,
        query: String,
        pending: &Bound<'_, PendingLogin>,
    ) -> PyResult<Coroutine> {
        Ok(later("Client.finish_login_async", self.finished(py, query, pending)?))
    }

    /// Get the next tokens of a login (RFC 6749 §6).
    ///
    /// Args:
    ///     refresh_token: the one that was given last. Where the answer has none, it stays good; else it is used up.
    ///     subject: ``claims.subject`` of the login; tokens about another person are refused (OpenID Connect Core 1.0 §12.2).
    ///
    /// Raises:
    ///     TokenRequestRefused: with the error ``invalid_grant`` when the login is over.
    ///     InvalidToken: if a new ID token is not accepted.
    ///     IssuerUnavailable: to be tried again later.
    #[pyo3(signature = (refresh_token, *, subject))]
    fn refresh(&self, py: Python<'_>, refresh_token: &str, subject: String) -> PyResult<Py<PyAny>> {
        now(py, self.refreshed(py, refresh_token, subject)?)
    }

    /// :meth:`refresh`, to be awaited.
    #[pyo3(signature = (refresh_token, *, subject))]
    fn refresh_async(
        &self,
        py: Python<'_>,
        refresh_token: &str,
        subject: String,
    ) -> PyResult<Coroutine> {
        Ok(later("Client.refresh_async", self.refreshed(py, refresh_token, subject)?))
    }

    /// Revoke a token that is no longer needed (RFC 7009). A token that the issuer does not know is no error.
    ///
    /// Args:
    ///     token: a refresh token, which ends the login at most issuers, or an access token.
    ///     token_type_hint: ``refresh_token`` or ``access_token``.
    ///
    /// Raises:
    ///     TokenRequestRefused: with the error ``not_supported`` if the issuer has no such endpoint.
    ///     IssuerUnavailable: to be tried again later.
    #[pyo3(signature = (token, *, token_type_hint = "refresh_token"))]
    fn revoke(&self, py: Python<'_>, token: &str, token_type_hint: &str) -> PyResult<Py<PyAny>> {
        now(py, self.revoked(py, token, token_type_hint)?)
    }

    /// :meth:`revoke`, to be awaited.
    #[pyo3(signature = (token, *, token_type_hint = "refresh_token"))]
    fn revoke_async(
        &self,
        py: Python<'_>,
        token: &str,
        token_type_hint: &str,
    ) -> PyResult<Coroutine> {
        Ok(later("Client.revoke_async", self.revoked(py, token, token_type_hint)?))
    }

    /// Claims about the person from the UserInfo endpoint (OpenID Connect Core 1.0 §5.3), as a dictionary.
    ///
    /// Args:
    ///     access_token: an access token of the login.
    ///     subject: ``claims.subject`` of the login; claims about another person are refused (§5.3.2).
    ///
    /// Raises:
    ///     TokenRequestRefused: if the issuer does not accept the access token, or has no such endpoint.
    ///     WrongSubject: if the claims are about another person.
    ///     InvalidToken: if the answer is signed, but not by the issuer for this client; and if it is encrypted.
    ///     IssuerUnavailable: to be tried again later.
    #[pyo3(signature = (access_token, *, subject))]
    fn user_info(
        &self,
        py: Python<'_>,
        access_token: &str,
        subject: String,
    ) -> PyResult<Py<PyAny>> {
        now(py, self.asked_about_user(py, access_token, subject)?)
    }

    /// :meth:`user_info`, to be awaited.
    #[pyo3(signature = (access_token, *, subject))]
    fn user_info_async(
        &self,
        py: Python<'_>,
        access_token: &str,
        subject: String,
    ) -> PyResult<Coroutine> {
        Ok(later("Client.user_info_async", self.asked_about_user(py, access_token, subject)?))
    }

    /// A verifier that asks the issuer about each token that is not a JWT (RFC 7662), as this client. JWTs are verified here, as by
    /// :meth:`Issuer.verifier`.
    ///
    /// An answer is remembered for a minute at most: that long a revoked token is still accepted.
    ///
    /// Args:
    ///     audience: the name, or names, by which tokens call this service (``aud``); one of them is enough.
    ///     profile: the profile of JWTs; see :meth:`Issuer.verifier`.
    ///     leeway: how far clocks may differ; 30 s unless set, 300 s at most.
    ///     algorithms: accept only JWTs signed with these; see :meth:`Issuer.verifier`.
    ///     dangerous_without_audience: true accepts answers without ``aud``: then a token that was made for another service is accepted
    ///         here too.
    ///
    /// Raises:
    ///     ConfigurationError: if the client is public, which issuers do not answer (RFC 7662 §2.1), or an argument has no such value.
    #[pyo3(signature = (audience, *, profile = "keycloak", leeway = Span(Duration::from_secs(30)), algorithms = None, dangerous_without_audience = false), text_signature = "($self, audience, *, profile='keycloak', leeway=30, algorithms=None, dangerous_without_audience=False)")]
    fn introspecting_verifier(
        &self,
        py: Python<'_>,
        audience: Texts,
        profile: &str,
        leeway: Span,
        algorithms: Option<Texts>,
        dangerous_without_audience: bool,
    ) -> PyResult<Verifier> {
        if matches!(self.auth, ClientAuth::None) {
            let message = "a public client cannot introspect tokens".to_owned();
            let remedy = "make the Client with its credential, like secret_file=".to_owned();
            return Err(errors::configuration(py, "client_authentication", message, remedy));
        }
        let rules = Rules::default().with(py, Some(profile), None)?;
        let (client_id, auth) = (self.client_id.clone(), self.auth.clone());
        let asks = Introspects { client_id, auth, dangerous_without_audience };
        let trusted = Arc::clone(&self.trusted);
        let (kind, rules) = (Kind::AccessToken, |validation| rules.apply(validation));
        Verifier::new(py, trusted, kind, audience.0, leeway.0, algorithms, rules)?
            .introspecting(py, asks)
    }

    /// The address that ends the person's session at the issuer (OpenID Connect RP-Initiated Logout 1.0 §2), for a redirect of the
    /// browser; ``None`` if the issuer has none.
    ///
    /// Args:
    ///     id_token: the ID token of the login; without it the issuer asks the person.
    ///     post_logout_redirect_uri: the address that the browser comes back to, as registered at the issuer.
    ///     state: comes back with the browser.
    #[pyo3(signature = (*, id_token = None, post_logout_redirect_uri = None, state = None))]
    fn logout_url(
        &self,
        py: Python<'_>,
        id_token: Option<&str>,
        post_logout_redirect_uri: Option<&str>,
        state: Option<&str>,
    ) -> PyResult<Py<PyAny>> {
        now(py, self.logged_out(py, id_token, post_logout_redirect_uri, state)?)
    }

    /// :meth:`logout_url`, to be awaited.
    #[pyo3(signature = (*, id_token = None, post_logout_redirect_uri = None, state = None))]
    fn logout_url_async(
        &self,
        py: Python<'_>,
        id_token: Option<&str>,
        post_logout_redirect_uri: Option<&str>,
        state: Option<&str>,
    ) -> PyResult<Coroutine> {
        let work = self.logged_out(py, id_token, post_logout_redirect_uri, state)?;
        Ok(later("Client.logout_url_async", work))
    }

    /// Identifier of the issuer.
    #[getter]
    fn issuer(&self) -> &str {
        self.trusted.issuer().as_str()
    }

    /// Id of the client.
    #[getter]
    fn client_id(&self) -> &str {
        &self.client_id
    }

    fn __repr__(&self) -> String {
        format!("<doorward.Client {:?} at {:?}>", self.client_id, self.issuer())
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
            "a Client",
            "it holds credentials; make one in each process that needs it, or let the worker be forked",
        )
    }
}
