//! `jwks`: the keys upstreams check the identity assertion with (RFC 7517 §5).

use axum::body::Body;
use http::{HeaderValue, Response, header};

use crate::endpoints::{Call, Endpoints, json};

impl Endpoints {
    pub(super) fn jwks(&self, call: &Call<'_>) -> Response<Body> {
        let mut response = json(&self.assertions.jwks(), call.asked);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        response
    }
}
