//! Trailers of a request, as upstreams of both versions of HTTP receive them.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpListener, sync::mpsc};

use super::{super::*, fixtures::*};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An upload that announces some of its trailers.
fn upload(announced: &str, trailers: &[(&'static str, &'static str)]) -> Request<Body> {
    let trailers: HeaderMap = trailers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    let frames =
        [Ok::<_, Infallible>(Frame::data(Bytes::from("hello"))), Ok(Frame::trailers(trailers))];
    let mut request = Request::post("/up");
    if !announced.is_empty() {
        request = request.header("trailer", announced);
    }
    request.body(Body::new(StreamBody::new(stream::iter(frames)))).unwrap()
}

const SENT: [(&str, &str); 5] = [
    ("x-checksum", "abc"),
    ("x-unannounced", "1"),
    ("authorization", "Bearer x"),
    ("x-forwarded-user", "mallory"),
    ("content-length", "99"),
];

#[tokio::test]
async fn announced_trailers_follow_the_chunks() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = raw.route();
    let announced = "X-Checksum, Authorization, X-Forwarded-User, Content-Length, X-Never-Sent";
    let expected = "5\r\nhello\r\n0\r\nx-checksum: abc\r\n\r\n";
    let upstream = async {
        let mut connection = raw.accept().await;
        let head = connection.head().await;
        let body = connection.bytes(expected.len()).await;
        connection.write(OK).await;
        (head, String::from_utf8(body).unwrap())
    };
    let (answer, (head, sent)) =
        tokio::join!(stage.ask(&route, upload(announced, &SENT)), upstream);
    assert_eq!(body(answer.unwrap()).await.unwrap(), "ok");
    assert_eq!(sent, expected);
    assert_eq!(fields(&head, "trailer"), ["x-checksum, x-never-sent"]);
    assert_eq!(fields(&head, "transfer-encoding"), ["chunked"]);
    assert!(fields(&head, "content-length").is_empty(), "{head}");
}

#[tokio::test]
async fn trailers_that_are_not_announced_are_dropped() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = raw.route();
    for announced in ["", "X-Another", "Authorization, Content-Length, X-Forwarded-User"] {
        let expected = "5\r\nhello\r\n0\r\n\r\n";
        let upstream = async {
            let mut connection = raw.accept().await;
            let head = connection.head().await;
            let body = connection.bytes(expected.len()).await;
            connection
                .write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                .await;
            (head, String::from_utf8(body).unwrap())
        };
        let (answer, (_, sent)) =
            tokio::join!(stage.ask(&route, upload(announced, &SENT)), upstream);
        assert_eq!(body(answer.unwrap()).await.unwrap(), "ok");
        assert_eq!(sent, expected, "{announced}");
    }
}

#[tokio::test]
async fn an_upstream_over_http_2_gets_announced_trailers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    let (found, mut seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let found = found.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let found = found.clone();
                async move {
                    let announced = request.headers().get("trailer").cloned();
                    let collected = request.into_body().collect().await.unwrap();
                    found.send((announced, collected.trailers().cloned())).unwrap();
                    Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                }
            });
            let builder = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
        }
    });
    let (stage, route) = (Stage::new(), Arc::new(route(&[url])));
    stage.ask(&route, upload("x-checksum, authorization", &SENT)).await.unwrap();
    let (announced, trailers) = soon(seen.recv()).await.unwrap();
    assert_eq!(announced.unwrap(), "x-checksum");
    let kept = HeaderMap::from_iter([(
        HeaderName::from_static("x-checksum"),
        HeaderValue::from_static("abc"),
    )]);
    assert_eq!(trailers, Some(kept));
    stage.ask(&route, upload("", &SENT)).await.unwrap();
    assert_eq!(soon(seen.recv()).await.unwrap(), (None, None));
}
