//! `jwks`: the keys upstreams check the identity assertion with (RFC 7517 §5).

use axum::body::Body;
use http::{HeaderValue, Response, header};

use crate::{
    endpoints::{Call, Endpoints, json},
    refusal::Refusal,
};

impl Endpoints {
    pub(super) async fn jwks(&self, _: Call) -> Result<Response<Body>, Refusal> {
        let mut response = json(&self.assertions.jwks());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        Ok(response)
    }
}
