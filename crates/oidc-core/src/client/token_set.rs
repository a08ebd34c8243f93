//! Answers of the token endpoint (RFC 6749 §5, OpenID Connect Core 1.0 §3.1.3.3).

use std::time::{Duration, SystemTime};

use http::StatusCode;
use oauth2::basic::BasicErrorResponse;
use thiserror::Error;

use crate::client::ClientAuthError;
use crate::foreign_text::bounded;
use crate::http::HttpError;
use crate::provider::{IssuerMisconfigured, ProviderError};
use crate::refusal::TokenRefusal;
use crate::secret::Secret;
use crate::token::Scope;

mod answer;

pub(super) use answer::seconds;

/// Limit on lifetimes, so that sums of times never overflow.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Tokens from the token endpoint.
///
/// ```
/// use oidc_core::Secret;
/// use oidc_core::client::TokenSet;
/// let tokens = TokenSet::new(Secret::from("2YotnFZFEjr1zCsicMWpAA"));
/// assert!(!format!("{tokens:?}").contains("2Yotn"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenSet {
    /// For resource servers. Opaque to this client.
    pub access_token: Secret,
    /// For the next token set. Absent in a refresh answer: the one that was sent stays valid.
    pub refresh_token: Option<Secret>,
    /// Identifies the person who logged in. Not verified yet.
    pub id_token: Option<Secret>,
    /// Time the access token expires: by `expires_in`; without one, by the token's own `exp` if it
    /// is a JWT; else unknown.
    pub expires_at: Option<SystemTime>,
    /// Time the refresh token expires, if the provider says so (Keycloak: `refresh_expires_in`).
    pub refresh_expires_at: Option<SystemTime>,
    /// The scope granted. Absent: the scope requested.
    pub scope: Option<Scope>,
    /// Scheme for sending the access token to a resource server.
    pub token_type: TokenType,
    /// Kind of token that a token exchange returned (RFC 8693 §2.2.1), as a URN of RFC 8693 §3.
    pub issued_token_type: Option<String>,
}

/// Scheme for sending an access token to a resource server (RFC 6749 §7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenType {
    /// Alone (RFC 6750).
    #[default]
    Bearer,
    /// With a proof for each request, under the key it is bound to (RFC 9449 §7.1).
    DPoP,
    /// Not used as an access token: it is another kind of token, by [`TokenSet::issued_token_type`]
    /// (`N_A`, RFC 8693 §2.2.1).
    NotApplicable,
}

impl TokenType {
    /// The scheme of the `Authorization` header; `N_A` where there is none.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::DPoP => "DPoP",
            Self::NotApplicable => "N_A",
        }
    }
}

impl TokenSet {
    /// A set with an access token only.
    pub fn new(access_token: Secret) -> Self {
        Self {
            access_token,
            refresh_token: None,
            id_token: None,
            expires_at: None,
            refresh_expires_at: None,
            scope: None,
            token_type: TokenType::Bearer,
            issued_token_type: None,
        }
    }
}

/// Reason there are no tokens.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum TokenEndpointError {
    /// `invalid_grant`: the code or refresh token is used up, revoked or expired. Log in again.
    #[error(
        "the provider no longer accepts this code or refresh token{}; log in again",
        because(description)
    )]
    InvalidGrant {
        /// `error_description`, cut and escaped.
        description: Option<String>,
        /// The status of the answer.
        status: u16,
    },
    /// `invalid_client`: the client's own credentials are wrong.
    #[error(
        "the provider does not accept this client's credentials{}; check client id, secret or key",
        because(description)
    )]
    InvalidClient {
        /// `error_description`, cut and escaped.
        description: Option<String>,
        /// The status of the answer.
        status: u16,
    },
    /// Another error of RFC 6749 §5.2.
    #[error("the provider refused with {error}{}", because(description))]
    OAuth {
        /// `error`, cut and escaped.
        error: String,
        /// `error_description`, cut and escaped.
        description: Option<String>,
        /// The status of the answer.
        status: u16,
    },
    /// No answer, or one that means "later". The tokens held stay valid.
    #[error("the provider cannot answer now: {reason}; try again later")]
    Unavailable {
        /// Reason.
        reason: String,
        /// Wait before trying again, if known.
        retry_after: Option<Duration>,
        /// True if any client and any grant gets no answer now: no connection, or status 429 or 503.
        /// False: this request failed, and another one may succeed.
        outage: bool,
    },
    /// The answer is invalid: a redirect, a page, a truncated or foreign body.
    #[error("the provider's answer cannot be used: {reason}")]
    InvalidResponse {
        /// The problem with it.
        reason: String,
    },
    /// A member of the answer is missing or of the wrong kind.
    #[error(
        "the provider's answer cannot be used: its {member} {problem}; have the provider correct it"
    )]
    InvalidMember {
        /// The member's name.
        member: &'static str,
        /// The problem with it.
        problem: &'static str,
    },
    /// The provider cannot be used until a configuration is corrected.
    #[error(transparent)]
    Misconfigured(Box<IssuerMisconfigured>),
    /// The provider has no such endpoint.
    #[error("the provider's metadata has no {endpoint}")]
    NotSupported {
        /// The metadata member that is absent.
        endpoint: &'static str,
    },
    /// Client authentication failed: the request cannot be made, or no credential works.
    #[error("client authentication failed: {0}")]
    ClientAuth(#[source] ClientAuthError),
    /// A bearer token was returned, although a proof of possession was sent (RFC 9449 §5).
    #[error(
        "the provider answered with a bearer token, though a DPoP proof was sent; switch DPoP on for this client at the provider, or do without it here"
    )]
    NotBound,
    /// The ID token that came with the answer is refused.
    #[error("the ID token in the answer is refused: {0}")]
    IdToken(#[source] TokenRefusal),
}

impl TokenEndpointError {
    /// Whether the same request may succeed later while the tokens held stay valid. Such an error
    /// is no reason to end a session.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::InvalidResponse { .. } => true,
            Self::IdToken(refusal) => refusal.is_unavailable() && refusal.mistake().is_none(),
            Self::ClientAuth(error) => error.is_temporary(),
            _ => false,
        }
    }

    /// Whether any client and any grant gets no answer now: no connection, or status 429 or 503. Only
    /// such an error may hold back the requests of other clients and users.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable { outage: true, .. })
    }

    /// No answer to this request, for a reason that says nothing about other requests.
    pub fn unavailable(reason: impl Into<String>, retry_after: Option<Duration>) -> Self {
        Self::Unavailable { reason: reason.into(), retry_after, outage: false }
    }

    /// Whether the provider requires its nonce in the proof of possession (RFC 9449 §8).
    pub(super) fn wants_nonce(&self) -> bool {
        matches!(self, Self::OAuth { error, .. } if error == "use_dpop_nonce")
    }

    /// Whether the provider refuses the client's authentication.
    pub(super) fn refuses_client(&self, status: StatusCode) -> bool {
        match self {
            Self::InvalidClient { .. } => true,
            // Keycloak sends `unauthorized_client` with 401 for some methods; a proxy before it may
            // send 401 without an error code.
            Self::OAuth { error, .. } => {
                let about_proof = matches!(error.as_str(), "use_dpop_nonce" | "invalid_dpop_proof");
                status == StatusCode::UNAUTHORIZED && !about_proof
            }
            Self::InvalidResponse { .. } => status == StatusCode::UNAUTHORIZED,
            _ => false,
        }
    }

    /// A stable name of the cause, for logs, metrics and programs: `error` of RFC 6749 §5.2, RFC 8628
    /// §3.5, RFC 8693 §2.2.2 or RFC 9449 §5 where the provider gives one of those.
    pub fn code(&self) -> &'static str {
        const KNOWN: [&str; 12] = [
            "invalid_request",
            "unauthorized_client",
            "unsupported_grant_type",
            "invalid_scope",
            "invalid_target",
            "invalid_dpop_proof",
            "use_dpop_nonce",
            "authorization_pending",
            "slow_down",
            "access_denied",
            "expired_token",
            "unsupported_token_type",
        ];
        match self {
            Self::InvalidGrant { .. } => "invalid_grant",
            Self::InvalidClient { .. } => "invalid_client",
            // Foreign text is not a stable name: its content and length are arbitrary.
            Self::OAuth { error, .. } => {
                KNOWN.into_iter().find(|known| known == error).unwrap_or("refused")
            }
            Self::Unavailable { .. } => "unavailable",
            Self::InvalidResponse { .. } | Self::InvalidMember { .. } => "invalid_response",
            Self::Misconfigured(_) => "issuer_misconfigured",
            Self::NotSupported { .. } => "not_supported",
            Self::ClientAuth(error) => error.code(),
            Self::NotBound => "not_bound",
            Self::IdToken(refusal) => refusal.code(),
        }
    }

    /// Reads an unsuccessful answer.
    pub(crate) fn parse(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        if status == 408 || status == 429 || status >= 500 {
            let (reason, outage) = (format!("status {status}"), matches!(status, 429 | 503));
            return Self::Unavailable { reason, retry_after, outage };
        }
        if (300..400).contains(&status) {
            let reason = format!("it is a redirect (status {status}), which is not followed");
            return Self::InvalidResponse { reason };
        }
        let Ok(answer) = serde_json::from_slice::<BasicErrorResponse>(body) else {
            let reason = format!("status {status} without an OAuth 2.0 error");
            return Self::InvalidResponse { reason };
        };
        Self::refused(&answer, status, retry_after)
    }

    /// The error that an answer with this status names (RFC 6749 §5.2).
    pub(crate) fn refused(
        answer: &BasicErrorResponse,
        status: u16,
        retry_after: Option<Duration>,
    ) -> Self {
        let description = answer.error_description().map(|text| bounded(text));
        match answer.error().as_ref() {
            "invalid_grant" => Self::InvalidGrant { description, status },
            "invalid_client" => Self::InvalidClient { description, status },
            // 401 is for failed authentication only (RFC 6749 §5.2). Keycloak sends this for a
            // wrong secret.
            "unauthorized_client" if status == 401 => Self::InvalidClient { description, status },
            error @ ("temporarily_unavailable" | "server_error") => {
                Self::unavailable(error, retry_after)
            }
            error => Self::OAuth { error: bounded(error), description, status },
        }
    }
}

/// An answer that did not arrive. Mistakes are found at discovery, which precedes every request.
impl From<HttpError> for TokenEndpointError {
    fn from(error: HttpError) -> Self {
        let outage = matches!(error, HttpError::Connect { .. });
        Self::Unavailable { reason: error.to_string(), retry_after: None, outage }
    }
}

impl From<ProviderError> for TokenEndpointError {
    fn from(error: ProviderError) -> Self {
        match error {
            // Every request needs the metadata.
            ProviderError::Unavailable(error) => Self::Unavailable {
                retry_after: Some(error.retry_after),
                reason: format!("{}: {}", error.issuer, error.reason),
                outage: true,
            },
            ProviderError::Misconfigured(mistake) => Self::Misconfigured(mistake),
        }
    }
}

#[cfg(feature = "oauth2")]
pub(crate) fn invalid(error: &serde_json::Error) -> TokenEndpointError {
    // The parser quotes values of the wrong type, which may be tokens; report the position only.
    let reason =
        format!("it is not a token response (line {}, column {})", error.line(), error.column());
    TokenEndpointError::InvalidResponse { reason }
}

fn because(description: &Option<String>) -> String {
    description.as_ref().map(|text| format!(" ({text})")).unwrap_or_default()
}
