//! The path of a request as its upstream sees it.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, uri::PathAndQuery};

use super::internal;
use crate::{
    listen::{Body, CanonicalRequest},
    refusal::Refusal,
    upstream::Upstream,
};

/// Redirect from the removed prefix to the same path with a slash, without which links of the upstream's page leave the prefix.
/// An unsafe method is sent on: its client may not repeat the body.
pub(super) fn with_slash(
    upstream: &Upstream,
    request: &CanonicalRequest,
) -> Result<Option<Response<Body>>, Refusal> {
    let safe = matches!(**request.method(), Method::GET | Method::HEAD);
    if !safe || request.opens_websocket() || !upstream.lacks_slash(request.path()) {
        return Ok(None);
    }
    let location = match request.query() {
        Some(query) => format!("{}/?{query}", request.path()),
        None => format!("{}/", request.path()),
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, internal(HeaderValue::try_from(location), "path")?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(Some(response))
}

/// Path and query as the upstream sees them.
pub(crate) fn path_and_query(
    upstream: &Upstream,
    request: &CanonicalRequest,
) -> Result<PathAndQuery, Refusal> {
    let path = upstream.rewrite(request.path()).map_err(|refused| Refusal::Malformed {
        status: StatusCode::BAD_REQUEST,
        reason: Cow::Owned(refused.to_string()),
    })?;
    let whole = match request.query() {
        Some(query) => [&path, "?", query].concat(),
        None => path.into_owned(),
    };
    internal(PathAndQuery::from_maybe_shared(Bytes::from(whole)), "path")
}
