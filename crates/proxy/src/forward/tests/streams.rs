//! Streams: passed on as they come, ended with the session or token that opened them.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Request, Version};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use oidc_core::Secret;
use tokio::{net::TcpListener, sync::mpsc};

use super::{super::*, fixtures::*};
use crate::identify::authorization::Carrier;

const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A response whose first event has arrived, and the upstream's end of it.
async fn stream(
    stage: &Stage,
    route: &Arc<Route>,
    raw: &Raw,
    identity: Caller,
    credential: Credential,
) -> (Body, Peeled) {
    let upstream = async {
        let mut connection = raw.accept().await;
        connection.head().await;
        connection.write(HEAD).await;
        connection
    };
    let asking = stage.ask_as(route, get("/"), identity, credential);
    let (answer, connection) = tokio::join!(asking, upstream);
    (answer.unwrap().into_body(), connection)
}

async fn next(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    soon(body.frame()).await.map(|frame| frame.map(|frame| frame.into_data().unwrap()))
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let (mut body, mut connection) =
        stream(&stage, &raw.route(), &raw, Caller::Anonymous, Credential::None).await;
    for event in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
        connection.write(&format!("{:x}\r\n{event}\r\n", event.len())).await;
        assert_eq!(next(&mut body).await.unwrap().unwrap(), event);
    }
    connection.write("0\r\n\r\n").await;
    assert!(next(&mut body).await.is_none());
}

#[tokio::test]
async fn an_upload_streams_too() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = raw.route();
    let (sender, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(1);
    let parts = futures_util::stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|part| (part, receiver))
    });
    let upstream = async {
        let mut connection = raw.accept().await;
        connection.head().await;
        for part in ["one", "two"] {
            sender.send(Ok(Bytes::from_static(part.as_bytes()))).await.unwrap();
            assert_eq!(connection.bytes(8).await, format!("3\r\n{part}\r\n").as_bytes());
        }
        drop(sender);
        assert_eq!(connection.bytes(5).await, b"0\r\n\r\n");
        connection.write("HTTP/1.1 204 No Content\r\n\r\n").await;
    };
    let request = post("/", Body::from_stream(parts.boxed()));
    let (answer, ()) = tokio::join!(stage.ask(&route, request), upstream);
    assert_eq!(answer.unwrap().status(), 204);
}

#[tokio::test]
async fn the_response_timeout_starts_after_the_upload() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let mut route = route(&[raw.url()]);
    route.timeouts.response_head = Duration::from_millis(300);
    let route = Arc::new(route);
    let parts = futures_util::stream::unfold(0, async |sent| {
        tokio::time::sleep(Duration::from_millis(100)).await;
        (sent < 6).then(|| (Ok::<_, Infallible>(Bytes::from_static(b"x")), sent + 1))
    });
    let upstream = async {
        let mut connection = raw.accept().await;
        connection.head().await;
        connection.bytes(6 * 6 + 5).await;
        connection.write("HTTP/1.1 204 No Content\r\n\r\n").await;
    };
    let request = post("/", Body::from_stream(parts.boxed()));
    let (answer, ()) = tokio::join!(stage.ask(&route, request), upstream);
    assert_eq!(answer.unwrap().status(), 204);
}

#[tokio::test]
async fn a_stream_ends_with_its_session_and_the_upstream_notices() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let live = stage.session(known()).await;
    let (mut body, mut connection) = stream(
        &stage,
        &raw.route(),
        &raw,
        Caller::Known(live.known()),
        Credential::Session(live.clone()),
    )
    .await;
    connection.write("1\r\na\r\n").await;
    assert_eq!(next(&mut body).await.unwrap().unwrap(), "a");
    let waiting = tokio::spawn(async move { next(&mut body).await });
    stage.sessions.end(live.id()).await.unwrap();
    let error = soon(waiting).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the response was ended: the session has ended");
    assert_eq!(connection.rest().await, b"");
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let credential = Credential::Bearer {
        token: Secret::from("t"),
        good_until: Some(stage.clock.now() + Duration::from_millis(50)),
        carrier: Carrier::Bearer,
    };
    let identity = Caller::Known(known().into());
    let (mut body, _connection) = stream(&stage, &raw.route(), &raw, identity, credential).await;
    let error = next(&mut body).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the response was ended: the bearer token has expired");
}

#[tokio::test]
async fn an_upload_of_a_session_that_ends_is_stopped() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let live = stage.session(known()).await;
    let first = futures_util::stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"x"))]);
    let request = post("/", Body::from_stream(first.chain(futures_util::stream::pending())));
    let route = raw.route();
    let upstream = async {
        let mut connection = raw.accept().await;
        connection.head().await;
        connection.bytes(6).await;
        stage.sessions.end(live.id()).await.unwrap();
        connection.rest().await
    };
    let asking = stage.ask_as(
        &route,
        request,
        Caller::Known(live.known()),
        Credential::Session(live.clone()),
    );
    let (refused, rest) = tokio::join!(asking, upstream);
    assert!(matches!(refused, Err(Refusal::LoginNeeded { redirect: false, .. })), "{refused:?}");
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn an_idle_stream_ends() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let mut route = route(&[raw.url()]);
    route.timeouts.idle = Duration::from_millis(60);
    let (mut body, _connection) =
        stream(&stage, &Arc::new(route), &raw, Caller::Anonymous, Credential::None).await;
    assert!(next(&mut body).await.unwrap().is_err());
}

/// A server for HTTP/2 in clear text that echoes like a gRPC service.
async fn grpc_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(async |request: Request<hyper::body::Incoming>| {
                assert_eq!(request.version(), Version::HTTP_2);
                assert_eq!(request.headers()["te"], "trailers");
                assert!(!request.headers().contains_key("host"));
                let seen = format!(
                    "{} {} {}",
                    request.method(),
                    request.uri(),
                    request.headers()["x-forwarded-host"].to_str().unwrap()
                );
                let sent = request.into_body().collect().await.unwrap().to_bytes();
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                trailers.insert("content-length", "7".parse().unwrap());
                trailers.insert("x-doorward-assertion", "forged".parse().unwrap());
                let frames =
                    [Ok::<_, Infallible>(Frame::data(sent)), Ok(Frame::trailers(trailers))];
                Ok::<_, Infallible>(
                    Response::builder()
                        .header("content-type", "application/grpc")
                        .header("x-seen", seen)
                        .body(StreamBody::new(futures_util::stream::iter(frames)))
                        .unwrap(),
                )
            });
            tokio::spawn(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    url
}

#[tokio::test]
async fn grpc_trailers_pass_without_forged_fields() {
    let stage = Stage::new();
    let route = Arc::new(route(&[grpc_server().await]));
    for _ in 0..3 {
        let request = Request::post("/score.Model/Predict")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Body::from("\0\0\0\0\x02ab"))
            .unwrap();
        let answer = stage.ask(&route, request).await.unwrap();
        assert_eq!(
            answer.headers()["x-seen"],
            "POST http://platform.example/score.Model/Predict platform.example"
        );
        let collected = soon(answer.into_body().collect()).await.unwrap();
        let trailers = collected.trailers().cloned().unwrap();
        assert_eq!(trailers.len(), 1);
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(collected.to_bytes(), "\0\0\0\0\x02ab");
    }
}

#[tokio::test]
async fn trailers_of_an_http1_response_are_passed_on() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = raw.route();
    let answer = "HTTP/1.1 200 OK\r\nTrailer: x-checksum, set-cookie\r\nTransfer-Encoding: chunked\r\n\r\n\
        2\r\nok\r\n0\r\nx-checksum: 42\r\nset-cookie: a=b\r\n\r\n";
    let (response, _) = tokio::join!(stage.ask(&route, get("/")), raw.serve_one(answer));
    let collected = soon(response.unwrap().into_body().collect()).await.unwrap();
    let trailers = collected.trailers().cloned().unwrap();
    assert_eq!(trailers["x-checksum"], "42");
    assert!(!trailers.contains_key("set-cookie"));
}

/// A bearer token that is good for this long.
fn bearer(stage: &Stage, left: Duration) -> Credential {
    Credential::Bearer {
        token: Secret::from("t"),
        carrier: Carrier::Bearer,
        good_until: Some(stage.clock.now() + left),
    }
}

#[tokio::test]
async fn a_download_outlives_its_token() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let upstream = async {
        let mut connection = raw.accept().await;
        connection.head().await;
        connection.write("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\nfirst").await;
        connection
    };
    let credential = bearer(&stage, Duration::from_millis(50));
    let route = raw.route();
    let asking = stage.ask_as(&route, get("/"), Caller::Known(known().into()), credential);
    let (answer, mut connection) = tokio::join!(asking, upstream);
    let mut body = answer.unwrap().into_body();
    assert_eq!(next(&mut body).await.unwrap().unwrap(), "first");
    tokio::time::sleep(Duration::from_millis(100)).await;
    connection.write("second").await;
    assert_eq!(next(&mut body).await.unwrap().unwrap(), "second");
}

#[tokio::test]
async fn an_answer_after_the_tokens_end_is_delivered() {
    for answer in [
        "HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\ndone",
        "HTTP/1.1 201 Created\r\nContent-Type: text/event-stream\r\nContent-Length: 4\r\n\r\ndone",
    ] {
        let (stage, raw) = (Stage::new(), Raw::new().await);
        let parts = futures_util::stream::unfold(0, async |sent| {
            tokio::time::sleep(Duration::from_millis(30)).await;
            (sent < 5).then(|| (Ok::<_, Infallible>(Bytes::from_static(b"x")), sent + 1))
        });
        let upstream = async {
            let mut connection = raw.accept().await;
            connection.head().await;
            connection.bytes(5 * 6 + 5).await;
            connection.write(answer).await;
        };
        let request = post("/", Body::from_stream(parts.boxed()));
        let credential = bearer(&stage, Duration::from_millis(50));
        let route = raw.route();
        let asking = stage.ask_as(&route, request, Caller::Known(known().into()), credential);
        let (response, ()) = tokio::join!(asking, upstream);
        assert_eq!(body(response.unwrap()).await.unwrap(), "done", "{answer}");
    }
}

#[tokio::test]
async fn a_route_can_let_streams_outlive_their_token() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let mut route = route(&[raw.url()]);
    route.streams = crate::config::Streams::UntilDone;
    let credential = bearer(&stage, Duration::from_millis(50));
    let identity = Caller::Known(known().into());
    let (mut body, mut connection) =
        stream(&stage, &Arc::new(route), &raw, identity, credential).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    connection.write("1\r\na\r\n").await;
    assert_eq!(next(&mut body).await.unwrap().unwrap(), "a");
}

#[tokio::test]
async fn a_grpc_call_ends_with_its_token() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let upstream = async {
        let mut connection = raw.accept().await;
        connection.head().await;
        connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        connection
    };
    let mut request = get("/");
    request.headers_mut().insert("content-type", "Application/gRPC".parse().unwrap());
    let credential = bearer(&stage, Duration::from_millis(300));
    let route = raw.route();
    let asking = stage.ask_as(&route, request, Caller::Known(known().into()), credential);
    let (answer, _connection) = tokio::join!(asking, upstream);
    let error = next(&mut answer.unwrap().into_body()).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the response was ended: the bearer token has expired");
}
