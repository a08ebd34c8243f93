//! Envoy's external authorization by gRPC: `envoy.service.auth.v3.Authorization/Check`.
//!
//! Envoy describes each request that it holds. The request is judged by the same stages as one in line, and the answer names the
//! header fields that make it what the upstream would receive in line: those to set, and those to remove. Every question gets an
//! answer of the protocol, also one that cannot be read, whose judging panics, or that waits when the gateway stops: an error of gRPC
//! would be a way past the rules where Envoy is configured with `failure_mode_allow`. The peer chooses what is judged, so the listener is not for others (`config::ExtAuthz`).

mod answer;
mod messages;
mod question;

pub use question::{Question, read};

use std::{panic::AssertUnwindSafe, sync::Arc};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use http_canonical::{RequestId, RequestRefusal, ext_authz::Held};
use prost::Message as _;

use crate::{
    forward::{Described, headers::X_FORWARDED_HOST},
    gateway::{App, Serving},
    listen::{Body, ConnInfo, Drain, ListenAddr},
    log::of_request,
    metric,
};
use messages::CheckResponse;

/// The method that is served.
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Most bytes of a question. Envoy takes heads of 60 KiB by default, and sends no body unless it is configured to.
const LONGEST: usize = 512 * 1024;

/// Answers Envoy's questions.
#[derive(Debug, Clone)]
pub struct Authorization {
    serving: Serving,
    local: ListenAddr,
    drain: Drain,
}

impl Authorization {
    /// Judges by the application in use, until the drain leaves no more time; `local` is the address at which Envoy asks.
    pub fn new(serving: Serving, local: ListenAddr, drain: Drain) -> Self {
        Self { serving, local, drain }
    }

    /// Answers one call.
    pub async fn answer(&self, call: Request<Body>) -> Response<Body> {
        if call.uri().path() != CHECK {
            return without_message(UNIMPLEMENTED);
        }
        let grpc = call.headers().get(header::CONTENT_TYPE).is_some_and(|kind| {
            let kind = kind.as_bytes();
            kind == b"application/grpc" || kind.starts_with(b"application/grpc+proto")
        });
        if !grpc || call.method() != Method::POST {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return answer;
        }
        let app = self.serving.app();
        let connection = call.extensions().get::<Arc<ConnInfo>>();
        if !connection.is_none_or(|connection| connection.certificate_counts()) {
            let refused = app.refuse_undescribed(RequestRefusal::EndedCertificate);
            return message(&answer::refused(refused).await);
        }
        let judged = self.judged(&app, call.into_body());
        message(&decided(judged, &app, self.drain.answers_due()).await)
    }

    async fn judged(&self, app: &App, body: Body) -> CheckResponse {
        let question = match received(body).await {
            Some(message) => read(&message),
            None => Err(RequestRefusal::TwoReadings("message")),
        };
        let Question { held, client } = match question {
            Ok(question) => question,
            Err(refused) => return answer::refused(app.refuse_undescribed(refused)).await,
        };
        let Held { mut request, scheme, asks_websocket } = held;
        // Envoy makes the id, or has decided to keep the client's.
        let id = RequestId::given(request.headers()).unwrap_or_else(RequestId::random);
        let connection = ConnInfo::elsewhere(client, self.local.clone(), scheme, asks_websocket);
        request.extensions_mut().insert(Arc::new(connection));
        request.extensions_mut().insert(id.clone());
        let sent = request.headers().clone();
        // Envoy has chosen its route by the host that it describes. Another one, also of a trusted proxy, is not the one to judge.
        for name in [X_FORWARDED_HOST, header::FORWARDED] {
            request.headers_mut().remove(name);
        }
        let judged = app.judge(request.map(|()| Body::empty()));
        let mut response = of_request(&id, judged).await;
        match response.extensions_mut().remove::<Described>() {
            Some(described) => answer::let_through(&sent, described, response.headers()),
            None => answer::refused(response).await,
        }
    }
}

const OK: u16 = 0;
const UNIMPLEMENTED: u16 = 12;

/// The decision, or a refusal: after a panic, or when the time of the drain is over first.
async fn decided(
    judged: impl Future<Output = CheckResponse>,
    app: &App,
    time_is_over: impl Future<Output = ()>,
) -> CheckResponse {
    let refused = tokio::select! {
        biased;
        judged = AssertUnwindSafe(judged).catch_unwind() => match judged {
            Ok(answer) => return answer,
            Err(_panic) => {
                metric::panicked();
                app.refuse_broken("panic while a request was judged")
            }
        },
        () = time_is_over => app.refuse_stopping(),
    };
    answer::refused(refused).await
}

/// The one message of a call; `None` if there is another number of them, or one that is compressed or too long.
async fn received(body: Body) -> Option<Bytes> {
    let bytes = Limited::new(body, LONGEST).collect().await.ok()?.to_bytes();
    let (prefix, message) = bytes.split_first_chunk::<5>()?;
    let [0, a, b, c, d] = *prefix else { return None };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    (message.len() == length).then(|| bytes.slice(5..))
}

/// The answer with a message.
fn message(message: &CheckResponse) -> Response<Body> {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(5 + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    bytes.extend_from_slice(&message.encode_to_vec());
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(OK));
    let body = Full::new(bytes.freeze()).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut answer = Response::new(Body::new(body));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    answer
}

/// The answer with a status of gRPC alone.
fn without_message(status: u16) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(status));
    answer
}

#[cfg(test)]
mod tests;
