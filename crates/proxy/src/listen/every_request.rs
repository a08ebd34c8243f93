//! Layers around every request, outermost first: a request id, a span, an answer even after a panic, and the result of framing.
//!
//! The request that framing marked is answered here, by its number on the connection; the service never sees it. If a request's
//! body breaks the rules before its answer has begun, the answer is replaced.

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc};

use axum::body::Body;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use tower::{Service, ServiceExt};

use super::{
    Answers, ConnInfo, Drain, Glimpse, Limits,
    answer_body::AnswerBody,
    conn::Upgrade,
    extended_connect,
    open_stream::{OpenEnded, OpenStream, Unending},
    payload::UpgradeAsked,
    request_body::RequestBody,
    response_progress::ResponseProgress,
};
use crate::{log::of_request, metric};
use http_canonical::framing::{Reason, Violation};
use http_canonical::{RequestId, Trust};

/// State shared by all connections.
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) trust: Trust,
    pub(super) answers: Arc<dyn Answers>,
    pub(super) drain: Drain,
}

/// Answers one request. It is counted before the future runs, because requests are counted in the order they arrive.
pub(super) fn answer<S>(
    service: S,
    shared: Arc<Shared>,
    connection: Arc<ConnInfo>,
    mut request: Request<Incoming>,
) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> + Send
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    let number = connection.state.next_request();
    let http2 = request.version() == Version::HTTP_2;
    let connects = http2 && extended_connect::into_handshake(&mut request);
    let stream = OpenStream::begin(&connection, http2);
    async move {
        let id = request_id(&request, &shared.trust, &connection);
        let asked = connects || connection.state.asks(number);
        let head_violation = connection.state.violation(number);
        // A complete request has no body that could break a rule, or whose pauses matter.
        let has_body = head_violation.is_none() && !request.body().is_end_stream();
        let glimpse = has_body.then(|| Box::new(Glimpse::of(&request, connection.peer)));
        let progress = (http2 && has_body).then(ResponseProgress::default);
        let refuse = |violation: &Violation, seen: Option<&Glimpse>| {
            let nothing = Glimpse::of_head(&[], connection.peer);
            refuse(&shared, violation, &id, seen.unwrap_or(&nothing), http2)
        };
        let mut response = match head_violation {
            Some((violation, seen)) => refuse(&violation, seen),
            None => {
                let request =
                    with_extensions(request, &shared, &connection, &id, asked, progress.clone());
                let answered = of_request(&id, service.oneshot(request));
                let response = match AssertUnwindSafe(answered).catch_unwind().await {
                    Ok(Ok(response)) => response,
                    Err(_panic) => {
                        metric::panicked();
                        tracing::error!(request_id = %id, "panic while answering a request");
                        shared.answers.panicked(&id)
                    }
                };
                match connection.state.violation(number) {
                    Some((violation, _)) => refuse(&violation, glimpse.as_deref()),
                    None => response,
                }
            }
        };
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if switches && !asked {
            response = refuse(&Reason::UnaskedUpgrade.into(), glimpse.as_deref());
        }
        if asked && !http2 {
            let upgrade = if switches { Upgrade::Accepted } else { Upgrade::Declined };
            connection.state.decide(upgrade);
        }
        let unending = response.extensions_mut().remove::<OpenEnded>();
        if !http2 && !switches && shared.drain.is_announced() {
            // The client's next request goes to another connection, and there to another replica.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if connects {
            response = extended_connect::answer(response);
        }
        Ok(response.map(|body| AnswerBody {
            _stream: stream.answered(&body),
            _unending: unending.map(|OpenEnded| Unending::begin(&connection)),
            _progress: progress.and_then(|progress| progress.begin(&body)),
            body,
        }))
    }
}

fn request_id(request: &Request<Incoming>, trust: &Trust, connection: &ConnInfo) -> RequestId {
    let given = trust.trusts(connection.peer).then(|| RequestId::given(request.headers()));
    given.flatten().unwrap_or_else(RequestId::random)
}

fn with_extensions(
    request: Request<Incoming>,
    shared: &Shared,
    connection: &Arc<ConnInfo>,
    id: &RequestId,
    asked: bool,
    progress: Option<ResponseProgress>,
) -> Request<Body> {
    let mut request = request.map(|body| RequestBody::of(body, &shared.limits, progress.clone()));
    let extensions = request.extensions_mut();
    if let Some(progress) = progress {
        extensions.insert(progress);
    }
    extensions.insert(Arc::clone(connection));
    extensions.insert(id.clone());
    if asked {
        extensions.insert(UpgradeAsked(()));
    }
    request
}

fn refuse(
    shared: &Shared,
    violation: &Violation,
    id: &RequestId,
    seen: &Glimpse,
    http2: bool,
) -> Response<Body> {
    let reason = violation.reason().as_str();
    metric::malformed(reason);
    tracing::info!(
        request_id = %id,
        reason,
        method = seen.method.as_str(),
        path = seen.path,
        address = seen.peer.ip().map(tracing::field::display),
        "request refused: it violates HTTP"
    );
    let mut response = shared.answers.violation(violation, id, seen);
    if !http2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
