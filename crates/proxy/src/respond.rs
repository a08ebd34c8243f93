//! Stage 6, respond: every way a request can be refused, its status, and how it is told.
//!
//! The only table of statuses. A browser gets a page, a program gets `application/problem+json` (RFC 9457), and a bearer
//! client gets `WWW-Authenticate` (RFC 6750 §3). No answer holds an octet of the upstream's.

use std::{borrow::Cow, time::Duration};

use http::StatusCode;
use oidc_core::TokenRefusal;

use crate::authorize::Unmet;

/// Why a request goes no further.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request cannot be understood in exactly one way.
    #[error("malformed request: {reason}")]
    Malformed {
        /// 400, or the more precise 413, 414, 417, 431, 501
        status: StatusCode,
        /// what is wrong, for the caller and the log
        reason: Cow<'static, str>,
    },
    /// The host is none of ours (RFC 9110 §15.5.20).
    #[error("no route serves this host")]
    Misdirected,
    /// The host is ours, the path is nobody's.
    #[error("no route serves this path")]
    NoRoute,
    /// A token was presented and it is not good.
    #[error("bad credentials: {0}")]
    BadCredentials(#[from] TokenRefusal),
    /// Nobody is signed in, and somebody must be.
    #[error("sign-in needed on route {route}")]
    LoginNeeded {
        /// the route's name
        route: String,
        /// whether a browser is sent to sign in; otherwise a challenge
        redirect: bool,
        /// path and query to come back to
        return_to: String,
    },
    /// Somebody is signed in, and may not.
    #[error("{who} may not use route {route}: {}", unmet.summary())]
    Forbidden {
        /// the route's name
        route: String,
        /// the route's title
        title: String,
        /// who is signed in
        who: String,
        /// the place of the rule that decided, from 1; `None` when no rule matched
        rule: Option<usize>,
        /// what the rule asked for and did not find
        unmet: Box<Unmet>,
        /// whether a bearer token was presented: the challenge is then `insufficient_scope`
        bearer: bool,
    },
    /// A WebSocket or form came from another site's page (RFC 6455 §10.2).
    #[error("cross-site request from origin {origin}")]
    ForeignOrigin {
        /// what the browser said, shortened
        origin: String,
    },
    /// The body is larger than the route takes.
    #[error("body larger than {limit} octets")]
    BodyTooLarge {
        /// the route's limit, in octets
        limit: u64,
    },
    /// The upstream cannot be reached, or broke off before its answer began.
    #[error("upstream of route {route} unavailable: {reason}")]
    UpstreamUnavailable {
        /// the route's name
        route: String,
        /// what happened, for the log only
        reason: String,
    },
    /// The upstream did not begin its answer in time.
    #[error("upstream of route {route} did not answer within {}", humantime::format_duration(*after))]
    UpstreamTimeout {
        /// the route's name
        route: String,
        /// the route's limit
        after: Duration,
    },
    /// The issuer cannot be reached and the request cannot be decided without it.
    #[error("issuer {issuer} unavailable: {reason}")]
    ProviderUnavailable {
        /// the issuer's name in the configuration
        issuer: String,
        /// what happened, for the log only
        reason: String,
    },
    /// The session store cannot be reached: nobody is logged out by that.
    #[error("session store unavailable: {reason}")]
    StoreUnavailable {
        /// what happened, for the log only
        reason: String,
    },
    /// A sign-in that could not be finished.
    #[error("sign-in failed: {reason}")]
    SignInFailed {
        /// what to tell the person
        reason: Cow<'static, str>,
        /// a short code for the log
        code: &'static str,
    },
    /// The gateway is shutting down.
    #[error("shutting down")]
    Draining,
    /// A fault of the gateway's own.
    #[error("internal error: {reason}")]
    Internal {
        /// for the log only
        reason: String,
    },
}

/// Whose fault a refusal is; metrics and alerts tell these apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The caller's.
    Client,
    /// The service's behind the gateway.
    Upstream,
    /// The gateway's, or of what it depends on.
    Gateway,
}

impl Refusal {
    /// The status of the answer. A navigation that is sent to sign in gets 302 instead of 401.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed { status, .. } => *status,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::BadCredentials(TokenRefusal::KeysUnavailable { .. }) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::BadCredentials(_) => StatusCode::UNAUTHORIZED,
            Self::LoginNeeded { redirect: true, .. } => StatusCode::FOUND,
            Self::LoginNeeded { .. } => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } | Self::ForeignOrigin { .. } => StatusCode::FORBIDDEN,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UpstreamUnavailable { .. } => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::SignInFailed { .. } => StatusCode::BAD_REQUEST,
            Self::ProviderUnavailable { .. } | Self::StoreUnavailable { .. } | Self::Draining => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The word for this refusal in logs, metrics and problem documents.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed_request",
            Self::Misdirected => "unknown_host",
            Self::NoRoute => "no_route",
            Self::BadCredentials(refusal) => refusal.code(),
            Self::LoginNeeded { .. } => "login_needed",
            Self::Forbidden { .. } => "forbidden",
            Self::ForeignOrigin { .. } => "foreign_origin",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::UpstreamUnavailable { .. } => "upstream_unavailable",
            Self::UpstreamTimeout { .. } => "upstream_timeout",
            Self::ProviderUnavailable { .. } => "provider_unavailable",
            Self::StoreUnavailable { .. } => "store_unavailable",
            Self::SignInFailed { code, .. } => code,
            Self::Draining => "draining",
            Self::Internal { .. } => "internal",
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::UpstreamUnavailable { .. } | Self::UpstreamTimeout { .. } => Fault::Upstream,
            other if other.status().is_server_error() => Fault::Gateway,
            _ => Fault::Client,
        }
    }
}
