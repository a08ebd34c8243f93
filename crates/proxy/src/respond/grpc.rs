//! A refusal for a gRPC client: "Trailers-Only" of the gRPC protocol over HTTP/2.
//!
//! The HTTP status is 200 and the answer has no body; the header section holds `grpc-status` and `grpc-message`.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// `grpc-message` is percent-encoded except for printable ASCII; `%` itself is encoded.
const MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// The answer for a status and a sentence.
pub(super) fn trailers_only(status: StatusCode, message: &str) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(code(status)));
    let message = utf8_percent_encode(message, MESSAGE).to_string();
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert("grpc-message", message);
    }
    answer
}

fn code(status: StatusCode) -> u16 {
    match status.as_u16() {
        401 | 302 => 16, // UNAUTHENTICATED
        403 => 7,        // PERMISSION_DENIED
        404 | 421 => 12, // UNIMPLEMENTED, as gRPC maps a 404
        413 | 429 => 8,  // RESOURCE_EXHAUSTED
        502..=504 => 14, // UNAVAILABLE: the client may try again
        400..=499 => 3,  // INVALID_ARGUMENT
        _ => 13,         // INTERNAL
    }
}
