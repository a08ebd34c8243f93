//! Counts requests, and makes them fail on demand. This layer is around all endpoints, so that their
//! code need not handle faults.
//!
//! The exceptions are [`Fault::WrongIssuer`], [`Fault::WrongNonce`] and [`Fault::NoKeys`], which change
//! content and are applied where it is made.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

use crate::faults::{Endpoint, Fault};
use crate::path;
use crate::provider::Provider;

const HUGE: usize = 64 * 1024 * 1024;
const BLOCK: usize = 64 * 1024;
/// Wait before the connection breaks: an immediate error would discard the half that is not sent yet.
const TIME_TO_SEND_HALF: Duration = Duration::from_millis(50);
const DROP_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn apply(
    State(provider): State<Arc<Provider>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(endpoint) = path::endpoint(&provider.path, request.uri().path()) else {
        return next.run(request).await;
    };
    provider.faults.count(endpoint);
    if endpoint == Endpoint::RedirectTarget {
        return next.run(request).await;
    }
    match provider.faults.active(endpoint) {
        Fault::None | Fault::WrongIssuer | Fault::WrongNonce | Fault::NoKeys => {
            next.run(request).await
        }
        Fault::Down(status) => down(status),
        Fault::Slow(delay) => {
            let response = next.run(request).await;
            tokio::time::sleep(delay).await;
            response
        }
        Fault::Garbage => ok("application/json", "{\"access_token\": \"abc\", oops".into()),
        Fault::Html => {
            ok("text/html", "<!doctype html><title>Welcome</title>Log in to WiFi".into())
        }
        Fault::CutOff => cut_off(next.run(request).await).await,
        Fault::Huge => ok("application/json", huge()),
        Fault::Drip => drip(next.run(request).await).await,
        Fault::Redirect => {
            let target = provider.at(path::REDIRECT_TARGET);
            (StatusCode::FOUND, [(LOCATION, target)]).into_response()
        }
    }
}

fn down(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    (status, [(RETRY_AFTER, "1")], "down on purpose").into_response()
}

fn ok(content_type: &'static str, body: Body) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response()
}

/// One JSON string of 64 MiB.
fn huge() -> Body {
    let begin = Bytes::from_static(b"{\"padding\": \"");
    let block = Bytes::from(vec![b'x'; BLOCK]);
    let end = Bytes::from_static(b"\"}");
    let blocks = std::iter::once(begin)
        .chain(std::iter::repeat_n(block, HUGE / BLOCK))
        .chain(std::iter::once(end));
    Body::from_stream(stream::iter(blocks.map(Ok::<_, Infallible>)))
}

/// Announces the whole answer, sends half of it, and breaks the connection.
async fn cut_off(response: Response) -> Response {
    let (mut parts, bytes) = into_bytes(response).await;
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len().max(2)));
    let half = bytes.slice(..bytes.len() / 2);
    let broken = async {
        tokio::time::sleep(TIME_TO_SEND_HALF).await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    };
    let body = stream::iter([Ok(half)]).chain(stream::once(broken));
    Response::from_parts(parts, Body::from_stream(body))
}

async fn drip(response: Response) -> Response {
    let (parts, bytes) = into_bytes(response).await;
    let drops = stream::unfold(bytes, |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(DROP_EVERY).await;
        let drop = rest.split_to(1);
        Some((Ok::<_, Infallible>(drop), rest))
    });
    Response::from_parts(parts, Body::from_stream(drops))
}

async fn into_bytes(response: Response) -> (http::response::Parts, Bytes) {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    // The provider's answers are in memory already, so this fails only if a handler is broken.
    (parts, to_bytes(body, HUGE).await.unwrap_or_default())
}
