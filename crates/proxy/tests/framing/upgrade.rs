//! Bytes behind a WebSocket handshake wait for the answer: a tunnel after 101, requests after any other status.

use tokio::io::AsyncReadExt;

use super::test_listener::TestListener;

const ASK: &str = "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[tokio::test]
async fn after_101_all_bytes_pass_in_both_directions() {
    let listener = TestListener::start().await;
    let mut client = listener.connect().await;
    let early = "GET /not-http HTTP/1.1\r\nbare\n\0\r\r";
    client.send(format!("GET /ws HTTP/1.1\r\n{ASK}{early}")).await;
    assert_eq!(client.answer().await.status, 101);
    client.send("and more").await;
    let mut echoed = vec![0; early.len() + 8];
    client.stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(echoed, format!("{early}and more").as_bytes());
    assert!(listener.seen().is_empty());
}

#[tokio::test]
async fn after_another_answer_framing_stays_strict() {
    let listener = TestListener::start().await;
    let mut client = listener.connect().await;
    let next = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    client.send(format!("GET /ws?no HTTP/1.1\r\n{ASK}{next}")).await;
    let bodies: Vec<_> =
        client.until_closed().await.into_iter().map(|answer| answer.body).collect();
    assert_eq!(bodies, ["declined", "/next"]);

    let smuggled = "GET /admin/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let bad = format!("GET /bad HTTP/1.1\r\nHost: a\r\nX: b\n\r\n{smuggled}");
    let answers = listener.exchange(format!("GET /ws?no HTTP/1.1\r\n{ASK}{bad}")).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 400]);
    assert_eq!(listener.targets(), ["/next"]);
}

#[tokio::test]
async fn an_unrequested_101_is_refused() {
    let listener = TestListener::start().await;
    for fields in ["", "Upgrade: h2c\r\nConnection: upgrade\r\n"] {
        let bytes = format!(
            "GET /switch HTTP/1.1\r\nHost: a\r\n{fields}\r\nGET /admin/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        let answers = listener.exchange(bytes).await;
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [502]);
    }
    assert!(listener.seen().is_empty());
}

#[tokio::test]
async fn a_tunnel_keeps_the_drain_waiting_until_it_ends() {
    let listener = TestListener::start().await;
    let mut client = listener.connect().await;
    client.send(format!("GET /ws HTTP/1.1\r\n{ASK}")).await;
    assert_eq!(client.answer().await.status, 101);
    listener.drain.begin();
    client.send("still here").await;
    let mut echoed = [0; 10];
    client.stream.read_exact(&mut echoed).await.unwrap();
    assert!(!listener.serving.is_finished());
    drop(client);
    assert_eq!(listener.serving.await.unwrap(), doorward::listen::Drained::Clean);
}
