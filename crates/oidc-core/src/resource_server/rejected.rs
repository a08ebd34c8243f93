//! The answer to a rejected request: a challenge (RFC 6750 §3) and a problem (RFC 9457).

use std::fmt;
use std::time::Duration;

use ::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use serde_json::json;

use super::service::DPOP_NONCE;

/// Reason a request is rejected, with the answer to send.
///
/// With the feature `axum` it is a response itself.
#[derive(Clone, Debug)]
pub struct Rejected(Box<Answer>);

#[derive(Clone, Debug)]
struct Answer {
    status: StatusCode,
    code: &'static str,
    detail: String,
    challenges: Vec<HeaderValue>,
    retry_after: Option<Duration>,
    nonce: Option<String>,
}

impl Rejected {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Answer {
            status,
            code,
            detail: detail.into(),
            challenges: Vec::new(),
            retry_after: None,
            nonce: None,
        }))
    }

    pub(super) fn with_challenge(mut self, challenge: HeaderValue) -> Self {
        self.0.challenges.push(challenge);
        self
    }

    pub(super) fn with_retry_after(mut self, pause: Duration) -> Self {
        self.0.retry_after = Some(pause);
        self
    }

    pub(super) fn with_nonce(mut self, nonce: Option<String>) -> Self {
        self.0.nonce = nonce;
        self
    }

    /// 400, 401, 403 or 503; 500 if no layer verified the request.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// A stable name of the cause, for logs, metrics and programs.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The answer, with a body in `application/problem+json`.
    pub fn response(&self) -> Response<Bytes> {
        let answer = &self.0;
        let problem = json!({
            "type": "about:blank",
            "title": answer.status.canonical_reason().unwrap_or_default(),
            "status": answer.status.as_u16(),
            "detail": answer.detail,
            "code": answer.code,
        });
        let mut response = Response::new(Bytes::from(problem.to_string()));
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for challenge in &answer.challenges {
            headers.append(header::WWW_AUTHENTICATE, challenge.clone());
        }
        if let Some(pause) = answer.retry_after {
            let seconds = pause.as_millis().div_ceil(1000).clamp(1, 3600);
            if let Ok(value) = HeaderValue::try_from(seconds.to_string()) {
                headers.insert(header::RETRY_AFTER, value);
            }
        }
        if let Some(nonce) = answer.nonce.as_deref().and_then(|n| HeaderValue::try_from(n).ok()) {
            headers.insert(DPOP_NONCE, nonce);
        }
        response
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)
    }
}

impl std::error::Error for Rejected {}
