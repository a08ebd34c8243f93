//! A token as a request presents it, and the check that its sender may use it: a plain bearer token
//! (RFC 6750 §2.1), one bound to the client's certificate (RFC 8705 §3), or one bound to the key of
//! a DPoP proof (RFC 9449 §7.1).
//!
//! A bound token is accepted with its proof only, at each request, remembered or not. The token is
//! read from `Authorization` only.

use std::fmt;
use std::time::Duration;

use ::http::{HeaderMap, Method, header};
use thiserror::Error;
use url::Url;

use crate::dpop::ProofRefusal;
use crate::refusal::TokenRefusal;

/// A token with the proofs of its sender.
///
/// ```
/// use oidc_core::verify::Presented;
/// let mut headers = http::HeaderMap::new();
/// headers.insert("authorization", http::HeaderValue::from_static("Bearer mF_9.B5f-4.1JqM"));
/// let presented = Presented::from_headers(&headers, &http::Method::GET, None)?;
/// assert!(presented.is_some());
///
/// headers.append("authorization", http::HeaderValue::from_static("Bearer another"));
/// assert!(Presented::from_headers(&headers, &http::Method::GET, None).is_err());
/// # Ok::<(), oidc_core::verify::InvalidRequest>(())
/// ```
#[derive(Clone)]
pub struct Presented<'r> {
    token: &'r str,
    pub(crate) scheme: Scheme<'r>,
    pub(crate) certificate: Option<&'r [u8]>,
}

#[derive(Clone)]
pub(crate) enum Scheme<'r> {
    Bearer,
    Dpop { proof: Result<&'r str, ProofRefusal>, method: &'r Method, uri: &'r Url },
}

/// The request is malformed (RFC 6750 §3.1, `invalid_request`): answer 400.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum InvalidRequest {
    /// More than one `Authorization`.
    #[error("the request has more than one Authorization header; send one")]
    SeveralAuthorizations,
    /// The scheme is supported, but is not followed by exactly one token (RFC 6750 §2.1,
    /// RFC 9449 §7.1).
    #[error("the Authorization header does not hold one token after its scheme")]
    MalformedAuthorization,
}

/// Reason a token is not accepted from this sender.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PresentationRefusal {
    /// The token is refused for every sender, or cannot be checked now.
    #[error(transparent)]
    Token(#[from] TokenRefusal),
    /// A token bound to a DPoP key came as a bearer token (RFC 9449 §7.2).
    #[error("the token is bound to a DPoP key; send it with the scheme DPoP and a proof")]
    ProofMissing,
    /// A token that is bound to no DPoP key came with the scheme DPoP (RFC 9449 §7.1).
    #[error("the token is bound to no DPoP key; ask for it with a proof, or send it as Bearer")]
    NotBound,
    /// DPoP is not accepted here.
    #[error("the token is bound to a DPoP key, and proofs are not accepted here")]
    DpopNotAccepted,
    /// The proof does not hold (RFC 9449 §4.3).
    #[error(transparent)]
    Proof(#[from] ProofRefusal),
    /// The token is bound to a certificate, and the connection has none (RFC 8705 §3).
    #[error(
        "the token is bound to a client certificate; connect with that certificate (mutual TLS)"
    )]
    CertificateMissing,
    /// The token is bound to another certificate than the connection's (RFC 8705 §3).
    #[error("the token is bound to another client certificate than the one of this connection")]
    WrongCertificate,
}

impl PresentationRefusal {
    /// The names that [`code`](Self::code) returns, beside those of [`TokenRefusal::CODES`] and [`ProofRefusal::CODES`].
    pub const CODES: &'static [&'static str] =
        &["not_bound", "dpop_not_accepted", "certificate_missing", "wrong_certificate"];

    /// A stable name of the cause, for logs, metrics and programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Token(refusal) => refusal.code(),
            Self::ProofMissing => "proof_missing",
            Self::NotBound => "not_bound",
            Self::DpopNotAccepted => "dpop_not_accepted",
            Self::Proof(refusal) => refusal.code(),
            Self::CertificateMissing => "certificate_missing",
            Self::WrongCertificate => "wrong_certificate",
        }
    }

    /// Whether the token could not be checked now: answer 503 and not 401.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Token(refusal) => refusal.is_unavailable(),
            Self::Proof(refusal) => matches!(refusal, ProofRefusal::MemoryUnavailable { .. }),
            _ => false,
        }
    }

    /// Wait before trying again, if the token could not be checked and the wait is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Token(refusal) => refusal.retry_after(),
            Self::Proof(ProofRefusal::MemoryUnavailable { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }
}

impl<'r> Presented<'r> {
    /// A token sent with the scheme `Bearer`.
    pub fn bearer(token: &'r str) -> Self {
        Self { token, scheme: Scheme::Bearer, certificate: None }
    }

    /// A token sent with the scheme `DPoP` and the header `DPoP: <proof>`, by `method` to `uri`:
    /// the address as the client sees it. Query and fragment are ignored.
    pub fn dpop(token: &'r str, proof: &'r str, method: &'r Method, uri: &'r Url) -> Self {
        Self { token, scheme: Scheme::Dpop { proof: Ok(proof), method, uri }, certificate: None }
    }

    /// Adds a certificate, in DER, whose key the client proved to hold: in the TLS handshake of
    /// this connection, or according to a trusted proxy that terminates TLS.
    #[must_use]
    pub fn with_certificate(mut self, der: &'r [u8]) -> Self {
        self.certificate = Some(der);
        self
    }

    /// Reads the token and proof in `headers`; `None` without `Authorization`, or with an
    /// unsupported scheme. `uri` is the address of the request as the client sees it, which the
    /// proof must name; without it only `Bearer` is supported.
    ///
    /// # Errors
    /// [`InvalidRequest`]: answer 400.
    pub fn from_headers(
        headers: &'r HeaderMap,
        method: &'r Method,
        uri: Option<&'r Url>,
    ) -> Result<Option<Self>, InvalidRequest> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(InvalidRequest::SeveralAuthorizations);
        }
        let (scheme, token) = split(value.as_bytes());
        let scheme = if scheme.eq_ignore_ascii_case(b"Bearer") {
            Scheme::Bearer
        } else if let Some(uri) = uri.filter(|_| scheme.eq_ignore_ascii_case(b"DPoP")) {
            Scheme::Dpop { proof: proof(headers), method, uri }
        } else {
            return Ok(None);
        };
        let token = std::str::from_utf8(token).ok().filter(|token| is_token(token));
        let token = token.ok_or(InvalidRequest::MalformedAuthorization)?;
        Ok(Some(Self { token, scheme, certificate: None }))
    }

    /// The token itself.
    pub fn token(&self) -> &'r str {
        self.token
    }

    /// Whether the scheme is DPoP.
    pub(crate) fn is_dpop(&self) -> bool {
        matches!(self.scheme, Scheme::Dpop { .. })
    }
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented")
            .field("dpop", &self.is_dpop())
            .field("certificate", &self.certificate.is_some())
            .finish_non_exhaustive()
    }
}

/// Splits a value into the scheme and the rest after spaces.
fn split(value: &[u8]) -> (&[u8], &[u8]) {
    let end = value.iter().position(|octet| *octet == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at(end);
    let start = rest.iter().position(|octet| *octet != b' ').unwrap_or(rest.len());
    (scheme, rest.split_at(start).1)
}

/// `b64token` (RFC 6750 §2.1, RFC 9110 §11.2 `token68`).
fn is_token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty()
        && body.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._~+/".contains(&octet))
}

/// Exactly one header `DPoP` (RFC 9449 §4.3).
fn proof(headers: &HeaderMap) -> Result<&str, ProofRefusal> {
    let mut values = headers.get_all("dpop").iter();
    let value = values.next().ok_or(ProofRefusal::Missing)?;
    if values.next().is_some() {
        return Err(ProofRefusal::Several);
    }
    // Not text: an empty proof, which is refused as malformed when parsed.
    Ok(value.to_str().unwrap_or_default())
}
