//! Rust error → Python exception: one match for each error of the libraries.
//!
//! The classes are Python (`doorward._errors`), so that they read, pickle and document like any other. The message is the
//! error's own text; the remedy is written here in terms of the Python package.

use std::time::Duration;

use m2m::TokenError;
use oidc_core::TokenRefusal;
use oidc_core::client::TokenEndpointError;
use oidc_core::http::reqwest::HttpSetupError;
use oidc_core::provider::{InvalidHttpHost, InvalidIssuer, IssuerMisconfigured};
use oidc_core::token::Algorithm;
use py_values::with_causes;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// An exception to be raised: its class and facts.
struct Raised<'py> {
    class: &'static str,
    facts: Bound<'py, PyDict>,
}

impl<'py> Raised<'py> {
    fn new(py: Python<'py>, class: &'static str, remedy: impl Into<String>) -> PyResult<Self> {
        let facts = PyDict::new(py);
        facts.set_item("remedy", remedy.into())?;
        Ok(Self { class, facts })
    }

    fn with(self, name: &str, value: impl IntoPyObject<'py>) -> PyResult<Self> {
        self.facts.set_item(name, value)?;
        Ok(self)
    }

    fn error(self, message: &str) -> PyResult<PyErr> {
        let class = self.facts.py().import("doorward._errors")?.getattr(self.class)?;
        Ok(PyErr::from_value(class.call((message,), Some(&self.facts))?))
    }
}

/// The exception, or the one that was raised while it was made.
fn either(error: PyResult<PyErr>) -> PyErr {
    error.unwrap_or_else(|error| error)
}

/// `InvalidToken` with a class for each cause, or `IssuerUnavailable` when nothing is known to be wrong with the token.
pub(crate) fn refusal(py: Python<'_>, refusal: &TokenRefusal) -> PyErr {
    let message = refusal.mistake().map_or_else(|| refusal.to_string(), problem);
    either(
        refused(py, refusal)
            .and_then(|raised| raised.with("code", refusal.code())?.error(&message)),
    )
}

fn refused<'py>(py: Python<'py>, refusal: &TokenRefusal) -> PyResult<Raised<'py>> {
    let raise = |class, remedy: &str| Raised::new(py, class, remedy);
    let clocks = "compare the clocks of this machine and of the issuer";
    match refusal {
        TokenRefusal::TooLarge { .. } => {
            raise("TokenTooLarge", "ask the issuer for a smaller token: fewer roles or mappers")
        }
        TokenRefusal::Malformed { .. } => {
            raise("MalformedToken", "pass the token alone, without \"Bearer \" and unmodified")
        }
        // Only a known algorithm can be named.
        TokenRefusal::AlgorithmNotAllowed { alg, .. } => raise(
            "AlgorithmNotAllowed",
            match alg.parse::<Algorithm>() {
                Ok(_) => "have the issuer sign with an accepted algorithm, or name this one in algorithms=",
                Err(_) => "have the issuer sign with an algorithm that the message names",
            },
        ),
        TokenRefusal::HeaderNotAllowed { .. } => {
            raise("HeaderNotAllowed", "send a plain signed JWT")
        }
        TokenRefusal::WrongType { .. } => raise(
            "WrongTokenType",
            "send the access token, not the ID or refresh token; for RFC 9068 tokens only, pass profile=\"rfc9068\"",
        ),
        TokenRefusal::SenderConstrained => {
            raise("SenderConstrained", "ask the issuer for a token that is not bound to a key")
        }
        TokenRefusal::UnknownKey { .. } => {
            raise("UnknownKey", "get a fresh token, from the issuer this verifier trusts")
        }
        TokenRefusal::BadSignature => {
            raise("BadSignature", "send the token unmodified, from the issuer this verifier trusts")
        }
        TokenRefusal::InvalidClaim { claim, .. } => {
            let remedy = match *claim {
                "scope" => "have the issuer write `scope` as words in one text (RFC 9068 §2.2.3), or as a list of texts",
                _ => "have the issuer write the claim as the standard says",
            };
            raise("InvalidClaim", remedy)?.with("claim", *claim)
        }
        TokenRefusal::MissingClaim { claim } => {
            let remedy = match *claim {
                "cnf" => "have the issuer name the key that the token is bound to (RFC 9449 §6), or ask for an unbound token",
                _ => "have the issuer add the claim",
            };
            raise("MissingClaim", remedy)?.with("claim", *claim)
        }
        TokenRefusal::ForbiddenClaim { claim } => {
            raise("ForbiddenClaim", "send an access token")?.with("claim", *claim)
        }
        TokenRefusal::WrongIssuer { .. } => {
            raise("WrongIssuer", "get the token from the issuer this verifier trusts, by the same URL")
        }
        TokenRefusal::WrongAudience { expected, found } => raise(
            "WrongAudience",
            "at the issuer, add an audience mapper to the client that asks for the token; or pass what it says to verifier(audience=…)",
        )?
        .with("expected", PyTuple::new(py, expected)?)?
        .with("found", PyTuple::new(py, found.iter().map(|name| name.trim_matches('"')))?),
        TokenRefusal::Expired { expires_at, .. } => {
            raise("TokenExpired", "get a fresh token; if it is fresh, compare the clocks")?
                .with("expires_at", *expires_at)
        }
        TokenRefusal::NotYetValid { .. } => raise("TokenNotYetValid", clocks),
        TokenRefusal::IssuedInFuture { .. } => raise("TokenIssuedInFuture", clocks),
        TokenRefusal::WrongAuthorizedParty { .. } => {
            raise("WrongAuthorizedParty", "use the ID token at the client it was made for")
        }
        TokenRefusal::WrongNonce => raise("WrongNonce", "start the login again"),
        TokenRefusal::WrongHash { claim } => {
            raise("WrongHash", "start the login again")?.with("claim", *claim)
        }
        TokenRefusal::WrongSubject => raise("WrongSubject", "sign in as the person expected"),
        TokenRefusal::AuthenticationTooOld { .. } => {
            raise("AuthenticationTooOld", "sign in again")
        }
        TokenRefusal::Inactive => raise("TokenInactive", "get a fresh token"),
        TokenRefusal::IssuerMisconfigured(mistake) => misconfigured(py, mistake),
        TokenRefusal::KeysUnavailable { retry_after, .. }
        | TokenRefusal::IntrospectionUnavailable { retry_after, .. } => {
            unavailable(py, *retry_after)
        }
        // Refusals that a later version of `oidc-core` adds.
        _ => raise("InvalidToken", "see the message"),
    }
}

fn misconfigured<'py>(py: Python<'py>, mistake: &IssuerMisconfigured) -> PyResult<Raised<'py>> {
    Raised::new(py, "IssuerMisconfigured", mistake.remedy)?.with("member", mistake.member)
}

/// The message of a mistake: its remedy is shown beside it.
fn problem(mistake: &IssuerMisconfigured) -> String {
    format!(
        "the issuer {} is misconfigured: `{}`: {}",
        mistake.issuer, mistake.member, mistake.problem
    )
}

fn unavailable(py: Python<'_>, retry_after: Option<Duration>) -> PyResult<Raised<'_>> {
    Raised::new(
        py,
        "IssuerUnavailable",
        "try again later; if it stays so, check the issuer's URL and the network",
    )?
    .with("retry_after", retry_after.map(|after| after.as_secs_f64()))
}

/// `TokenRequestRefused`, `IssuerUnavailable`, or `ConfigurationError` when this side's credentials cannot be used.
pub(crate) fn token_request(py: Python<'_>, error: &TokenError) -> PyErr {
    let endpoint = match error {
        TokenError::Unavailable { source, .. } | TokenError::Refused { source } => source,
        error => {
            return either(
                unavailable(py, error.retry_after())
                    .and_then(|raised| raised.error(&error.to_string())),
            );
        }
    };
    if let TokenEndpointError::IdToken(refused) = endpoint {
        return refusal(py, refused);
    }
    if let TokenEndpointError::Misconfigured(mistake) = endpoint {
        return either(
            misconfigured(py, mistake).and_then(|raised| raised.error(&problem(mistake))),
        );
    }
    either(
        not_given(py, endpoint, error.retry_after())
            .and_then(|raised| raised.error(&endpoint.to_string())),
    )
}

fn not_given<'py>(
    py: Python<'py>,
    error: &TokenEndpointError,
    retry_after: Option<Duration>,
) -> PyResult<Raised<'py>> {
    let refused = |code: &str, remedy: &str, description: &Option<String>| {
        Raised::new(py, "TokenRequestRefused", remedy)?
            .with("error", code)?
            .with("description", description.as_deref())
    };
    match error {
        TokenEndpointError::InvalidClient { description, status } => refused(
            "invalid_client",
            "check client id, secret or key, and how the client authenticates at the issuer",
            description,
        )?
        .with("status", *status),
        TokenEndpointError::InvalidGrant { description, status } => refused(
            "invalid_grant",
            "pass a token that is still good, or sign in again",
            description,
        )?
        .with("status", *status),
        TokenEndpointError::OAuth { error, description, status } => refused(
            error,
            "allow this client the grant, scope and audience it asks for, or ask for less",
            description,
        )?
        .with("status", *status),
        TokenEndpointError::NotSupported { .. } => {
            refused("not_supported", "check the issuer's URL and what the issuer offers", &None)
        }
        TokenEndpointError::Unavailable { retry_after: asked, .. } => {
            unavailable(py, retry_after.or(*asked))
        }
        TokenEndpointError::InvalidResponse { .. } => unavailable(py, retry_after),
        TokenEndpointError::ClientAuth(_) => Raised::new(
            py,
            "ConfigurationError",
            "check the client's secret, key or assertion here",
        )?
        .with("code", "client_authentication"),
        _ => refused("unusable", "see the message", &None),
    }
}

/// `IssuerUnavailable` for a call that may succeed later.
pub(crate) fn unavailable_for_now(
    py: Python<'_>,
    message: &str,
    retry_after: Option<Duration>,
) -> PyErr {
    either(unavailable(py, retry_after).and_then(|raised| raised.error(message)))
}

/// `LoginRefused`; with `error` and `error_description` of the issuer's answer, if it refused.
pub(crate) fn login_refused(
    py: Python<'_>,
    code: &str,
    message: &str,
    remedy: &str,
    answer: Option<(&str, Option<&str>)>,
) -> PyErr {
    let raised = Raised::new(py, "LoginRefused", remedy).and_then(|raised| {
        let raised = raised.with("code", code)?;
        match answer {
            Some((error, description)) => {
                raised.with("error", error)?.with("description", description)
            }
            None => Ok(raised),
        }
    });
    either(raised.and_then(|raised| raised.error(message)))
}

/// The URL is not an issuer identifier.
pub(crate) fn invalid_issuer(py: Python<'_>, error: &InvalidIssuer) -> PyErr {
    let remedy =
        "write the issuer as it stands in its own metadata, like https://id.example/realms/name";
    configuration(py, "issuer", error.to_string(), remedy.to_owned())
}

/// A host for plain `http` is not a host.
pub(crate) fn invalid_http_host(py: Python<'_>, error: &InvalidHttpHost) -> PyErr {
    let remedy = "pass names or addresses, like dangerous_allow_http=[\"keycloak\"]".to_owned();
    configuration(py, "dangerous_allow_http", error.to_string(), remedy)
}

/// The other address of an issuer is not a URL.
pub(crate) fn invalid_discovery_url(py: Python<'_>, error: &url::ParseError) -> PyErr {
    let remedy =
        "pass where the issuer is reached, like discovery_url=\"http://keycloak:8080/realms/name\"";
    let message = format!("discovery_url is not a URL: {error}");
    configuration(py, "discovery_url", message, remedy.to_owned())
}

/// The HTTP client cannot be made.
pub(crate) fn http_setup(py: Python<'_>, error: &HttpSetupError) -> PyErr {
    let remedy = "pass ca_file= or set SSL_CERT_FILE to a PEM file of certificates".to_owned();
    configuration(py, "http", with_causes(error), remedy)
}

/// `ConfigurationError`.
pub(crate) fn configuration(py: Python<'_>, code: &str, message: String, remedy: String) -> PyErr {
    either(
        Raised::new(py, "ConfigurationError", remedy)
            .and_then(|raised| raised.with("code", code)?.error(&message)),
    )
}
