//! `TokenSource`: a program's own access tokens, fetched once and kept fresh (`m2m`).
//!
//! A token in memory is given at once, with the interpreter held. A caller that finds none waits with it released. The runtime
//! makes the request itself, so that it neither ends with its caller nor is made twice.

use std::sync::Arc;
use std::time::SystemTime;

use m2m::{AccessToken, CachedTokens, Exchange, ExchangedTokens, TokenError};
use oidc_core::Secret;
use oidc_core::token::Scope;
use py_values::{Texts, refuse_pickling};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::coroutine::{Coroutine, Step};
use crate::engine::{Engine, Outcome, PerProcess, Work};
use crate::errors;
use crate::trusted::Trusted;
use crate::waiting::{later, now};

mod authentication;
mod form;
mod person;
mod recipe;

pub(crate) use authentication::Authentication;
use form::Form;
use person::Shown;
pub(crate) use recipe::Recipe;

/// Access tokens for a program's own requests; see :meth:`Issuer.client_credentials`.
///
/// A token is fetched when first wanted, by one request however many threads and tasks ask; kept until it ends; refreshed in the
/// background before that; and served from memory while the issuer is down. After a failure the issuer is not asked again for a while
/// (1 s to 30 s, or what it asks for): until then callers get the same error at once.
///
/// It is the ``auth`` of ``requests`` and httpx as it is: the token goes on the request, never to another origin it is redirected to,
/// and a request answered with 401 is repeated once with a fresh token. Share one between threads, tasks and forked workers.
#[pyclass(frozen, weakref, module = "doorward")]
pub(crate) struct TokenSource {
    kind: Kind,
}

enum Kind {
    /// The program's own tokens.
    Own(Arc<Client>),
    /// Tokens it gets in exchange for a caller's token.
    Exchanged { client: Arc<Client>, subject: Secret, wanted: Exchange },
}

struct Client {
    trusted: Arc<Trusted>,
    recipe: Recipe,
    tokens: PerProcess<CachedTokens>,
    exchanged: PerProcess<ExchangedTokens>,
}

impl Client {
    fn tokens(&self, py: Python<'_>) -> PyResult<CachedTokens> {
        if let Some(tokens) = self.tokens.current(py) {
            return Ok(tokens);
        }
        let parts = self.trusted.parts(py)?;
        Ok(self.tokens.keep(py, self.recipe.tokens(&parts)))
    }

    fn exchanged(&self, py: Python<'_>) -> PyResult<ExchangedTokens> {
        if let Some(tokens) = self.exchanged.current(py) {
            return Ok(tokens);
        }
        let parts = self.trusted.parts(py)?;
        Ok(self.exchanged.keep(py, self.recipe.exchanged(&parts)))
    }
}

type Answer = Result<AccessToken, TokenError>;

impl TokenSource {
    pub(crate) fn new(py: Python<'_>, trusted: Arc<Trusted>, recipe: Recipe) -> PyResult<Self> {
        let parts = trusted.parts(py)?;
        let tokens = PerProcess::new(recipe.tokens(&parts));
        let exchanged = PerProcess::new(recipe.exchanged(&parts));
        Ok(Self { kind: Kind::Own(Arc::new(Client { trusted, recipe, tokens, exchanged })) })
    }

    /// The client whose credentials are used.
    fn client(&self) -> &Arc<Client> {
        match &self.kind {
            Kind::Own(client) | Kind::Exchanged { client, .. } => client,
        }
    }

    /// The token in memory, if it is good.
    fn current(&self, py: Python<'_>, engine: &Engine) -> PyResult<Option<AccessToken>> {
        match &self.kind {
            Kind::Own(client) => {
                let tokens = client.tokens(py)?;
                Ok(engine.within(|| tokens.current()))
            }
            Kind::Exchanged { .. } => Ok(None),
        }
    }

    /// Asks for a token other than `rejected`.
    fn ask(&self, py: Python<'_>, rejected: Option<&str>) -> PyResult<Work<Answer>> {
        use m2m::TokenSource as _;
        let rejected = rejected.map(|token| AccessToken::bearer(Secret::from(token), None));
        let rejected =
            rejected.transpose().map_err(|error| PyValueError::new_err(error.to_string()))?;
        match &self.kind {
            Kind::Own(client) => {
                let tokens = client.tokens(py)?;
                Ok(Box::pin(async move {
                    match rejected {
                        Some(rejected) => tokens.token_after(&rejected).await,
                        None => tokens.token().await,
                    }
                }))
            }
            Kind::Exchanged { client, subject, wanted } => {
                let tokens = client.exchanged(py)?;
                let (subject, wanted) = (subject.clone(), wanted.clone());
                Ok(Box::pin(async move {
                    match rejected {
                        Some(rejected) => tokens.exchange_after(&rejected, &subject, &wanted).await,
                        None => tokens.exchange(&subject, &wanted).await,
                    }
                }))
            }
        }
    }

    fn give(&self, py: Python<'_>, rejected: Option<&str>, form: Form) -> PyResult<Py<PyAny>> {
        let engine = Engine::of(py)?;
        if rejected.is_none()
            && let Some(token) = self.current(py, &engine)?
        {
            return form.of(py, &token);
        }
        let answer = engine.wait_elsewhere(py, self.ask(py, rejected)?)?;
        tell(py, &answer, form)
    }

    fn give_later(
        this: Py<Self>,
        name: &'static str,
        rejected: Option<String>,
        form: Form,
    ) -> Coroutine {
        Coroutine::new(name, move |py, engine| {
            if rejected.is_none()
                && let Some(token) = this.get().current(py, engine)?
            {
                return Ok(Step::Done(form.of(py, &token)));
            }
            let work = this.get().ask(py, rejected.as_deref())?;
            Ok(Step::Wait(Box::pin(async move {
                let answer = work.await;
                let outcome: Outcome = Box::new(move |py| tell(py, &answer, form));
                outcome
            })))
        })
    }
}

impl TokenSource {
    fn of_person(
        &self,
        py: Python<'_>,
        subject_token: Option<String>,
        refresh_token: Option<String>,
        scope: Option<Texts>,
    ) -> PyResult<Work<Outcome>> {
        let shown = Shown::one_of(py, subject_token, refresh_token)?;
        let scope = scope.map(|Texts(words)| Scope::from(words.join(" ").as_str()));
        let client = self.client();
        let endpoint = client.recipe.endpoint(&client.trusted.parts(py)?);
        Ok(person::ask(endpoint, shown, scope))
    }
}

fn tell(py: Python<'_>, answer: &Answer, form: Form) -> PyResult<Py<PyAny>> {
    match answer {
        Ok(token) => form.of(py, token),
        Err(error) => Err(errors::token_request(py, error)),
    }
}

#[pymethods]
impl TokenSource {
    /// A token that is good now, to be sent at once; ask again for the next request.
    ///
    /// Args:
    ///     rejected: a token that a service answered with 401. It is replaced by a fresh one, once however many callers had it, and not
    ///         more often than sensible: if the same token comes back, there is no reason to repeat the request.
    ///
    /// Raises:
    ///     IssuerUnavailable: to be tried again later.
    ///     TokenRequestRefused: when asking again does not help.
    ///     ConfigurationError: if the client's credentials cannot be read.
    #[pyo3(signature = (*, rejected = None))]
    fn token(&self, py: Python<'_>, rejected: Option<&str>) -> PyResult<Py<PyAny>> {
        self.give(py, rejected, Form::Bare)
    }

    /// :meth:`token`, to be awaited. A token in memory is given at once; fetching one never blocks the event loop.
    #[pyo3(signature = (*, rejected = None))]
    fn token_async(this: Py<Self>, rejected: Option<String>) -> Coroutine {
        Self::give_later(this, "TokenSource.token_async", rejected, Form::Bare)
    }

    /// The value of ``Authorization``: :meth:`token` with ``Bearer`` before it. ``rejected`` is a token without.
    #[pyo3(signature = (*, rejected = None))]
    fn authorization(&self, py: Python<'_>, rejected: Option<&str>) -> PyResult<Py<PyAny>> {
        self.give(py, rejected, Form::Header)
    }

    /// :meth:`authorization`, to be awaited.
    #[pyo3(signature = (*, rejected = None))]
    fn authorization_async(this: Py<Self>, rejected: Option<String>) -> Coroutine {
        Self::give_later(this, "TokenSource.authorization_async", rejected, Form::Header)
    }

    /// Reports a token that a service answered with 401, without waiting: a fresh one is fetched in the background, once however many
    /// callers report it, and not more often than sensible. For callers that do not repeat the request; else :meth:`token` with
    /// ``rejected``.
    #[pyo3(signature = (token, /))]
    fn reject(&self, py: Python<'_>, token: &str) -> PyResult<()> {
        let work = self.ask(py, Some(token))?;
        Engine::of(py)?.begin(work);
        Ok(())
    }

    /// End of the token in memory, in UTC; ``None`` if there is none, or the issuer did not say.
    #[getter]
    fn expires_at(&self, py: Python<'_>) -> PyResult<Option<SystemTime>> {
        let token = self.current(py, &*Engine::of(py)?)?;
        Ok(token.and_then(|token| token.expires_at()))
    }

    /// Tokens for acting on a caller's behalf (RFC 8693), kept and refreshed like any other.
    ///
    /// Nothing is requested before a token is wanted. The same exchange asked for again is the same source, so a handler may call this
    /// for each of its requests.
    ///
    /// Args:
    ///     audience: the service the new token is for.
    ///     subject_token: the access token of the caller to act for.
    ///     scope: scopes to ask for, as words or one text.
    ///     resource: absolute URIs the token is for (RFC 8707 §2).
    #[pyo3(signature = (*, audience = None, subject_token, scope = None, resource = None))]
    fn exchange(
        &self,
        py: Python<'_>,
        audience: Option<Texts>,
        subject_token: &str,
        scope: Option<Texts>,
        resource: Option<Texts>,
    ) -> PyResult<Self> {
        if subject_token.is_empty() {
            let remedy = "pass the access token of the person or program to act for".to_owned();
            let message = "subject_token is empty".to_owned();
            return Err(errors::configuration(py, "subject_token", message, remedy));
        }
        let texts = |given: Option<Texts>| given.map(|Texts(texts)| texts).unwrap_or_default();
        let wanted = texts(audience).into_iter().fold(Exchange::new(), Exchange::with_audience);
        let mut wanted = texts(resource).into_iter().fold(wanted, Exchange::with_resource);
        if let Some(Texts(words)) = scope {
            wanted = wanted.with_scope(&words.join(" "));
        }
        let client = Arc::clone(self.client());
        Ok(Self { kind: Kind::Exchanged { client, subject: Secret::from(subject_token), wanted } })
    }

    /// Tokens of a person for a service that goes on when the person's own token has ended.
    ///
    /// One request, and nothing is kept: the refresh token is the caller's to store, sealed, and to replace by the one that comes
    /// with each answer. Two requests with one refresh token end the session where refresh tokens are good once.
    ///
    /// Args:
    ///     subject_token: an access token of the person, whichever client it was issued to. It is exchanged for a refresh token of this
    ///         client in the same session (RFC 8693 §2.1), which the issuer has to allow: at Keycloak, "Standard token exchange"
    ///         with a refresh token in the "same session", and this client in the token's audience.
    ///     refresh_token: the one that was given last (RFC 6749 §6).
    ///     scope: scopes to ask for, as words or one text.
    ///
    /// Returns:
    ///     ``access_token``; ``refresh_token`` or ``None``; ``expires_at`` and ``refresh_expires_at`` in seconds since 1970, or ``None``.
    ///
    /// Raises:
    ///     TokenRequestRefused: with the error ``invalid_grant`` when the person's session is over.
    ///     IssuerUnavailable: to be tried again later.
    ///     ConfigurationError: if not exactly one token is given, or the client's credentials cannot be read.
    #[pyo3(signature = (*, subject_token = None, refresh_token = None, scope = None))]
    fn person(
        &self,
        py: Python<'_>,
        subject_token: Option<String>,
        refresh_token: Option<String>,
        scope: Option<Texts>,
    ) -> PyResult<Py<PyAny>> {
        now(py, self.of_person(py, subject_token, refresh_token, scope)?)
    }

    /// :meth:`person`, to be awaited.
    #[pyo3(signature = (*, subject_token = None, refresh_token = None, scope = None))]
    fn person_async(
        &self,
        py: Python<'_>,
        subject_token: Option<String>,
        refresh_token: Option<String>,
        scope: Option<Texts>,
    ) -> PyResult<Coroutine> {
        let work = self.of_person(py, subject_token, refresh_token, scope)?;
        Ok(later("TokenSource.person_async", work))
    }

    /// Identifier of the issuer they come from.
    #[getter]
    fn issuer(&self) -> &str {
        self.client().trusted.issuer().as_str()
    }

    /// Id of the client they belong to.
    #[getter]
    fn client_id(&self) -> &str {
        &self.client().recipe.client_id
    }

    /// ``auth=`` of ``requests``.
    fn __call__(this: Py<Self>, py: Python<'_>, request: Py<PyAny>) -> PyResult<Py<PyAny>> {
        py.import("doorward.requests")?.getattr("sign")?.call1((this, request)).map(Bound::unbind)
    }

    /// httpx checks whether `auth` is an instance of its `Auth`, and calls any other callable on the event loop. Where httpx is
    /// loaded, this class is such an `Auth`.
    #[getter]
    fn __class__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(py.import("doorward._httpx")?.call_method0("class_of_source")?.unbind())
    }

    /// ``auth=`` of ``httpx.Client``.
    fn sync_auth_flow(this: Py<Self>, py: Python<'_>, request: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let flow = py.import("doorward._httpx")?.getattr("sync_flow")?;
        flow.call1((this, request)).map(Bound::unbind)
    }

    /// ``auth=`` of ``httpx.AsyncClient``.
    fn async_auth_flow(this: Py<Self>, py: Python<'_>, request: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let flow = py.import("doorward._httpx")?.getattr("async_flow")?;
        flow.call1((this, request)).map(Bound::unbind)
    }

    fn __repr__(&self) -> String {
        let kind = match &self.kind {
            Kind::Own(_) => "client credentials",
            Kind::Exchanged { .. } => "exchange",
        };
        let client = self.client();
        let (client, issuer) = (&client.recipe.client_id, client.trusted.issuer().as_str());
        format!("<doorward.TokenSource {kind} by {client:?} at {issuer:?}>")
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
            "a TokenSource",
            "it holds credentials; make one in each process that needs it, or let the worker be forked",
        )
    }

    fn __reduce_ex__(&self, _protocol: i32) -> PyResult<()> {
        self.__reduce__()
    }
}
