//! Other issuers that a verifier trusts, and the introspection of tokens that only their issuer can read (RFC 7662).

use std::sync::Arc;

use oidc_core::Validation;
use oidc_core::client::{ClientAuth, TokenEndpoint};
use oidc_core::keys::RemoteKeys;
use oidc_core::verify::Introspection;
use pyo3::prelude::*;

use super::{Checks, Kind, Verifier};
use crate::engine::PerProcess;
use crate::errors;
use crate::trusted::Trusted;

/// The client that introspects tokens, and how it takes the answers.
#[derive(Clone)]
pub(crate) struct Introspects {
    pub(crate) client_id: String,
    pub(crate) auth: ClientAuth,
    pub(crate) dangerous_without_audience: bool,
}

/// An issuer and its rules.
#[derive(Clone)]
struct Issuer {
    trusted: Arc<Trusted>,
    validation: Validation,
}

/// Settings of a verifier besides its first issuer.
#[derive(Clone, Default)]
pub(super) struct Besides {
    others: Vec<Issuer>,
    introspection: Option<(Issuer, Introspects)>,
}

impl Besides {
    /// The checks of this process; `validation` and `keys` are those of the first issuer.
    pub(super) fn checks(
        &self,
        py: Python<'_>,
        kind: Kind,
        validation: Validation,
        keys: Arc<RemoteKeys>,
    ) -> PyResult<Arc<Checks>> {
        let mut verifier = match kind.checks(validation, keys) {
            Checks::Token(verifier) => verifier,
            assertions @ Checks::Assertion(_) => return Ok(Arc::new(assertions)),
        };
        for Issuer { trusted, validation } in &self.others {
            verifier = verifier.with_issuer(validation.clone(), trusted.parts(py)?.keys);
        }
        if let Some((issuer, introspects)) = &self.introspection {
            verifier = verifier.with_introspection(introspects.introspection(py, issuer)?);
        }
        Ok(Arc::new(Checks::Token(verifier)))
    }

    /// The other issuers' rules.
    pub(super) fn validations(&self) -> impl Iterator<Item = &Validation> {
        self.others.iter().map(|issuer| &issuer.validation)
    }
}

impl Introspects {
    fn introspection(&self, py: Python<'_>, issuer: &Issuer) -> PyResult<Introspection> {
        let provider = issuer.trusted.parts(py)?.provider;
        let endpoint = TokenEndpoint::new(provider, self.client_id.as_str(), self.auth.clone());
        let introspection = Introspection::new(endpoint, issuer.validation.clone());
        Ok(match self.dangerous_without_audience {
            true => introspection.dangerous_without_audience(),
            false => introspection,
        })
    }
}

impl Verifier {
    /// The same, which introspects tokens that are not JWTs.
    pub(crate) fn introspecting(self, py: Python<'_>, by: Introspects) -> PyResult<Self> {
        let introspection = Some((self.first(), by));
        let besides = Besides { introspection, ..self.besides.clone() };
        self.with(py, besides)
    }

    /// A verifier of all these issuers' tokens; `iss` chooses.
    pub(super) fn joined(py: Python<'_>, verifiers: &[Bound<'_, Self>]) -> PyResult<Self> {
        let wrong = |message: String, remedy: &str| {
            Err(errors::configuration(py, "verifiers", message, remedy.to_owned()))
        };
        let Some((first, rest)) = verifiers.split_first() else {
            return wrong("no verifier is given".to_owned(), "pass a verifier for each issuer");
        };
        let first = first.get();
        let mut besides = first.besides.clone();
        for verifier in rest.iter().map(Bound::get) {
            besides.others.push(verifier.first());
            besides.others.extend(verifier.besides.others.iter().cloned());
            match (&besides.introspection, &verifier.besides.introspection) {
                // An opaque token does not name its issuer.
                (Some(_), Some(_)) => {
                    let remedy = "let the verifier of one issuer introspect";
                    return wrong("two verifiers introspect opaque tokens".to_owned(), remedy);
                }
                (None, Some(_)) => besides.introspection = verifier.besides.introspection.clone(),
                (_, None) => {}
            }
        }
        if verifiers.iter().any(|verifier| matches!(verifier.get().kind, Kind::Assertion)) {
            let remedy = "pass verifiers of access tokens, made by Issuer(…).verifier(…)";
            return wrong("the verifier of a gateway's assertions".to_owned(), remedy);
        }
        let mut seen = vec![first.validation.issuer()];
        for issuer in besides.validations().map(Validation::issuer) {
            if seen.contains(&issuer) {
                let message = format!("two verifiers are for the issuer {issuer}");
                return wrong(message, "make one verifier for each issuer, with all its audiences");
            }
            seen.push(issuer);
        }
        first.with(py, besides)
    }

    fn first(&self) -> Issuer {
        Issuer { trusted: Arc::clone(&self.trusted), validation: self.validation.clone() }
    }

    fn with(&self, py: Python<'_>, besides: Besides) -> PyResult<Self> {
        let (trusted, validation) = (Arc::clone(&self.trusted), self.validation.clone());
        let keys = trusted.parts(py)?.keys;
        let checks = besides.checks(py, self.kind, validation.clone(), keys)?;
        Ok(Self { trusted, kind: self.kind, validation, besides, checks: PerProcess::new(checks) })
    }
}
