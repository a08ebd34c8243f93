//! Connections on which nothing happens: they keep no parser, and are served as every other when something does.

use std::time::Duration;

use doorward::listen::Limits;
use tokio::{
    io::AsyncReadExt,
    time::{Instant, sleep},
};

use super::test_listener::{Client, TestListener};

/// Longer than a connection has to be silent before it counts as quiet.
const SILENCE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(20);

const GET: &str = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";

/// Copies of the service of a listener without a connection: its own, and its socket's.
const OWN: usize = 2;

/// Waits until the listener has so many copies of its service: one for each connection and one for each parser, beside its own.
async fn until(listener: &TestListener, services: usize) {
    let begun = Instant::now();
    while listener.services() != services {
        assert!(begun.elapsed() < PATIENCE, "{} and not {services}", listener.services());
        sleep(Duration::from_millis(20)).await;
    }
}

/// A connection that was used once, and is quiet.
async fn quiet(listener: &TestListener) -> Client {
    let mut client = listener.connect().await;
    client.send(GET).await;
    assert_eq!(client.answer().await.body, "/1");
    until(listener, OWN + 1).await;
    client
}

#[tokio::test]
async fn a_quiet_connection_keeps_no_parser_and_is_served() {
    let listener = TestListener::start().await;
    let mut client = quiet(&listener).await;
    for round in 0..2 {
        client.send("POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await;
        assert_eq!(client.answer().await.body, "/2");
        client.send("GET /3 HTTP/1.1\r\nHo").await;
        client.send("st: a\r\n\r\n").await;
        assert_eq!(client.answer().await.body, "/3");
        until(&listener, OWN + 1).await;
        assert_eq!(listener.seen().len(), 3 + 2 * round);
    }
    assert_eq!(listener.seen()[1].body, b"hello");
    client.send("GET /4 HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n").await;
    let answers = client.until_closed().await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [400]);
}

#[tokio::test]
async fn a_head_in_pieces_has_no_parser_before_its_end() {
    let listener = TestListener::start().await;
    let mut client = listener.connect().await;
    for piece in ["GET /1 HTTP/1.1\r\nHo", "st: a\r\nX-Slow", ": 1\r\n"] {
        client.send(piece).await;
        until(&listener, OWN + 1).await;
        sleep(Duration::from_millis(100)).await;
        assert_eq!(listener.services(), OWN + 1);
    }
    client.send("\r\n").await;
    assert_eq!(client.answer().await.body, "/1");
}

#[tokio::test]
async fn a_quiet_connection_may_become_a_websocket() {
    let listener = TestListener::start().await;
    let mut client = quiet(&listener).await;
    client
        .send(
            "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    assert_eq!(client.answer().await.status, 101);
    client.send("anything").await;
    let mut echoed = [0; 8];
    client.stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"anything");
}

#[tokio::test]
async fn a_quiet_connection_ends_with_the_idle_time() {
    let idle = Duration::from_secs(5);
    let listener = TestListener::with(Limits { idle, ..Limits::default() }, None).await;
    let mut client = quiet(&listener).await;
    assert_eq!(client.until_closed().await, []);
}

#[tokio::test]
async fn a_drain_closes_a_quiet_connection_at_once() {
    let listener = TestListener::start().await;
    let mut client = quiet(&listener).await;
    listener.drain.begin();
    assert_eq!(client.until_closed().await, []);
}

#[tokio::test]
async fn a_pause_within_an_exchange_is_not_quiet() {
    let listener = TestListener::start().await;
    let mut client = listener.connect().await;
    client.send("POST /talk HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello").await;
    sleep(SILENCE).await;
    client.send("world").await;
    let answer = client.answer().await;
    assert_eq!((answer.body.as_str(), answer.closes), ("helloworld", false));
    client.send(GET).await;
    assert_eq!(client.answer().await.body, "/1", "the connection was kept");
}
