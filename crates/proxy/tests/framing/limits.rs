//! Each limit on a client of the listener, from the client's side.

use std::time::Duration;

use doorward::listen::Limits;
use http_canonical::framing::HeadLimits;
use tokio::time::{Instant, sleep};

use super::test_listener::TestListener;

const GET: &str = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn one_address_may_have_so_many_connections() {
    let listener = TestListener::with(Limits { per_address: 2, ..Limits::default() }, None).await;
    let mut first = listener.connect().await;
    let mut second = listener.connect().await;
    for client in [&mut first, &mut second] {
        client.send(GET).await;
        assert_eq!(client.answer().await.body, "/1");
    }
    let begun = Instant::now();
    assert_eq!(listener.connect().await.until_closed().await, [], "closed without an answer");
    assert!(begun.elapsed() < Duration::from_secs(5), "at once");
    first.send(GET).await;
    assert_eq!(first.answer().await.body, "/1", "the others stay");
    drop(second);
    sleep(Duration::from_millis(100)).await;
    let mut third = listener.connect().await;
    third.send(GET).await;
    assert_eq!(third.answer().await.body, "/1");
}

#[tokio::test]
async fn an_upload_may_pause_for_the_configured_time() {
    let pausing = Limits { body_grace: Duration::from_millis(800), ..Limits::default() };
    let listener = TestListener::with(pausing, None).await;
    let mut client = listener.connect().await;
    client.send("POST /late HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send("3\r\nhel\r\n").await;
    sleep(Duration::from_millis(500)).await;
    client.send("2\r\nlo\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.body, "/late");

    let mut client = listener.connect().await;
    client.send("POST /late HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send("3\r\nhel\r\n").await;
    let begun = Instant::now();
    let answers = client.until_closed().await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [408]);
    assert!((700..2500).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_larger_head_passes_where_it_is_configured() {
    let head_size = HeadLimits { line: 16 * 1024, head: 64 * 1024, ..HeadLimits::default() };
    let wide = TestListener::with(Limits { head_size, ..Limits::default() }, None).await;
    let narrow = TestListener::start().await;
    let large = format!(
        "GET /{} HTTP/1.1\r\nHost: a\r\nX: {}\r\nConnection: close\r\n\r\n",
        "p".repeat(12 * 1024),
        "x".repeat(40 * 1024)
    );
    let status = async |listener: &TestListener| {
        listener.exchange(&large).await.first().map(|answer| answer.status)
    };
    assert_eq!(status(&wide).await, Some(200));
    assert_eq!(status(&narrow).await, Some(414));
}
