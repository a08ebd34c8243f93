//! `Verifier`: tokens of one issuer for one audience.
//!
//! A token that was verified before is answered from memory, with the interpreter held since there is nothing to wait for. Any other
//! is verified on the caller's thread with the interpreter released.

use std::sync::Arc;
use std::time::Duration;

use oidc_core::keys::RemoteKeys;
use oidc_core::token::Algorithm;
use oidc_core::verify::{AssertionVerifier, Unverified};
use oidc_core::{AccessToken, IdToken, TokenRefusal, Validation, Verified};
use py_values::{Texts, refuse_pickling};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::claims;
use crate::coroutine::{Coroutine, Step};
use crate::engine::{Engine, Outcome, PerProcess, Work};
use crate::errors;
use crate::trusted::Trusted;

mod besides;

use besides::Besides;
pub(crate) use besides::Introspects;

/// Longest leeway: more would accept tokens long after their end.
const LONGEST_LEEWAY: Duration = Duration::from_secs(300);

/// Verifies access tokens of one issuer for one audience (:meth:`Issuer.verifier`), or assertions (:meth:`Gateway.verifier`).
///
/// Verified tokens are remembered (8 MiB at most) until they end or the issuer's keys change: the second call with the same token
/// skips the cryptography, never the checks of time. Share one between threads, tasks and forked workers.
#[pyclass(frozen, weakref, module = "doorward")]
pub(crate) struct Verifier {
    trusted: Arc<Trusted>,
    kind: Kind,
    validation: Validation,
    besides: Besides,
    checks: PerProcess<Arc<Checks>>,
}

/// Kind of token that is verified.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// An access token of an OpenID provider.
    AccessToken,
    /// The gateway's assertion: a statement about a person for one audience, as an ID token is (OpenID Connect Core 1.0 §2).
    Assertion,
}

/// A verified token, remembered or new.
enum Known {
    Token(Arc<Verified<AccessToken>>),
    Assertion(Arc<Verified<IdToken>>),
}

/// The checks for a kind of token, with what they remember.
enum Checks {
    Token(oidc_core::Verifier),
    Assertion(AssertionVerifier),
}

type Answer = Result<Known, TokenRefusal>;

impl Kind {
    fn checks(self, validation: Validation, keys: Arc<RemoteKeys>) -> Checks {
        match self {
            Self::AccessToken => Checks::Token(oidc_core::Verifier::new(validation, keys)),
            Self::Assertion => Checks::Assertion(AssertionVerifier::new(validation, keys)),
        }
    }
}

impl Checks {
    /// The remembered token, or the verification that is left to do.
    fn recall<'t>(&self, token: &'t str) -> Result<Known, Unverified<'t>> {
        match self {
            Self::Token(verifier) => verifier.recall(token).map(Known::Token),
            Self::Assertion(verifier) => verifier.recall(token).map(Known::Assertion),
        }
    }

    async fn verify(&self, unverified: Unverified<'_>) -> Answer {
        match self {
            Self::Token(verifier) => verifier.verify(unverified).await.map(Known::Token),
            Self::Assertion(verifier) => verifier.verify(unverified).await.map(Known::Assertion),
        }
    }
}

impl Known {
    fn object(&self, py: Python<'_>) -> PyResult<Py<claims::Claims>> {
        match self {
            Self::Token(verified) => claims::of_token(py, verified),
            Self::Assertion(verified) => claims::of_assertion(py, verified),
        }
    }
}

impl Verifier {
    pub(crate) fn new(
        py: Python<'_>,
        trusted: Arc<Trusted>,
        kind: Kind,
        audiences: Vec<String>,
        leeway: Duration,
        algorithms: Option<Texts>,
        rules: impl FnOnce(Validation) -> Validation,
    ) -> PyResult<Self> {
        let issuer = trusted.issuer().clone();
        let validation = rules(validation(py, issuer, audiences, leeway, algorithms)?);
        let keys = trusted.parts(py)?.keys;
        let checks = PerProcess::new(Arc::new(kind.checks(validation.clone(), keys)));
        Ok(Self { trusted, kind, validation, besides: Besides::default(), checks })
    }

    /// The rules, the first issuer's first.
    fn rules(&self) -> impl Iterator<Item = &Validation> {
        std::iter::once(&self.validation).chain(self.besides.validations())
    }

    fn of_this_process(&self, py: Python<'_>) -> PyResult<Arc<Checks>> {
        if let Some(checks) = self.checks.current(py) {
            return Ok(checks);
        }
        let keys = self.trusted.parts(py)?.keys;
        let checks = self.besides.checks(py, self.kind, self.validation.clone(), keys)?;
        Ok(self.checks.keep(py, checks))
    }
}

#[pymethods]
impl Verifier {
    /// A verifier of several issuers' access tokens, each by the rules of its own verifier. ``iss`` of a token chooses among them before any
    /// key is used; a token of another issuer is refused.
    ///
    /// Args:
    ///     verifiers: one for each issuer. One of them may introspect (:meth:`Client.introspecting_verifier`): it is asked about every
    ///         token that is not a JWT.
    ///
    /// Raises:
    ///     ConfigurationError: if two are for one issuer, two introspect, or one is for assertions.
    #[staticmethod]
    #[pyo3(signature = (*verifiers))]
    fn any_of(py: Python<'_>, verifiers: Vec<Bound<'_, Self>>) -> PyResult<Self> {
        Self::joined(py, &verifiers)
    }

    /// Verify an access token: signature, type, issuer, audience and times (RFC 9068 §4, RFC 8725).
    ///
    /// The interpreter is released while the signature is checked or keys are fetched.
    ///
    /// Args:
    ///     token: the token alone, without ``Bearer``.
    ///
    /// Raises:
    ///     InvalidToken: if it is not accepted; a subclass for each cause.
    ///     IssuerUnavailable: if there are no keys to check it with.
    fn verify(&self, py: Python<'_>, token: &Bound<'_, PyString>) -> PyResult<Py<claims::Claims>> {
        let checks = self.of_this_process(py)?;
        match checks.recall(text(token)?) {
            Ok(known) => known.object(py),
            Err(unverified) => {
                let answer = checks.verify(unverified);
                claims_or_error(py, Engine::of(py)?.wait(py, answer)?)
            }
        }
    }

    /// :meth:`verify`, to be awaited. A remembered token is answered at once; fetching keys never blocks the event loop.
    fn verify_async(this: Py<Self>, token: Py<PyString>) -> Coroutine {
        Coroutine::new("Verifier.verify_async", move |py, engine| {
            let checks = this.get().of_this_process(py)?;
            let unverified = match checks.recall(text(token.bind(py))?) {
                Ok(known) => return Ok(Step::Done(known.object(py).map(Py::into_any))),
                Err(unverified) => unverified.into_owned(),
            };
            let work: Work<Answer> = Box::pin(async move { checks.verify(unverified).await });
            Ok(match engine.attempt(work) {
                Ok(answer) => Step::Done(claims_or_error(py, answer).map(Py::into_any)),
                Err(work) => Step::Wait(Box::pin(async move {
                    let answer = work.await;
                    let outcome: Outcome =
                        Box::new(move |py| claims_or_error(py, answer).map(Py::into_any));
                    outcome
                })),
            })
        })
    }

    /// Issuer of the tokens: its identifier, or the gateway's public URL; of several issuers, the first.
    #[getter]
    fn issuer(&self) -> &str {
        self.trusted.issuer().as_str()
    }

    /// All issuers whose tokens are accepted.
    #[getter]
    fn issuers(&self) -> Vec<&str> {
        self.rules().map(|rules| rules.issuer().as_str()).collect()
    }

    /// The audiences accepted; of several issuers, those of all.
    #[getter]
    fn audience(&self) -> Vec<&str> {
        let mut audiences: Vec<&str> = Vec::new();
        for audience in self.rules().flat_map(Validation::audiences) {
            if !audiences.contains(&audience.as_str()) {
                audiences.push(audience);
            }
        }
        audiences
    }

    /// Kind of token that is verified: ``"access_token"``, or ``"assertion"`` of a gateway.
    #[getter]
    fn kind(&self) -> &'static str {
        match self.kind {
            Kind::AccessToken => "access_token",
            Kind::Assertion => "assertion",
        }
    }

    fn __repr__(&self) -> String {
        let audience = self.audience();
        match self.issuers().as_slice() {
            [issuer] => format!("doorward.Verifier(issuer={issuer:?}, audience={audience:?})"),
            issuers => format!("doorward.Verifier(issuers={issuers:?}, audience={audience:?})"),
        }
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
            "a Verifier",
            "make one in each process that needs it, or let the worker be forked",
        )
    }
}

fn claims_or_error(py: Python<'_>, answer: Answer) -> PyResult<Py<claims::Claims>> {
    match answer {
        Ok(known) => known.object(py),
        Err(refusal) => Err(errors::refusal(py, &refusal)),
    }
}

/// A token's text; surrogates, which no encoding of a request has, make it malformed.
fn text<'t>(token: &'t Bound<'_, PyString>) -> PyResult<&'t str> {
    token.to_str().map_err(|_| {
        let reason = "it is not Unicode text".to_owned();
        errors::refusal(token.py(), &TokenRefusal::Malformed { part: "token", reason })
    })
}

/// The rules for tokens of one issuer.
pub(crate) fn validation(
    py: Python<'_>,
    issuer: oidc_core::Issuer,
    audiences: Vec<String>,
    leeway: Duration,
    algorithms: Option<Texts>,
) -> PyResult<Validation> {
    let mut audiences = audiences.into_iter();
    let first = audiences.next().filter(|audience| !audience.is_empty()).ok_or_else(|| {
        let remedy = "pass the name by which the issuer's tokens call this service (`aud`)";
        errors::configuration(
            py,
            "audience",
            "no audience is accepted".to_owned(),
            remedy.to_owned(),
        )
    })?;
    if audiences.as_slice().iter().any(String::is_empty) {
        let remedy = "name each service as the issuer's tokens do (`aud`)".to_owned();
        let message = "an audience is empty".to_owned();
        return Err(errors::configuration(py, "audience", message, remedy));
    }
    if leeway > LONGEST_LEEWAY {
        let message = format!("a leeway of {leeway:?} accepts tokens long after their end");
        let remedy = format!("pass {LONGEST_LEEWAY:?} at most, and set the clocks");
        return Err(errors::configuration(py, "leeway", message, remedy));
    }
    let mut validation = Validation::new(issuer, first).with_leeway(leeway);
    for audience in audiences {
        validation = validation.with_audience(audience);
    }
    if let Some(Texts(names)) = algorithms {
        let parsed = names.iter().map(|name| name.parse::<Algorithm>());
        let remedy = || "name asymmetric algorithms only, like RS256 or ES256".to_owned();
        let algorithms = parsed.collect::<Result<Vec<_>, _>>().map_err(|error| {
            errors::configuration(py, "algorithms", error.to_string(), remedy())
        })?;
        if algorithms.is_empty() {
            let message = "no algorithm is accepted".to_owned();
            return Err(errors::configuration(py, "algorithms", message, remedy()));
        }
        validation = validation.with_algorithms(algorithms);
    }
    Ok(validation)
}
