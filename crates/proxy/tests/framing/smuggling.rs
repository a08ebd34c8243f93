//! Requests that two parsers frame differently never become two requests.

use super::{
    cases::{CHUNKS, CONTENT_LENGTHS, TRANSFER_ENCODINGS},
    test_listener::{Answer, TestListener},
};

const CANARY: &str = "GET /admin/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
const PROBE: &str = "GET /probe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// The outer request is refused with one answer and a close, the canary never arrives, and the next client is served.
async fn refused(listener: &TestListener, bytes: String) -> Answer {
    let shown = bytes.clone();
    let mut answers = listener.exchange(bytes).await;
    assert_eq!(answers.len(), 1, "{shown:?}: {answers:?}");
    let answer = answers.remove(0);
    assert!(matches!(answer.status, 400 | 414 | 417 | 431 | 501 | 505), "{shown:?}: {answer:?}");
    assert!(answer.closes, "{shown:?}: {answer:?}");
    assert!(
        listener.targets().iter().all(|target| target == "/probe"),
        "{shown:?} reached the service"
    );
    let probe = listener.exchange(PROBE).await;
    assert_eq!(probe.first().map(|answer| answer.body.as_str()), Some("/probe"), "{shown:?}");
    answer
}

fn with(field: &str) -> String {
    format!("POST /outer HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n")
}

#[tokio::test]
async fn transfer_encodings_other_than_chunked_alone() {
    let listener = TestListener::start().await;
    for field in TRANSFER_ENCODINGS {
        refused(&listener, with(field) + "0\r\n\r\n" + CANARY).await;
    }
    for fields in [
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 6",
    ] {
        refused(&listener, with(fields) + "0\r\n\r\n" + CANARY).await;
    }
    let by_10 = "POST /outer HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    refused(&listener, by_10.to_owned() + CANARY).await;
}

#[tokio::test]
async fn content_lengths_that_are_not_one_number() {
    let listener = TestListener::start().await;
    for value in CONTENT_LENGTHS {
        refused(&listener, with(&format!("Content-Length: {value}")) + "hello" + CANARY).await;
    }
}

#[tokio::test]
async fn chunks_in_any_other_form() {
    let listener = TestListener::start().await;
    for body in CHUNKS {
        let chunked = with("Transfer-Encoding: chunked");
        refused(&listener, chunked + body + CANARY).await;
    }
}

#[tokio::test]
async fn heads_in_any_other_form() {
    let listener = TestListener::start().await;
    for head in [
        "GET /outer HTTP/1.1\nHost: a\n\n",
        "GET /outer HTTP/1.1\r\nHost: a\r\nX: b\n\r\n",
        "GET /outer HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n",
        "GET /outer HTTP/1.1\r\nHost: a\r\nX: b\0\r\n\r\n",
        "GET /outer HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n",
        "GET /outer HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET /outer HTTP/1.1\r\nHost: a\r\nX_Forwarded_User: m\r\n\r\n",
        "GET /outer HTTP/1.1\r\nHost: a\r\nX-Forwarded-User : m\r\n\r\n",
        "GET /outer HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET /outer HTTP/1.1\r\nHost: a@b\r\n\r\n",
        "GET /outer HTTP/1.1\r\n\r\n",
        "GET /outer HTTP/1.0\r\n\r\n",
        "GET /outer HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nAuthorization: y\r\n\r\n",
        "GET /outer HTTP/1.1\r\nHost: a\r\nCookie: x\r\nCookie: y\r\n\r\n",
        "GET /outer HTTP/1.1\r\nHost: a\r\nOrigin: x\r\nOrigin: y\r\n\r\n",
        "GET http://a@b/outer HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        "TRACE /outer HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /outer#fragment HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /outer\\x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /outer HTTP/2.0\r\nHost: a\r\n\r\n",
        "\r\nGET /outer HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /outer HTTP/1.1\r\nHost: a\r\nExpect: something\r\n\r\n",
        "GET /outer HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 3\r\n\r\nabc",
    ] {
        refused(&listener, head.to_owned() + CANARY).await;
    }
}

#[tokio::test]
async fn every_refusal_has_its_status() {
    let listener = TestListener::start().await;
    for (bytes, status) in [
        ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 501),
        (with("Expect: something"), 417),
        (format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000)), 414),
        (with(&format!("X: {}", "a".repeat(33_000))), 431),
        (with("X: a\r\n".repeat(101).trim_end()), 431),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n".to_owned(), 505),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
    ] {
        assert_eq!(refused(&listener, bytes).await.status, status);
    }
}

#[tokio::test]
async fn valid_neighbours_pass() {
    let listener = TestListener::start().await;
    let mut client = listener.connect().await;
    for (bytes, body) in [
        (with("Transfer-Encoding: Chunked") + "5\r\nhello\r\n00a\r\n0123456789\r\n0\r\n\r\n", "hello0123456789"),
        (with("Content-Length: 5") + "hello", "hello"),
        (with("Content-Length: 0"), ""),
        (with("X-Empty:\r\nAccept: a\r\nAccept: b"), ""),
        ("GET /outer HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_owned(), "hello"),
        ("OPTIONS /outer HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_owned(), "ok"),
        (with("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 2") + "ok", "ok"),
    ] {
        client.send(&bytes).await;
        assert_eq!(client.answer().await.body, "/outer", "{bytes:?}");
        assert_eq!(listener.seen().last().unwrap().body, body.as_bytes(), "{bytes:?}");
    }
    client.send(PROBE).await;
    assert_eq!(client.until_closed().await.len(), 1);
}

#[tokio::test]
async fn trailers_never_reach_the_service() {
    let listener = TestListener::start().await;
    let mut client = listener.connect().await;
    let trailers = "0\r\nX-Forwarded-User: mallory\r\nAuthorization: x\r\nCookie: y\r\nContent-Length: 99\r\n\r\n";
    client
        .send(
            with("Transfer-Encoding: chunked\r\nTrailer: X-Forwarded-User")
                + "1\r\nx\r\n"
                + trailers,
        )
        .await;
    assert_eq!(client.answer().await.status, 200);
    let seen = listener.seen().remove(0);
    assert!(!seen.trailers);
    assert!(!seen.headers.contains_key("x-forwarded-user") && !seen.headers.contains_key("cookie"));
    client.send(PROBE).await;
    assert_eq!(client.answer().await.body, "/probe");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let listener = TestListener::start().await;
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let answers =
        listener.exchange(get("/1") + &get("/2") + &with("Content-Length: 1") + "x" + PROBE).await;
    let bodies: Vec<_> = answers.iter().map(|answer| answer.body.as_str()).collect();
    assert_eq!(bodies, ["/1", "/2", "/outer", "/probe"]);

    let answers = listener
        .exchange(get("/3") + &get("/late") + "GET /bad HTTP/1.1\r\nHost: a@b\r\n\r\n" + CANARY)
        .await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 400]);
    assert_eq!(listener.targets().split_off(4), ["/3", "/late"]);
}

#[tokio::test]
async fn a_malformed_body_never_arrives_whole() {
    let listener = TestListener::start().await;
    let mut client = listener.connect().await;
    client.send(with("Transfer-Encoding: chunked") + "5\r\nhello\r\n").await;
    tokio::task::yield_now().await;
    client.send("zz\r\n").await;
    client.send(CANARY).await;
    let answers = client.until_closed().await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [400]);
    assert!(listener.seen().is_empty());
}

#[tokio::test]
async fn an_early_answer_does_not_turn_the_body_into_requests() {
    let listener = TestListener::start().await;
    let early = "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    let answers = listener.exchange(early.to_owned() + &CANARY.repeat(20)).await;
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(listener.seen().is_empty());
}

#[tokio::test]
async fn a_body_that_is_expected_is_asked_for() {
    let listener = TestListener::start().await;
    let mut client = listener.connect().await;
    client.send(with("Expect: 100-continue\r\nContent-Length: 5")).await;
    assert_eq!(client.answer().await.status, 100);
    client.send("hello").await;
    assert_eq!(client.answer().await.body, "/outer");
}

#[tokio::test]
async fn single_bytes_give_the_same_answers() {
    let listener = TestListener::start().await;
    let mut client = listener.connect().await;
    let bytes = with("Transfer-Encoding: chunked")
        + "3\r\nabc\r\n0\r\nT: x\r\n\r\n"
        + &with("Content-Length: 2")
        + "ok"
        + PROBE;
    for byte in bytes.as_bytes().chunks(1) {
        client.send(byte).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.until_closed().await.len(), 3);
    let bodies: Vec<_> = listener.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, [b"abc".to_vec(), b"ok".to_vec(), Vec::new()]);
    assert_eq!(listener.seen().last().unwrap().method, "GET");
}

#[tokio::test]
async fn a_half_closed_body_is_no_request() {
    let listener = TestListener::start().await;
    for bytes in
        [with("Content-Length: 9") + "hello", with("Transfer-Encoding: chunked") + "5\r\nhello\r\n"]
    {
        let mut client = listener.connect().await;
        client.send(bytes).await;
        tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
        let answers = client.until_closed().await;
        assert!(answers.iter().all(|answer| answer.status >= 400), "{answers:?}");
    }
    assert!(listener.seen().is_empty());
}

#[tokio::test]
async fn a_panic_is_one_500() {
    let listener = TestListener::start().await;
    let mut client = listener.connect().await;
    client.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 500);
    client.send(PROBE).await;
    assert_eq!(client.answer().await.body, "/probe");
}
