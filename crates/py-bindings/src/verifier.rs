//! `Verifier`: tokens of one issuer for one audience.
//!
//! A token that was verified before is answered from memory, with the interpreter held since there is nothing to wait for. Any other
//! is verified on the caller's thread with the interpreter released.

use std::sync::Arc;
use std::time::Duration;

use oidc_core::{AccessToken, Algorithm, Profile, TokenRefusal, Validation, Verified};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::arguments::{Texts, refuse_pickling};
use crate::claims::{self, Claims};
use crate::coroutine::{Coroutine, Step};
use crate::engine::{Engine, Outcome, PerProcess, Work};
use crate::errors;
use crate::issuer::Issuer;

/// More would accept tokens long after their end.
const LONGEST_LEEWAY: Duration = Duration::from_secs(300);

/// Verifies access tokens of one issuer for one audience; see `Issuer.verifier`.
///
/// Verified tokens are remembered until they end or the issuer's keys change. Share one between threads, tasks and forked workers.
#[pyclass(frozen, module = "doorward")]
pub(crate) struct Verifier {
    issuer: Py<Issuer>,
    validation: Validation,
    verifier: PerProcess<oidc_core::Verifier>,
}

type Answer = Result<Arc<Verified<AccessToken>>, TokenRefusal>;

impl Verifier {
    pub(crate) fn new(
        py: Python<'_>,
        issuer: Py<Issuer>,
        audiences: Vec<String>,
        profile: &str,
        leeway: Duration,
        algorithms: Option<Texts>,
    ) -> PyResult<Self> {
        let identifier = issuer.get().identifier().clone();
        let validation = validation(py, identifier, audiences, profile, leeway, algorithms)?;
        let keys = issuer.get().parts(py)?.keys;
        let verifier = PerProcess::new(oidc_core::Verifier::new(validation.clone(), keys));
        Ok(Self { issuer, validation, verifier })
    }

    fn of_this_process(&self, py: Python<'_>) -> PyResult<oidc_core::Verifier> {
        if let Some(verifier) = self.verifier.current(py) {
            return Ok(verifier);
        }
        let keys = self.issuer.get().parts(py)?.keys;
        Ok(self.verifier.keep(py, oidc_core::Verifier::new(self.validation.clone(), keys)))
    }
}

#[pymethods]
impl Verifier {
    fn verify(&self, py: Python<'_>, token: &Bound<'_, PyString>) -> PyResult<Py<Claims>> {
        let verifier = self.of_this_process(py)?;
        let token = text(token)?;
        if let Some(verified) = verifier.cached(token) {
            return claims::of(py, &verified);
        }
        let answer = Engine::of(py)?.wait(py, verifier.access_token(token))?;
        tell(py, answer)
    }

    fn verify_async(this: Py<Self>, token: Py<PyString>) -> Coroutine {
        Coroutine::new("Verifier.verify_async", move |py, engine| {
            let verifier = this.get().of_this_process(py)?;
            let token = text(token.bind(py))?;
            if let Some(verified) = verifier.cached(token) {
                return Ok(Step::Done(claims::of(py, &verified).map(Py::into_any)));
            }
            let token = token.to_owned();
            let work: Work<Answer> = Box::pin(async move { verifier.access_token(&token).await });
            Ok(match engine.attempt(work) {
                Ok(answer) => Step::Done(tell(py, answer).map(Py::into_any)),
                Err(work) => Step::Wait(Box::pin(async move {
                    let answer = work.await;
                    let outcome: Outcome = Box::new(move |py| tell(py, answer).map(Py::into_any));
                    outcome
                })),
            })
        })
    }

    #[getter]
    fn issuer(&self, py: Python<'_>) -> Py<Issuer> {
        self.issuer.clone_ref(py)
    }

    #[getter]
    fn audience(&self) -> Vec<&str> {
        self.validation.audiences().iter().map(String::as_str).collect()
    }

    fn __repr__(&self) -> String {
        let issuer = self.validation.issuer().as_str();
        format!("doorward.Verifier(issuer={issuer:?}, audience={:?})", self.validation.audiences())
    }

    fn __reduce__(&self) -> PyResult<()> {
        refuse_pickling(
            "a Verifier",
            "make one in each process that needs it, or let the worker be forked",
        )
    }
}

fn tell(py: Python<'_>, answer: Answer) -> PyResult<Py<Claims>> {
    match answer {
        Ok(verified) => claims::of(py, &verified),
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

fn validation(
    py: Python<'_>,
    issuer: oidc_core::Issuer,
    audiences: Vec<String>,
    profile: &str,
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
    let profile = match profile {
        "keycloak" => Profile::Keycloak,
        "rfc9068" => Profile::Rfc9068,
        other => {
            let message = format!("the profile {other:?} is not known");
            let remedy = "pass \"keycloak\" or \"rfc9068\"".to_owned();
            return Err(errors::configuration(py, "profile", message, remedy));
        }
    };
    if leeway > LONGEST_LEEWAY {
        let message = format!("a leeway of {leeway:?} accepts tokens long after their end");
        let remedy = format!("pass {LONGEST_LEEWAY:?} at most, and set the clocks");
        return Err(errors::configuration(py, "leeway", message, remedy));
    }
    let mut validation = Validation::new(issuer, first).with_profile(profile).with_leeway(leeway);
    for audience in audiences {
        validation = validation.with_audience(audience);
    }
    if let Some(Texts(names)) = algorithms {
        let parsed = names.iter().map(|name| name.parse::<Algorithm>());
        let algorithms = parsed.collect::<Result<Vec<_>, _>>().map_err(|error| {
            let remedy = "name asymmetric algorithms only, like RS256 or ES256".to_owned();
            errors::configuration(py, "algorithms", error.to_string(), remedy)
        })?;
        validation = validation.with_algorithms(algorithms);
    }
    Ok(validation)
}
