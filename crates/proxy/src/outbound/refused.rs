//! Reasons a request of the local listener is refused, each with its status, its code and its remedy.

use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};
use http_canonical::{PathRefusal, RequestId, RequestRefusal};

use crate::{forward::TokenFailure, listen::Body, refusal::Refusal};

/// Reasons a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// The request cannot be read in exactly one way.
    #[error("malformed request: {0}")]
    Malformed(#[from] RequestRefusal),
    /// A name that a page's owner may have pointed here (DNS rebinding), or another port.
    #[error("foreign Host: this listener serves programs on this machine only")]
    ForeignHost,
    /// A browser's page sent it.
    #[error("request of a browser: this listener serves no page")]
    Browser,
    /// The request for a token lacks the field that no page can send.
    #[error("missing or invalid field X-Doorward-Local")]
    NotLocal,
    /// Another method than GET for a token.
    #[error("unsupported method for /token")]
    Method,
    /// A query that names no target, or two.
    #[error("invalid query: {0}")]
    Query(&'static str),
    /// No target has this name.
    #[error("no target has this name; there are: {0}")]
    NoTarget(String),
    /// No target has this audience.
    #[error("no target has this audience; there are: {0}")]
    NoAudience(String),
    /// Several targets have this audience.
    #[error("several targets have this audience: {0}")]
    SeveralTargets(String),
    /// The target acts for a user, and the request has no token of one.
    #[error("missing token: this target acts on behalf of a user")]
    NoSubject,
    /// The user's token is not accepted.
    #[error("the user's token is not accepted: {0}")]
    Subject(Box<Refusal>),
    /// The user's token is of another issuer than the target's.
    #[error("the user's token is of another issuer than the target's tokens")]
    OtherIssuer,
    /// There is no token.
    #[error("no token for this target: {}", reason(.0))]
    Token(TokenFailure),
    /// A WebSocket where a token is asked for.
    #[error("unsupported WebSocket: /token answers plain requests")]
    WebSocket,
    /// The service cannot be reached.
    #[error("the service cannot be reached: {0}")]
    Unavailable(String),
    /// The service's answer cannot be passed on.
    #[error("the service's answer cannot be passed on: {0}")]
    Invalid(String),
    /// The service did not begin its answer in time.
    #[error("the service did not answer within {}", time(.0))]
    Late(Duration),
    /// The client broke off its upload.
    #[error("the body ended early")]
    BrokenOff,
    /// The configuration in use has no `outbound` any more.
    #[error("this listener is no longer configured")]
    NotConfigured,
    /// A bug of the gateway.
    #[error("internal error: {0}")]
    Internal(String),
}

fn time(time: &Duration) -> humantime::FormattedDuration {
    humantime::format_duration(*time)
}

fn reason(failure: &TokenFailure) -> &str {
    match failure {
        TokenFailure::Unavailable(reason)
        | TokenFailure::Misconfigured(reason)
        | TokenFailure::Refused(reason)
        | TokenFailure::Invalid(reason) => reason,
    }
}

impl Refused {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(refusal) => refusal.status(),
            Self::Query(_) | Self::SeveralTargets(_) | Self::WebSocket | Self::BrokenOff => {
                StatusCode::BAD_REQUEST
            }
            Self::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
            Self::Browser | Self::NotLocal | Self::OtherIssuer => StatusCode::FORBIDDEN,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoTarget(_) | Self::NoAudience(_) => StatusCode::NOT_FOUND,
            Self::NoSubject => StatusCode::UNAUTHORIZED,
            Self::Subject(refusal) => refusal.status(),
            Self::Token(TokenFailure::Unavailable(_)) | Self::NotConfigured => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Token(TokenFailure::Refused(_)) => StatusCode::FORBIDDEN,
            Self::Token(TokenFailure::Misconfigured(_)) | Self::Internal(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::Token(TokenFailure::Invalid(_)) | Self::Unavailable(_) | Self::Invalid(_) => {
                StatusCode::BAD_GATEWAY
            }
            Self::Late(_) => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed_request",
            Self::ForeignHost => "foreign_host",
            Self::Browser => "browser",
            Self::NotLocal => "not_local",
            Self::Method => "method_not_allowed",
            Self::Query(_) => "invalid_query",
            Self::NoTarget(_) => "no_target",
            Self::NoAudience(_) => "no_audience",
            Self::SeveralTargets(_) => "several_targets",
            Self::NoSubject => "no_subject",
            Self::Subject(refusal) => refusal.code(),
            Self::OtherIssuer => "other_issuer",
            Self::Token(TokenFailure::Unavailable(_)) => "provider_unavailable",
            Self::Token(TokenFailure::Misconfigured(_)) => "issuer_misconfigured",
            Self::Token(TokenFailure::Refused(_)) => "token_refused",
            Self::Token(TokenFailure::Invalid(_)) => "token_invalid",
            Self::WebSocket => "websocket",
            Self::Unavailable(_) => "upstream_unavailable",
            Self::Invalid(_) => "upstream_invalid",
            Self::Late(_) => "upstream_timeout",
            Self::BrokenOff => "broken_off",
            Self::NotConfigured => "not_configured",
            Self::Internal(_) => "internal",
        }
    }

    fn remedy(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::BrokenOff => "correct the request",
            Self::ForeignHost => {
                "ask for localhost, 127.0.0.1 or [::1], with this listener's own port or none"
            }
            Self::Browser => "call from a program, without Origin, Referer and Sec-Fetch-* fields",
            Self::NotLocal => "send the field `X-Doorward-Local: 1`, once",
            Self::Method => "send GET",
            Self::Query(_) => "ask for `/token?audience=NAME` or `/token?target=NAME`",
            Self::NoTarget(_) | Self::NoAudience(_) => {
                "use one of these, or add a target to `outbound.targets`"
            }
            Self::SeveralTargets(_) => "ask for `/token?target=NAME`",
            Self::NoSubject | Self::Subject(_) => {
                "send the user's access token as `Authorization: Bearer`, issued for this gateway"
            }
            Self::OtherIssuer => "use a target whose `issuer` issued the user's token",
            Self::Token(TokenFailure::Unavailable(_)) | Self::Unavailable(_) | Self::Late(_) => {
                "try again in a moment"
            }
            Self::Token(TokenFailure::Refused(_)) => {
                "have the issuer's administrator permit this grant for the client, or use a newer token"
            }
            Self::Token(TokenFailure::Misconfigured(_)) => {
                "correct the client in the configuration or at the issuer"
            }
            Self::Token(TokenFailure::Invalid(_)) | Self::Invalid(_) => {
                "report it to the operators of the other side"
            }
            Self::WebSocket => "open the WebSocket at the path of a target",
            Self::NotConfigured => "add `outbound` to the configuration and restart the gateway",
            Self::Internal(_) => "report it, with the request id",
        }
    }

    /// The answer: a problem document (RFC 9457) with the remedy.
    pub(super) fn answer(&self, request_id: &RequestId) -> Response<Body> {
        let status = self.status();
        let problem = serde_json::json!({
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "code": self.code(),
            "detail": self.to_string(),
            "remedy": self.remedy(),
            "request_id": request_id.as_str(),
        });
        let mut response = Response::new(Body::from(problem.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::NoSubject | Self::Subject(_) if status == StatusCode::UNAUTHORIZED => {
                let bearer = HeaderValue::from_static(r#"Bearer realm="doorward outbound""#);
                headers.insert(header::WWW_AUTHENTICATE, bearer);
            }
            Self::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
            }
            Self::Token(TokenFailure::Unavailable(_)) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response
    }
}

impl From<PathRefusal> for Refused {
    fn from(refusal: PathRefusal) -> Self {
        Self::Malformed(RequestRefusal::Path(refusal))
    }
}
