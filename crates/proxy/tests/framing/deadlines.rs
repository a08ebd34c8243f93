//! Clients that are slow, silent or too many.

use std::time::Duration;

use doorward::listen::{Drained, Limits};
use tokio::time::{Instant, sleep, timeout};

use super::test_listener::TestListener;

const SHORT: Duration = Duration::from_millis(300);

fn short() -> Limits {
    Limits { first_head: SHORT, head: SHORT, idle: SHORT, body_grace: SHORT, ..Limits::default() }
}

#[tokio::test]
async fn a_slow_head_times_out() {
    // The idle time must not end the connection first: it would be closed without an answer.
    let patient = Limits { idle: Duration::from_secs(10), ..short() };
    let listener = TestListener::with(patient, None).await;
    let begun = Instant::now();
    let mut client = listener.connect().await;
    let drip = async {
        for byte in
            "GET / HTTP/1.1\r\nHost: a\r\nX: and so on and so on and so on".as_bytes().chunks(1)
        {
            client.send(byte).await;
            sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = timeout(Duration::from_millis(400), drip).await;
    let answers = client.until_closed().await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [408]);
    assert!(begun.elapsed() < Duration::from_secs(3));

    let mut second = listener.connect().await;
    second.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(second.answer().await.body, "/1");
    second.send("GET /2 HT").await;
    assert_eq!(second.until_closed().await.first().map(|answer| answer.status), Some(408));
}

#[tokio::test]
async fn a_silent_connection_is_closed_without_an_answer() {
    let listener = TestListener::with(short(), None).await;
    let mut client = listener.connect().await;
    assert_eq!(client.until_closed().await, []);
    let mut idle = listener.connect().await;
    idle.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(idle.answer().await.body, "/1");
    assert_eq!(idle.until_closed().await, []);
}

#[tokio::test]
async fn only_a_body_that_the_client_delays_times_out() {
    let listener = TestListener::with(short(), None).await;
    let mut client = listener.connect().await;
    client.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhello").await;
    let answers = client.until_closed().await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [408]);
    assert!(listener.seen().is_empty());

    let mut client = listener.connect().await;
    client.send("POST /late HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel").await;
    sleep(Duration::from_millis(500)).await;
    client.send("lo").await;
    assert_eq!(client.answer().await.body, "/late");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let listener = TestListener::with(Limits { connections: 1, ..Limits::default() }, None).await;
    let mut first = listener.connect().await;
    first.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(first.answer().await.body, "/1");
    let mut second = listener.connect().await;
    second.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(listener.targets(), ["/1"]);
    drop(first);
    assert_eq!(second.answer().await.body, "/2");
}

#[tokio::test]
async fn a_drain_lets_requests_finish_and_takes_no_new_ones() {
    let listener = TestListener::start().await;
    let mut busy = listener.connect().await;
    let mut idle = listener.connect().await;
    idle.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(idle.answer().await.body, "/1");
    busy.send("GET /late HTTP/1.1\r\nHost: a\r\n\r\n").await;
    sleep(Duration::from_millis(100)).await;
    listener.drain.begin();
    listener.drain.begin();
    assert_eq!(idle.until_closed().await, []);
    let answers = busy.until_closed().await;
    assert_eq!(answers.first().map(|answer| answer.body.as_str()), Some("/late"));
    assert_eq!(listener.serving.await.unwrap(), Drained::Clean);
    assert!(tokio::net::TcpStream::connect(listener.address).await.is_err());
}

#[tokio::test]
async fn a_drain_does_not_wait_for_silent_connections() {
    let listener = TestListener::start().await;
    let mut silent = listener.connect().await;
    let mut late = listener.connect().await;
    sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    listener.drain.begin();
    // Made before the drain, with a request that was on its way: it is answered.
    late.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answers = late.until_closed().await;
    assert_eq!(answers.first().map(|answer| answer.body.as_str()), Some("/1"));
    assert_eq!(silent.until_closed().await, []);
    assert_eq!(listener.serving.await.unwrap(), Drained::Clean);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
