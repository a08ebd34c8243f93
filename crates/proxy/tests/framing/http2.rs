//! HTTP/2 by prior knowledge: the same service, the same rules.

use std::{convert::Infallible, task::Poll, time::Duration};

use bytes::Bytes;
use doorward::listen::Limits;
use futures_util::stream::poll_fn;
use http::{HeaderMap, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::{sleep, timeout},
};

use super::test_listener::TestListener;

pub(crate) type Sender = http2::SendRequest<BoxBody<Bytes, Infallible>>;

pub(crate) async fn speak<T>(io: T) -> Sender
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) fn text(text: &'static str) -> BoxBody<Bytes, Infallible> {
    Full::new(Bytes::from(text)).boxed()
}

#[tokio::test]
async fn requests_arrive_and_trailers_do_not() {
    let listener = TestListener::start().await;
    let mut sender = speak(listener.connect().await.stream).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-forwarded-user", "mallory".parse().unwrap());
    let frames = [Ok(Frame::data(Bytes::from("hello"))), Ok(Frame::trailers(trailers))];
    let body = StreamBody::new(futures_util::stream::iter(frames)).boxed();
    let request = Request::post(format!("http://{}/h2", listener.address)).body(body).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "/h2");
    let seen = listener.seen().remove(0);
    assert_eq!((seen.body, seen.trailers), (b"hello".to_vec(), false));
}

#[tokio::test]
async fn http_2_refuses_the_requests_that_http_1_refuses() {
    let listener = TestListener::start().await;
    let mut sender = speak(listener.connect().await.stream).await;
    for (name, value) in [
        ("host", "other.example"),
        ("x_forwarded_user", "mallory"),
        ("x.forwarded.user", "mallory"),
        ("expect", "something"),
    ] {
        let request = Request::get(format!("http://{}/h2", listener.address))
            .header(name, value)
            .body(text(""))
            .unwrap();
        let refused = match sender.send_request(request).await {
            Ok(answer) => answer.status().is_client_error(),
            Err(_) => true,
        };
        assert!(refused, "{name}: {value}");
        if sender.ready().await.is_err() {
            sender = speak(listener.connect().await.stream).await;
        }
    }
    let connect = Request::connect("a:443").body(text("")).unwrap();
    assert!(!sender.send_request(connect).await.is_ok_and(|answer| answer.status().is_success()));
    assert!(listener.seen().is_empty());
}

#[tokio::test]
async fn a_panic_is_one_500_and_the_connection_goes_on() {
    let listener = TestListener::start().await;
    let mut sender = speak(listener.connect().await.stream).await;
    let mut get = async |path: &str| {
        let request =
            Request::get(format!("http://{}{path}", listener.address)).body(text("")).unwrap();
        sender.send_request(request).await.unwrap().status()
    };
    assert_eq!(get("/panic").await, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(get("/switch").await, StatusCode::BAD_GATEWAY);
    assert_eq!(get("/fine").await, StatusCode::OK);
}

/// A body that continues while its sender exists; the sender is closed when the body is dropped.
fn dripping() -> (mpsc::Sender<&'static str>, BoxBody<Bytes, Infallible>) {
    let (sender, mut receiver) = mpsc::channel(1);
    let frames = poll_fn(move |context| {
        let next: Poll<Option<&str>> = receiver.poll_recv(context);
        next.map(|next| next.map(|text| Ok(Frame::data(Bytes::from(text)))))
    });
    (sender, BoxBody::new(StreamBody::new(frames)))
}

#[tokio::test]
async fn a_body_may_pause_only_while_a_response_is_in_progress() {
    let grace = Duration::from_millis(200);
    let listener =
        TestListener::with(Limits { body_grace: grace, ..Limits::default() }, None).await;
    let mut sender = speak(listener.connect().await.stream).await;
    let post = |path: &str, body| {
        Request::post(format!("http://{}{path}", listener.address)).body(body).unwrap()
    };

    let (talking, body) = dripping();
    let mut answer = sender.send_request(post("/talk", body)).await.unwrap().into_body();
    for text in ["one", "two"] {
        sleep(3 * grace).await;
        talking.send(text).await.unwrap();
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), text);
    }

    // Not answered yet; answered already.
    for (path, status) in [("/slow", StatusCode::BAD_GATEWAY), ("/aside", StatusCode::OK)] {
        let (silent, body) = dripping();
        let answer = sender.send_request(post(path, body)).await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        answer.into_body().collect().await.unwrap();
        timeout(Duration::from_secs(5), silent.closed()).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_with_an_open_stream_is_not_idle() {
    let idle = Duration::from_millis(200);
    let listener = TestListener::with(Limits { idle, ..Limits::default() }, None).await;
    let mut sender = speak(listener.connect().await.stream).await;
    let (talking, body) = dripping();
    let request = Request::post(format!("http://{}/talk", listener.address)).body(body).unwrap();
    let mut answer = sender.send_request(request).await.unwrap().into_body();
    sleep(5 * idle).await;
    // After GOAWAY, the connection would take no further request.
    sender.ready().await.unwrap();
    let request = Request::get(format!("http://{}/fine", listener.address)).body(text("")).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), StatusCode::OK);
    talking.send("still").await.unwrap();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "still");

    drop(talking);
    assert_eq!(answer.collect().await.unwrap().to_bytes(), "");
    let closed = async {
        while !sender.is_closed() {
            sleep(idle / 4).await;
        }
    };
    timeout(Duration::from_secs(10), closed).await.expect("an idle connection stays open");
}

#[tokio::test]
async fn a_drain_lets_streams_finish_and_opens_none() {
    let listener = TestListener::start().await;
    let mut sender = speak(listener.connect().await.stream).await;
    let url = |path: &str| format!("http://{}{path}", listener.address);
    let get = |path: &str| Request::get(url(path)).body(text("")).unwrap();
    let late = tokio::spawn(sender.send_request(get("/late")));
    sleep(Duration::from_millis(100)).await;
    listener.drain.begin();
    let answer = late.await.unwrap().unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "/late");
    // GOAWAY has come: the client opens no stream on this connection any more.
    timeout(Duration::from_secs(2), async {
        while sender.ready().await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(listener.serving.await.unwrap(), doorward::listen::Drained::Clean);
}

#[tokio::test]
async fn a_lame_duck_serves_streams_on_the_same_connection() {
    let listener = TestListener::start().await;
    listener.drain.set_times(doorward::config::Shutdown {
        lame_duck: Duration::from_secs(2),
        ..Default::default()
    });
    let mut sender = speak(listener.connect().await.stream).await;
    listener.drain.begin();
    for _ in 0..3 {
        let request = Request::get(format!("http://{}/h2", listener.address)).body(text(""));
        let answer = sender.send_request(request.unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.headers().get("connection").is_none());
    }
    sleep(Duration::from_millis(2_500)).await;
    assert!(sender.ready().await.is_err(), "the lame-duck time is over");
}
