//! A gRPC service over HTTP/2 in clear text: sends the request headers that it received, then echoes message by message.
//! `Collect` answers when the call has ended, with the number of its messages.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Map, Value};

use super::call::framed;

/// Its address.
pub(super) async fn start() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(async |request| Ok::<_, Infallible>(answer(request).await));
            let connection = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    format!("h2c://{address}")
}

async fn answer(request: Request<Incoming>) -> Response<UnsyncBoxBody<Bytes, hyper::Error>> {
    let (parts, body) = request.into_parts();
    if parts.uri.path().ends_with("/Collect") {
        return collected(body).await;
    }
    let received: Map<String, Value> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), Value::from(value.to_str().unwrap())))
        .collect();
    let received = Some(framed(&Value::Object(received).to_string()));
    let mut response = Response::new(
        Echo { received, body, messages: 0, trailers: None, ended: false }.boxed_unsync(),
    );
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc+proto"));
    response
}

/// Begins to answer at the end of the call.
async fn collected(body: Incoming) -> Response<UnsyncBoxBody<Bytes, hyper::Error>> {
    let sent = body.collect().await.unwrap().to_bytes();
    let status = HeaderMap::from_iter([(
        HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let frames = [Frame::data(framed(&format!("{} bytes", sent.len()))), Frame::trailers(status)];
    let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok))).boxed_unsync();
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/grpc+proto");
    response.headers_mut().insert("content-type", kind);
    response
}

/// Each frame as it comes, then the status.
struct Echo {
    received: Option<Bytes>,
    body: Incoming,
    messages: usize,
    trailers: Option<HeaderMap>,
    ended: bool,
}

impl Echo {
    fn status(&self) -> HeaderMap {
        let seen = self.trailers.iter().flat_map(HeaderMap::keys).map(HeaderName::as_str);
        let seen: Vec<&str> = seen.collect();
        let seen = if seen.is_empty() { "none".to_owned() } else { seen.join(" ") };
        let plural = if self.messages == 1 { "" } else { "s" };
        let mut status = HeaderMap::new();
        status.insert("grpc-status", HeaderValue::from_static("0"));
        let message = format!("{} message{plural}", self.messages);
        status.insert("grpc-message", message.try_into().unwrap());
        status.insert("x-seen-trailers", seen.try_into().unwrap());
        status
    }
}

impl Body for Echo {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        if let Some(received) = this.received.take() {
            return Poll::Ready(Some(Ok(Frame::data(received))));
        }
        while !this.ended {
            match ready!(Pin::new(&mut this.body).poll_frame(context)).transpose()? {
                None => {
                    this.ended = true;
                    return Poll::Ready(Some(Ok(Frame::trailers(this.status()))));
                }
                Some(frame) => match frame.into_data() {
                    // The end of a stream may come in a frame of its own.
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => {
                        this.messages += 1;
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    Err(frame) => this.trailers = frame.into_trailers().ok(),
                },
            }
        }
        Poll::Ready(None)
    }
}
