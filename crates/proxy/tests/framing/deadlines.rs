//! Clients that are slow, silent or too many.

use std::time::Duration;

use doorward::listen::{Drained, Limits};
use tokio::time::{Instant, sleep, timeout};

use super::world::World;

const SHORT: Duration = Duration::from_millis(300);

fn short() -> Limits {
    Limits { first_head: SHORT, head: SHORT, idle: SHORT, body_grace: SHORT, ..Limits::default() }
}

#[tokio::test]
async fn a_head_has_its_time_however_it_drips() {
    // A connection that is idle for too long ends without a word; that is not what is shown here.
    let patient = Limits { idle: Duration::from_secs(10), ..short() };
    let world = World::with(patient, None).await;
    let begun = Instant::now();
    let mut client = world.connect().await;
    let drip = async {
        for octet in
            "GET / HTTP/1.1\r\nHost: a\r\nX: and so on and so on and so on".as_bytes().chunks(1)
        {
            client.send(octet).await;
            sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = timeout(Duration::from_millis(400), drip).await;
    let answers = client.until_closed().await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [408]);
    assert!(begun.elapsed() < Duration::from_secs(3));

    let mut second = world.connect().await;
    second.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(second.answer().await.body, "/1");
    second.send("GET /2 HT").await;
    assert_eq!(second.until_closed().await.first().map(|answer| answer.status), Some(408));
}

#[tokio::test]
async fn silence_is_answered_with_silence() {
    let world = World::with(short(), None).await;
    let mut client = world.connect().await;
    assert_eq!(client.until_closed().await, []);
    let mut idle = world.connect().await;
    idle.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(idle.answer().await.body, "/1");
    assert_eq!(idle.until_closed().await, []);
}

#[tokio::test]
async fn a_body_that_drips_is_given_up_and_one_that_waits_for_the_service_is_not() {
    let world = World::with(short(), None).await;
    let mut client = world.connect().await;
    client.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhello").await;
    let answers = client.until_closed().await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [408]);
    assert!(world.seen().is_empty());

    let mut client = world.connect().await;
    client.send("POST /late HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel").await;
    sleep(Duration::from_millis(500)).await;
    client.send("lo").await;
    assert_eq!(client.answer().await.body, "/late");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait() {
    let world = World::with(Limits { connections: 1, ..Limits::default() }, None).await;
    let mut first = world.connect().await;
    first.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(first.answer().await.body, "/1");
    let mut second = world.connect().await;
    second.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(world.targets(), ["/1"]);
    drop(first);
    assert_eq!(second.answer().await.body, "/2");
}

#[tokio::test]
async fn a_drain_lets_requests_finish_and_takes_no_new_ones() {
    let world = World::start().await;
    let mut busy = world.connect().await;
    let mut idle = world.connect().await;
    idle.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(idle.answer().await.body, "/1");
    busy.send("GET /late HTTP/1.1\r\nHost: a\r\n\r\n").await;
    sleep(Duration::from_millis(100)).await;
    world.drain.begin();
    world.drain.begin();
    assert_eq!(idle.until_closed().await, []);
    let answers = busy.until_closed().await;
    assert_eq!(answers.first().map(|answer| answer.body.as_str()), Some("/late"));
    assert_eq!(world.serving.await.unwrap(), Drained::Clean);
    assert!(tokio::net::TcpStream::connect(world.address).await.is_err());
}

#[tokio::test]
async fn a_drain_does_not_wait_for_connections_that_never_said_a_word() {
    let world = World::start().await;
    let mut silent = world.connect().await;
    let mut late = world.connect().await;
    sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    world.drain.begin();
    // Made before the drain, with a request that was on its way: it is answered.
    late.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answers = late.until_closed().await;
    assert_eq!(answers.first().map(|answer| answer.body.as_str()), Some("/1"));
    assert_eq!(silent.until_closed().await, []);
    assert_eq!(world.serving.await.unwrap(), Drained::Clean);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
