//! Reasons a request is refused, each with its status and its code.
//!
//! The only table of statuses. `respond` writes the answer.

use std::{borrow::Cow, time::Duration};

use http::{HeaderName, StatusCode};
use http_canonical::{PathRefusal, RequestRefusal, framing::Violation};
use oidc_core::TokenRefusal;

use access_policy::{StepUp, Unmet};
use api_keys::KeyRefusal;

mod unproven;
pub use self::unproven::Unproven;
use crate::mcp_fault::McpFault;

/// `dpop-nonce`: the nonce that the next DPoP proof must have (RFC 9449 §8.1, §9).
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// Reasons a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request cannot be read in exactly one way.
    #[error("malformed request: {reason}")]
    Malformed {
        /// 400, or the more precise 413, 414, 417, 431, 501
        status: StatusCode,
        /// the cause, for the caller and the log
        reason: Cow<'static, str>,
    },
    /// The gateway does not serve this host (RFC 9110 §15.5.20).
    #[error("no route serves this host")]
    Misdirected {
        /// the origin that the gateway serves
        instead: String,
    },
    /// The gateway serves the host, but no route owns the path.
    #[error("no route serves this path")]
    NoRoute,
    /// An invalid token was presented.
    #[error("bad credentials: {0}")]
    BadCredentials(#[from] TokenRefusal),
    /// A valid token is bound to a key, and the request does not prove that its sender holds it (RFC 9449 §7, RFC 8705 §3).
    #[error("bad credentials: {}", .0.reason)]
    Unproven(Box<Unproven>),
    /// An API key that does not count was presented. The log learns the reason, and the caller does not.
    #[error("{0}")]
    InvalidKey(#[from] KeyRefusal),
    /// A valid API key was presented on a route that is not among its routes.
    #[error("API key {id} is not for route {route}")]
    KeyElsewhere {
        /// the key's identifier
        id: String,
        /// the route's name
        route: String,
    },
    /// Two credentials for the gateway name two callers.
    #[error("credentials of two callers")]
    CredentialsDisagree,
    /// The caller is not signed in and must be.
    #[error("sign-in required on route {route}")]
    LoginNeeded {
        /// the route's name
        route: String,
        /// whether a browser is sent to sign in; otherwise a challenge
        redirect: bool,
        /// path and query to return to
        return_to: String,
        /// the sign-in that every alternative of the rule wants, if they want one
        level: Option<Box<StepUp>>,
    },
    /// The caller is signed in but lacks a requirement.
    #[error("{who} may not use route {route}: {}", unmet.summary())]
    Forbidden {
        /// the route's name
        route: String,
        /// the route's title
        title: String,
        /// name of the signed-in person
        who: String,
        /// the number of the rule that decided, from 1; `None` when no rule matched
        rule: Option<usize>,
        /// the unmet requirements of the rule
        unmet: Box<Unmet>,
        /// whether a bearer token was presented: the challenge is then `insufficient_scope`
        bearer: bool,
    },
    /// The caller's sign-in is not strong or not recent enough, and nothing else is missing (RFC 9470).
    #[error("a stronger or newer sign-in is required on route {route}: the caller {}", needed.missing)]
    StrongerSignInNeeded {
        /// the route's name
        route: String,
        /// whether a browser is sent to sign in again; otherwise a challenge
        redirect: bool,
        /// path and query to return to
        return_to: String,
        /// the sign-in that would be enough
        needed: Box<StrongerSignIn>,
    },
    /// A WebSocket or form came from another site's page (RFC 6455 §10.2).
    #[error("cross-site request from origin {origin}")]
    ForeignOrigin {
        /// the origin that the browser sent, shortened
        origin: String,
    },
    /// The body is larger than the route accepts.
    #[error("body larger than {limit} bytes")]
    BodyTooLarge {
        /// the route's limit, in bytes
        limit: u64,
    },
    /// The upstream cannot be reached, or closed the connection before its answer began.
    #[error("upstream of route {route} unavailable: {reason}")]
    UpstreamUnavailable {
        /// the route's name
        route: String,
        /// the cause, for the log only
        reason: String,
    },
    /// The upstream's answer cannot be passed on: its head is too large, or two parsers could read it differently.
    #[error("answer of the upstream of route {route} cannot be passed on: {reason}")]
    UpstreamInvalid {
        /// the route's name
        route: String,
        /// the cause, for the log only
        reason: String,
        /// whether the head is too large
        too_large: bool,
    },
    /// The upstream did not begin its answer in time.
    #[error("upstream of route {route} did not answer within {}", humantime::format_duration(*after))]
    UpstreamTimeout {
        /// the route's name
        route: String,
        /// the route's limit
        after: Duration,
    },
    /// The message of a client of MCP cannot be judged: it is not in the form of its revision, or can be read in two ways.
    #[error("message refused: {0}")]
    McpMessage(McpFault),
    /// More requests that need a call to an issuer, or wrong API keys, than one address, or all of them together, may make.
    #[error("too many {what}: none is checked for {retry_after:?}")]
    TooMany {
        /// the kind of requests, for the log
        what: &'static str,
        /// time until the next attempt
        retry_after: Duration,
    },
    /// The user has as many requests or streams on this route as one user may have.
    #[error("{limit} of a user on route {route} reached: {most}")]
    UserLimitReached {
        /// the route's name
        route: String,
        /// the key in `limits.per_user`
        limit: &'static str,
        /// its value
        most: u64,
        /// time until the next attempt
        retry_after: Duration,
    },
    /// The answer of a model is to be a stream without its usage, on a route that counts tokens for its users.
    #[error("the answer on route {route} is to be a stream without usage")]
    StreamWithoutUsage {
        /// the route's name
        route: String,
    },
    /// The issuer cannot be reached and the request cannot be decided without it.
    #[error("issuer {issuer} unavailable: {reason}")]
    ProviderUnavailable {
        /// the issuer's name in the configuration
        issuer: String,
        /// the cause, for the log only
        reason: String,
    },
    /// The issuer cannot be used until a configuration is corrected, and the request cannot be decided without it.
    #[error("issuer {issuer} misconfigured: {reason}")]
    IssuerMisconfigured {
        /// the issuer's name in the configuration
        issuer: String,
        /// the mistake and its remedy, for the log only
        reason: String,
    },
    /// The issuer gives no token for the upstream in exchange for the caller's (RFC 8693 §2.2.2).
    #[error(
        "issuer {issuer} gives no token for route {route} in exchange for the caller's: {reason}"
    )]
    ExchangeRefused {
        /// the route's name
        route: String,
        /// the issuer's name in the configuration
        issuer: String,
        /// the cause, for the log only
        reason: String,
    },
    /// The issuer's answer to a token exchange is no token that an upstream could take.
    #[error(
        "answer of issuer {issuer} to the token exchange for route {route} cannot be used: {reason}"
    )]
    ExchangeInvalid {
        /// the route's name
        route: String,
        /// the issuer's name in the configuration
        issuer: String,
        /// the cause, for the log only
        reason: String,
    },
    /// The session store cannot be reached; sessions stay.
    #[error("session store unavailable: {reason}")]
    StoreUnavailable {
        /// the cause, for the log only
        reason: String,
    },
    /// A sign-in that could not be finished.
    #[error("sign-in failed: {reason}")]
    SignInFailed {
        /// the cause, for the person
        reason: Cow<'static, str>,
        /// a short code for the log
        code: &'static str,
        /// path and query that the sign-in was for
        return_to: String,
    },
    /// The gateway is shutting down.
    #[error("shutting down")]
    Draining,
    /// A bug or failure of the gateway itself.
    #[error("internal error: {reason}")]
    Internal {
        /// for the log only
        reason: String,
    },
}

/// The sign-in that a caller needs whose own is not enough.
#[derive(Debug, Default)]
pub struct StrongerSignIn {
    /// The route's title.
    pub title: String,
    /// The issuer of the caller, by its name in the configuration.
    pub issuer: String,
    /// The sign-in that would be enough.
    pub step_up: StepUp,
    /// The missing parts, in words.
    pub missing: String,
}

/// Party at fault for a refusal; metrics and alerts distinguish them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The caller's.
    Client,
    /// The service's behind the gateway.
    Upstream,
    /// The gateway's, or that of a service it depends on.
    Gateway,
}

impl Refusal {
    /// The status of the answer. A navigation that is sent to sign in gets 302 instead of 401.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed { status, .. } => *status,
            Self::Misdirected { .. } => StatusCode::MISDIRECTED_REQUEST,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::BadCredentials(refusal) if refusal.mistake().is_some() => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::BadCredentials(refusal) if refusal.is_unavailable() => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Unproven(unproven) if unproven.reason.is_unavailable() => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::BadCredentials(_) | Self::Unproven(_) | Self::InvalidKey(_) => {
                StatusCode::UNAUTHORIZED
            }
            Self::LoginNeeded { redirect: true, .. }
            | Self::StrongerSignInNeeded { redirect: true, .. } => StatusCode::FOUND,
            Self::LoginNeeded { .. } | Self::StrongerSignInNeeded { .. } => {
                StatusCode::UNAUTHORIZED
            }
            Self::Forbidden { .. }
            | Self::KeyElsewhere { .. }
            | Self::ForeignOrigin { .. }
            | Self::ExchangeRefused { .. } => StatusCode::FORBIDDEN,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UpstreamUnavailable { .. }
            | Self::UpstreamInvalid { .. }
            | Self::ExchangeInvalid { .. } => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::SignInFailed { .. }
            | Self::CredentialsDisagree
            | Self::StreamWithoutUsage { .. }
            | Self::McpMessage(_) => StatusCode::BAD_REQUEST,
            Self::UserLimitReached { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::TooMany { .. }
            | Self::ProviderUnavailable { .. }
            | Self::StoreUnavailable { .. }
            | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::IssuerMisconfigured { .. } | Self::Internal { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// The code of this refusal in logs, metrics and problem documents.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed_request",
            Self::Misdirected { .. } => "unknown_host",
            Self::NoRoute => "no_route",
            Self::BadCredentials(refusal) => refusal.code(),
            Self::Unproven(unproven) => unproven.reason.code(),
            Self::InvalidKey(_) => "invalid_api_key",
            Self::KeyElsewhere { .. } => "api_key_other_route",
            Self::CredentialsDisagree => "credentials_disagree",
            Self::LoginNeeded { .. } => "login_needed",
            Self::StrongerSignInNeeded { .. } => "insufficient_user_authentication",
            Self::Forbidden { .. } => "forbidden",
            Self::ForeignOrigin { .. } => "foreign_origin",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::UpstreamUnavailable { .. } => "upstream_unavailable",
            Self::UpstreamInvalid { .. } => "upstream_invalid",
            Self::UpstreamTimeout { .. } => "upstream_timeout",
            Self::TooMany { .. } => "too_many_requests",
            Self::UserLimitReached { .. } => "user_limit_reached",
            Self::StreamWithoutUsage { .. } => "stream_without_usage",
            Self::McpMessage(_) => "mcp_message",
            Self::ProviderUnavailable { .. } => "provider_unavailable",
            Self::IssuerMisconfigured { .. } => "issuer_misconfigured",
            Self::ExchangeRefused { .. } => "exchange_refused",
            Self::ExchangeInvalid { .. } => "exchange_invalid",
            Self::StoreUnavailable { .. } => "store_unavailable",
            Self::SignInFailed { code, .. } => code,
            Self::Draining => "draining",
            Self::Internal { .. } => "internal",
        }
    }

    /// Time until the next attempt, for a temporary refusal (RFC 9110 §10.2.3).
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::BadCredentials(refusal) if refusal.mistake().is_some() => None,
            Self::BadCredentials(refusal) if refusal.is_unavailable() => {
                Some(refusal.retry_after().unwrap_or(Duration::from_secs(5)))
            }
            Self::Unproven(unproven) if unproven.reason.is_unavailable() => {
                Some(unproven.reason.retry_after().unwrap_or(Duration::from_secs(2)))
            }
            Self::TooMany { retry_after, .. } | Self::UserLimitReached { retry_after, .. } => {
                Some(*retry_after)
            }
            Self::ProviderUnavailable { .. } => Some(Duration::from_secs(5)),
            Self::StoreUnavailable { .. } | Self::Draining => Some(Duration::from_secs(2)),
            _ => None,
        }
    }

    /// Whether the same request fails until a configuration is corrected.
    pub(crate) fn lasts(&self) -> bool {
        match self {
            Self::BadCredentials(refusal) => refusal.mistake().is_some(),
            Self::IssuerMisconfigured { .. } => true,
            _ => false,
        }
    }

    /// The party at fault.
    pub fn fault(&self) -> Fault {
        match self {
            Self::UpstreamUnavailable { .. }
            | Self::UpstreamInvalid { .. }
            | Self::UpstreamTimeout { .. } => Fault::Upstream,
            Self::TooMany { .. } => Fault::Client,
            other if other.status().is_server_error() => Fault::Gateway,
            _ => Fault::Client,
        }
    }
}

impl From<RequestRefusal> for Refusal {
    fn from(refusal: RequestRefusal) -> Self {
        Self::Malformed { status: refusal.status(), reason: Cow::Owned(refusal.to_string()) }
    }
}

impl From<PathRefusal> for Refusal {
    fn from(refusal: PathRefusal) -> Self {
        RequestRefusal::Path(refusal).into()
    }
}

impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Self {
        let reason = Cow::Borrowed(violation.reason().sentence());
        Self::Malformed { status: violation.status(), reason }
    }
}
