//! Answers that are given before the line: for a violation of HTTP/1 and for a panic.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};

use super::Glimpse;
use http_canonical::RequestId;
use http_canonical::framing::Violation;

/// Makes those answers. The listener adds `Connection: close` where HTTP needs it.
pub trait Answers: Send + Sync + 'static {
    /// Answers a request that breaks a rule of HTTP.
    fn violation(
        &self,
        violation: &Violation,
        request_id: &RequestId,
        glimpse: &Glimpse,
    ) -> Response<Body>;

    /// Answers a request whose service panicked.
    fn panicked(&self, request_id: &RequestId) -> Response<Body>;
}

/// `application/problem+json` (RFC 9457), for a listener without pages.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainAnswers;

impl PlainAnswers {
    fn problem(status: StatusCode, detail: &str, request_id: &RequestId) -> Response<Body> {
        let title = status.canonical_reason().unwrap_or_default();
        let problem = serde_json::json!({
            "title": title, "status": status.as_u16(), "detail": detail, "request_id": request_id.as_str(),
        });
        let mut response = Response::new(Body::from(problem.to_string()));
        *response.status_mut() = status;
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

// === impl PlainAnswers ===

impl Answers for PlainAnswers {
    fn violation(
        &self,
        violation: &Violation,
        request_id: &RequestId,
        _glimpse: &Glimpse,
    ) -> Response<Body> {
        Self::problem(violation.status(), violation.reason().sentence(), request_id)
    }

    fn panicked(&self, request_id: &RequestId) -> Response<Body> {
        let detail = "The gateway failed on this request.";
        Self::problem(StatusCode::INTERNAL_SERVER_ERROR, detail, request_id)
    }
}
