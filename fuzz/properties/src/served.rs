//! The server library behind framing serves the requests that framing saw, with the same bodies.

use std::{
    cell::RefCell,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Empty};
use http_canonical::framing::HeadLimits;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt as _, runtime::Runtime};

use crate::framing::{Message, feed, messages};

/// Requests on one connection.
pub fn served(data: &[u8]) {
    let passed = feed([data]).passed;
    let expected = messages(&passed);
    let found = RUNTIME.with_borrow(|runtime| runtime.block_on(serve(&passed)));
    assert!(found.len() <= expected.len(), "hyper finds more requests");
    for (one, other) in found.iter().zip(&expected) {
        // The absolute form without a path is written with one.
        let target = other.target.parse::<Uri>().map(|target| target.to_string());
        assert_eq!((&one.method, Some(&one.target)), (&other.method, target.ok().as_ref()));
        assert_eq!(one.body, other.body, "hyper reads another body");
        let sorted = |message: &Message| {
            let mut fields = message.fields.clone();
            fields.sort();
            fields
        };
        assert_eq!(sorted(one), sorted(other));
    }
    let next = expected.get(found.len());
    let ended = found.last().is_some_and(may_be_last) || next.is_none_or(is_unreadable);
    assert!(ended, "hyper does not find {next:?}");
}

/// Whether the server may close the connection after this request.
fn may_be_last(message: &Message) -> bool {
    let closes = message
        .field("connection")
        .is_some_and(|words| words.to_ascii_lowercase().windows(5).any(|word| word == b"close"));
    closes || message.old || message.body.is_none()
}

/// Whether the HTTP library refuses a target, so that the server answers 400 and closes.
fn is_unreadable(message: &Message) -> bool {
    message.target.parse::<Uri>().is_err()
}

/// The requests that the server finds in a byte stream, set up as the gateway's.
async fn serve(bytes: &[u8]) -> Vec<Message> {
    let found: Arc<Mutex<Vec<Message>>> = Arc::default();
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let service = service_fn(|request: Request<Incoming>| {
        let found = Arc::clone(&found);
        async move {
            let (parts, body) = request.into_parts();
            let fields = parts.headers.iter().map(|(name, value)| {
                (name.as_str().to_owned(), value.as_bytes().trim_ascii().to_vec())
            });
            let mut message = Message {
                method: parts.method.to_string(),
                target: parts.uri.to_string(),
                fields: fields.collect(),
                body: None,
                old: parts.version == http::Version::HTTP_10,
            };
            message.body = body.collect().await.ok().map(|body| body.to_bytes().to_vec());
            found.lock().unwrap().push(message);
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let limits = HeadLimits::default();
    // An error is the end of the bytes in a message, or a head that the library refuses. Without `half_close` the end of the
    // bytes would also cancel the service.
    drop(
        http1::Builder::new()
            .half_close(true)
            .max_buf_size(64 * 1024)
            .max_headers(limits.fields)
            .serve_connection(TokioIo::new(server), service)
            .await,
    );
    let found = found.lock().unwrap();
    found.clone()
}

thread_local! {
    static RUNTIME: RefCell<Runtime> =
        RefCell::new(tokio::runtime::Builder::new_current_thread().build().unwrap());
}
