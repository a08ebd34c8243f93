//! Stage 6, respond: all refusals of a request, each with its status and its answer.
//!
//! The only table of statuses. A browser gets a page, a program gets `application/problem+json` (RFC 9457), and a bearer client
//! gets `WWW-Authenticate` (RFC 6750 §3). No answer contains bytes from the upstream.

mod asked;
mod answers;
mod told;
mod challenge;
mod problem;
mod grpc;
mod table;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, time::Duration};

use axum::body::Body;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use oidc_core::TokenRefusal;

pub use self::{
    answers::OwnAnswers,
    asked::{Asked, SignInWith, Site, Wants},
    table::{Entry, entries},
};
use crate::{authorize::Unmet, canonical::request_id::X_REQUEST_ID, pages};

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
    Misdirected,
    /// The gateway serves the host, but no route owns the path.
    #[error("no route serves this path")]
    NoRoute,
    /// An invalid token was presented.
    #[error("bad credentials: {0}")]
    BadCredentials(#[from] TokenRefusal),
    /// The caller is not signed in and must be.
    #[error("sign-in needed on route {route}")]
    LoginNeeded {
        /// the route's name
        route: String,
        /// whether a browser is sent to sign in; otherwise a challenge
        redirect: bool,
        /// path and query to return to
        return_to: String,
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
        /// the place of the rule that decided, from 1; `None` when no rule matched
        rule: Option<usize>,
        /// the unmet requirements of the rule
        unmet: Box<Unmet>,
        /// whether a bearer token was presented: the challenge is then `insufficient_scope`
        bearer: bool,
    },
    /// A WebSocket or form came from another site's page (RFC 6455 §10.2).
    #[error("cross-site request from origin {origin}")]
    ForeignOrigin {
        /// the origin that the browser sent, shortened
        origin: String,
    },
    /// The body is larger than the route accepts.
    #[error("body larger than {limit} octets")]
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
    /// The upstream did not begin its answer in time.
    #[error("upstream of route {route} did not answer within {}", humantime::format_duration(*after))]
    UpstreamTimeout {
        /// the route's name
        route: String,
        /// the route's limit
        after: Duration,
    },
    /// More requests that need a call to an issuer than one address, or all of them together, may make.
    #[error("too many {what}: the issuer is not asked again before {retry_after:?} have passed")]
    TooMany {
        /// the kind of requests, for the log
        what: &'static str,
        /// time until the next attempt
        retry_after: Duration,
    },
    /// The issuer cannot be reached and the request cannot be decided without it.
    #[error("issuer {issuer} unavailable: {reason}")]
    ProviderUnavailable {
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
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::BadCredentials(refusal) if refusal.is_unavailable() => {
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
            Self::TooMany { .. }
            | Self::ProviderUnavailable { .. }
            | Self::StoreUnavailable { .. }
            | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The code of this refusal in logs, metrics and problem documents.
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
            Self::TooMany { .. } => "too_many_requests",
            Self::ProviderUnavailable { .. } => "provider_unavailable",
            Self::StoreUnavailable { .. } => "store_unavailable",
            Self::SignInFailed { code, .. } => code,
            Self::Draining => "draining",
            Self::Internal { .. } => "internal",
        }
    }

    /// Time until the next attempt, for a temporary refusal (RFC 9110 §10.2.3).
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::BadCredentials(refusal) if refusal.is_unavailable() => {
                Some(refusal.retry_after().unwrap_or(Duration::from_secs(5)))
            }
            Self::TooMany { retry_after, .. } => Some(*retry_after),
            Self::ProviderUnavailable { .. } => Some(Duration::from_secs(5)),
            Self::StoreUnavailable { .. } | Self::Draining => Some(Duration::from_secs(2)),
            _ => None,
        }
    }

    /// The party at fault.
    pub fn fault(&self) -> Fault {
        match self {
            Self::UpstreamUnavailable { .. } | Self::UpstreamTimeout { .. } => Fault::Upstream,
            Self::TooMany { .. } => Fault::Client,
            other if other.status().is_server_error() => Fault::Gateway,
            _ => Fault::Client,
        }
    }
}

/// Answers a refused request in the form that the client asked for.
///
/// Logs nothing: the gateway logs the refusal, including the causes that callers must not see.
pub fn respond(refusal: &Refusal, asked: &Asked) -> Response<Body> {
    if let Refusal::LoginNeeded { redirect: true, return_to, .. } = refusal {
        // A form is never replayed by a redirect: the user sees the sign-in page and still has the form behind it.
        if asked.safe && asked.wants != Wants::Grpc {
            return see_other(&asked.site.start(return_to), StatusCode::FOUND, asked);
        }
    }
    let status = match refusal {
        Refusal::LoginNeeded { .. } => StatusCode::UNAUTHORIZED,
        other => other.status(),
    };
    let told = refusal.told();
    let mut answer = match asked.wants {
        Wants::Page => page(refusal, status, told, asked),
        Wants::Problem => {
            own(problem::answer(refusal, status, &told.title, &told.detail, asked), asked)
        }
        Wants::Grpc => own(grpc::trailers_only(status, &told.detail), asked),
    };
    let headers = answer.headers_mut();
    if let Some(challenge) = challenge::challenge(refusal, &asked.site) {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if let Some(after) = refusal.retry_after() {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if matches!(refusal, Refusal::Malformed { .. } | Refusal::BodyTooLarge { .. }) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// The page for a refusal.
fn page(refusal: &Refusal, status: StatusCode, told: told::Told, asked: &Asked) -> Response<Body> {
    match refusal {
        Refusal::LoginNeeded { return_to, .. } => pages::SignIn {
            heading_to: None,
            return_to: if asked.safe { return_to.clone() } else { "/".to_owned() },
            notice: (!asked.safe).then(|| {
                "What you sent was not delivered, because nobody is signed in. Sign in, go back, and send it again."
                    .to_owned()
            }),
        }
        .into_response(asked, status),
        Refusal::Forbidden { route, title, who, unmet, .. } => pages::Refused {
            who: asked.who.clone().unwrap_or_else(|| who.clone()),
            title: title.clone(),
            route: route.clone(),
            needs: unmet.alternatives.clone(),
            return_to: asked.return_to.clone(),
        }
        .into_response(asked, status),
        Refusal::SignInFailed { reason, .. } => {
            pages::SignInFailed { reason: reason.clone().into_owned(), return_to: "/".to_owned() }
                .into_response(asked, status)
        }
        _ => pages::ErrorPage {
            title: told.title,
            sentence: told.detail,
            advice: told.advice.map(str::to_owned),
            retry: asked.safe && status.is_server_error(),
        }
        .into_response(asked, status),
    }
}

/// Answers an endpoint's own refusal, as `application/problem+json`.
pub fn problem(status: StatusCode, code: &str, detail: &str, asked: &Asked) -> Response<Body> {
    own(problem::plain(status, code, detail, asked), asked)
}

/// Redirects a browser. The answer must not be cached, because a stale redirect would loop.
pub fn see_other(location: &str, status: StatusCode, asked: &Asked) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    match HeaderValue::try_from(location) {
        Ok(location) => {
            answer.headers_mut().insert(header::LOCATION, location);
        }
        Err(_) => *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    own(answer, asked)
}

/// Adds the headers that every answer of the gateway itself carries; existing ones stay.
pub fn own(mut answer: Response<Body>, asked: &Asked) -> Response<Body> {
    const ALWAYS: [(HeaderName, &str); 4] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::VARY, "Accept, Sec-Fetch-Mode, Sec-Fetch-Dest"),
    ];
    let headers = answer.headers_mut();
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(&asked.request_id) {
        headers.insert(X_REQUEST_ID, id);
    }
    answer
}
