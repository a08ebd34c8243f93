//! Reads the answer to an authorization request ([OpenID Connect Core 1.0 §3.1.2.5]; RFC 9207).
//!
//! | to … | use |
//! |---|---|
//! | find the login that an answer belongs to | [`state`] |
//! | check an answer | [`Client::parse_callback`](crate::Client::parse_callback) → [`Code`], or [`parse`] |
//! | answer a refused one | [`CallbackRefusal::code`] |
//!
//! `state` is compared first and in constant time, then `iss`; only then is the answer's error or
//! code read. An answer with a repeated parameter is refused. When the provider was asked to sign
//! its answer (JARM), an unsigned one is refused. This module opens no connection.
//!
//! ```
//! use oidc_core::login::callback;
//!
//! let query = "code=SplxlOBeZQQYbYS6WxSbIA&state=af0ifjsldkj&iss=https%3A%2F%2Fid.example";
//! assert_eq!(callback::state(query).as_deref(), Some("af0ifjsldkj"));
//! ```
//!
//! [OpenID Connect Core 1.0 §3.1.2.5]: https://openid.net/specs/openid-connect-core-1_0.html#AuthResponse

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

use crate::foreign_text::{bounded, quoted};
use crate::login::PendingLogin;
use crate::provider::{ProviderError, ProviderMetadata};
use crate::refusal::TokenRefusal;
use crate::secret::Secret;

mod signed;

pub(crate) use signed::parse_signed;

/// Size limit of a query, in bytes.
const MAX_QUERY: usize = 16 * 1024;

/// Limit on the number of parameters.
const MAX_PARAMETERS: usize = 32;

/// An authorization code whose answer passed every check; exchanged once.
///
/// Made by [`parse`] only.
#[derive(Clone)]
pub struct Code(Secret);

impl Code {
    pub(crate) fn into_secret(self) -> Secret {
        self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}

/// Reason an answer to an authorization request is not accepted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallbackRefusal {
    /// Larger than a valid answer can be.
    #[error("the answer is too large; begin the login again")]
    TooLarge,
    /// A parameter is repeated.
    #[error("the answer holds {parameter} twice; begin the login again")]
    Duplicate {
        /// The parameter's name, cut and escaped.
        parameter: String,
    },
    /// No `state`.
    #[error("the answer holds no state; begin the login again")]
    MissingState,
    /// `state` belongs to another login, or to none.
    #[error("the answer does not belong to this login; begin the login again")]
    WrongState,
    /// No `iss`, although the provider says it sends one (RFC 9207 §2.4).
    #[error("the answer does not name its issuer, although the provider says it does")]
    MissingIssuer,
    /// `iss` is another issuer: an attempt at mix-up.
    #[error("the answer comes from {found}, not from {expected}; begin the login again")]
    WrongIssuer {
        /// The issuer that was asked.
        expected: String,
        /// `iss`, cut and escaped.
        found: String,
    },
    /// The provider refused (RFC 6749 §4.1.2.1).
    #[error("the provider refused the login: {error}{}", description.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Provider {
        /// `error`, cut and escaped.
        error: String,
        /// `error_description`, cut and escaped.
        description: Option<String>,
    },
    /// Neither code nor error.
    #[error("the answer holds no code; begin the login again")]
    MissingCode,
    /// The provider was asked to sign its answer, but this one is not signed.
    #[error("the answer is not signed, although that was asked for; begin the login again")]
    NotSigned,
    /// The signed answer is refused (JARM §2.4).
    #[error("the signed answer is refused: {0}")]
    Response(#[source] TokenRefusal),
    /// The provider's metadata is missing, so the answer cannot be checked.
    #[error(transparent)]
    Unavailable(#[from] ProviderError),
}

impl CallbackRefusal {
    /// A stable name of the cause, for logs, metrics and programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Duplicate { .. } => "duplicate_parameter",
            Self::MissingState => "missing_state",
            Self::WrongState => "wrong_state",
            Self::MissingIssuer => "missing_issuer",
            Self::WrongIssuer { .. } => "wrong_issuer",
            Self::Provider { .. } => "provider_error",
            Self::MissingCode => "missing_code",
            Self::NotSigned => "not_signed",
            Self::Response(refusal) => refusal.code(),
            Self::Unavailable(_) => "provider_unavailable",
        }
    }
}

/// `state` of an answer, signed or not, without any check; use it only to find the login.
///
/// ```
/// assert_eq!(oidc_core::login::callback::state("code=a&state=b").as_deref(), Some("b"));
/// ```
pub fn state(query: &str) -> Option<String> {
    let query = Query::read(query).ok()?;
    match query.value("response") {
        Some(response) => signed::claimed_state(response),
        None => query.value("state").map(str::to_owned),
    }
}

/// Checks the query of a callback against the login it must belong to. Has no keys, so it refuses
/// every answer to a login that asked for a signed one; use [`Client::parse_callback`] for those.
///
/// # Errors
/// [`CallbackRefusal`] with the first check that failed.
///
/// [`Client::parse_callback`]: crate::Client::parse_callback
pub fn parse(
    query: &str,
    pending: &PendingLogin,
    metadata: &ProviderMetadata,
) -> Result<Code, CallbackRefusal> {
    parse_of(query, pending, metadata, |issuer| issuer == metadata.issuer.as_str())
}

/// [`parse`] for a provider whose issuers `is_issuer` knows.
pub(crate) fn parse_of(
    query: &str,
    pending: &PendingLogin,
    metadata: &ProviderMetadata,
    is_issuer: impl Fn(&str) -> bool,
) -> Result<Code, CallbackRefusal> {
    let query = Query::read(query)?;
    belongs(query.value("state"), pending)?;
    if pending.signed_response {
        return Err(CallbackRefusal::NotSigned);
    }
    match query.value("iss") {
        Some(issuer) if is_issuer(issuer) => {}
        Some(issuer) => {
            return Err(CallbackRefusal::WrongIssuer {
                expected: metadata.issuer.to_string(),
                found: quoted(issuer),
            });
        }
        None if metadata.authorization_response_iss_parameter_supported => {
            return Err(CallbackRefusal::MissingIssuer);
        }
        None => {}
    }
    outcome(|name| query.value(name))
}

/// Checks that `state` belongs to this login.
fn belongs(state: Option<&str>, pending: &PendingLogin) -> Result<(), CallbackRefusal> {
    match state {
        None => Err(CallbackRefusal::MissingState),
        Some(state) if !pending.state.matches(state) => Err(CallbackRefusal::WrongState),
        Some(_) => Ok(()),
    }
}

/// The code or the provider's error from an answer whose checks passed.
fn outcome<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Result<Code, CallbackRefusal> {
    if let Some(error) = value("error") {
        let description = value("error_description").map(bounded);
        return Err(CallbackRefusal::Provider { error: bounded(error), description });
    }
    match value("code") {
        Some(code) if !code.is_empty() => Ok(Code(Secret::from(code))),
        _ => Err(CallbackRefusal::MissingCode),
    }
}

/// Parameters, each once.
struct Query<'q>(Vec<(Cow<'q, str>, Cow<'q, str>)>);

impl<'q> Query<'q> {
    fn read(query: &'q str) -> Result<Self, CallbackRefusal> {
        if query.len() > MAX_QUERY {
            return Err(CallbackRefusal::TooLarge);
        }
        let mut parameters: Vec<(Cow<'q, str>, Cow<'q, str>)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if parameters.len() == MAX_PARAMETERS {
                return Err(CallbackRefusal::TooLarge);
            }
            if parameters.iter().any(|(other, _)| *other == name) {
                return Err(CallbackRefusal::Duplicate { parameter: quoted(&name) });
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_ref())
    }
}
