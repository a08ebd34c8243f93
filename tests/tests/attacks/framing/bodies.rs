//! Bytes behind a head: bodies, bodies that are waited for or break off, and bytes after a handshake.

use std::time::Duration;

use anyhow::Result;

use super::{after, attack, canary, forwarded, latin1, post, refused};
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_a_body_stays_a_body() -> Result<()> {
    let stage = Stage::new("attack-framing-bodies").await?;
    let hidden = String::from_utf8(stage.filled(canary().as_bytes()))?;
    let length = hidden.len();
    let chunked = format!("{length:x}\r\n{hidden}\r\n0\r\n\r\n");
    for method in ["GET", "HEAD", "OPTIONS", "DELETE", "POST", "PUT", "PATCH", "PROPFIND"] {
        for (framing, body) in [
            (format!("Content-Length: {length}"), &hidden),
            ("Transfer-Encoding: chunked".to_owned(), &chunked),
        ] {
            let head =
                format!("{method} /public/outer HTTP/1.1\r\nHost: HOST\r\n{framing}\r\n\r\n");
            forwarded(&stage, &format!("{head}{body}"), &[200], &hidden).await?;
        }
    }
    // Refused or answered before the body was read: the rest of the body is not a request.
    let alice = stage.sign_in("alice").await?;
    for (line, status) in [
        ("POST /admin/x HTTP/1.1\r\nHost: HOST".to_owned(), 401),
        ("GET /admin/x HTTP/1.1\r\nHost: HOST".to_owned(), 401),
        ("POST /nowhere HTTP/1.1\r\nHost: HOST".to_owned(), 404),
        ("POST /public/../x HTTP/1.1\r\nHost: HOST".to_owned(), 400),
        ("POST /public/a HTTP/1.1\r\nHost: elsewhere.test".to_owned(), 421),
        ("POST /oauth2/userinfo HTTP/1.1\r\nHost: HOST".to_owned(), 405),
        ("GET /oauth2/sign_in HTTP/1.1\r\nHost: HOST".to_owned(), 200),
        ("POST /oauth2/backchannel_logout HTTP/1.1\r\nHost: HOST".to_owned(), 400),
        (format!("POST /oauth2/sign_out HTTP/1.1\r\nHost: HOST\r\nCookie: {alice}"), 403),
        ("POST /admin/x HTTP/1.1\r\nHost: HOST\r\nExpect: 100-continue".to_owned(), 401),
    ] {
        for (framing, body) in [
            (format!("Content-Length: {length}"), &hidden),
            ("Transfer-Encoding: chunked".to_owned(), &chunked),
        ] {
            let text = format!("{line}\r\n{framing}\r\n\r\n{body}");
            let (answer, reached) = attack(&stage, &text).await?;
            assert_eq!(answer.statuses(), [status], "{text:?}: {answer:?}");
            assert!(reached.is_empty(), "{text:?}");
            let followed = format!("{text}GET /public/behind HTTP/1.1\r\nHost: HOST\r\n\r\n");
            let (answer, reached) = attack(&stage, &followed).await?;
            // Either the body was read to its end, or the connection was closed.
            match answer.statuses().as_slice() {
                [first] => {
                    assert!(*first == status && answer.closed && reached.is_empty(), "{answer:?}")
                }
                [first, 200] => assert!(*first == status && reached.len() == 1, "{answer:?}"),
                _ => panic!("{followed:?}: {answer:?}"),
            }
        }
    }
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_100_continue_hides_nothing() -> Result<()> {
    let stage = Stage::new("attack-framing-expect").await?;
    for expect in ["Expect: 100-continue", "expect:100-Continue", "Expect: \t100-continue "] {
        // The body goes out only after the gateway asks for it.
        let before = stage.upstream.requests().len();
        let mut wire = stage.connect().await?;
        let head = post(&format!("{expect}\r\nContent-Length: 5"), "");
        wire.send(stage.filled(&latin1(&head))).await;
        assert_eq!(wire.answer().await?.status, 100, "{expect}");
        wire.send("hello").await;
        wire.send(stage.filled(canary().as_bytes())).await;
        let answer = wire.finish().await?;
        assert_eq!(answer.statuses(), [200, 401], "{expect}");
        let reached = after(&stage, &head, before).await?;
        assert_eq!((reached.len(), reached[0].body.as_slice()), (1, &b"hello"[..]), "{expect}");
        // Or at once, by a client that does not wait.
        let at_once =
            post(&format!("{expect}\r\nContent-Length: 5"), &format!("hello{}", canary()));
        let (answer, reached) = attack(&stage, &at_once).await?;
        let last_words: Vec<u16> =
            answer.statuses().into_iter().filter(|code| *code != 100).collect();
        assert_eq!((last_words, reached.len()), (vec![200, 401], 1), "{answer:?}");
        // Without a body there is nothing to wait for.
        let head =
            format!("GET /public/outer HTTP/1.1\r\nHost: HOST\r\n{expect}\r\n\r\n{}", canary());
        forwarded(&stage, &head, &[200, 401], "").await?;
    }
    // A client that waits gets a refusal, and does not send.
    let mut wire = stage.connect().await?;
    let head = "POST /admin/x HTTP/1.1\r\nHost: HOST\r\nExpect: 100-continue\r\nContent-Length: 50\r\n\r\n";
    wire.send(stage.filled(head.as_bytes())).await;
    assert_eq!(wire.answer().await?.status, 401);
    let before = stage.upstream.requests().len();
    wire.send(stage.filled(canary().as_bytes())).await;
    wire.closed_within(Duration::from_secs(5)).await?;
    assert!(after(&stage, head, before).await?.is_empty());
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_is_declined_opens_no_tunnel() -> Result<()> {
    let stage = Stage::new("attack-framing-upgrade").await?;
    let key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13";
    // The upstream answers 200: bytes sent early are HTTP, judged as any other.
    let declined = format!(
        "GET /public/outer HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n\r\n{}",
        canary()
    );
    forwarded(&stage, &declined, &[200, 401], "").await?;
    let refusing = declined.replace("/public/outer", "/admin/outer");
    let (answer, reached) = attack(&stage, &refusing).await?;
    assert_eq!((answer.statuses(), reached.len()), (vec![401, 401], 0), "{answer:?}");
    // Handshakes with the same key that are not valid.
    for handshake in [
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 777",
    ] {
        let text = format!(
            "GET /public/ws HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{handshake}\r\n\r\n{}",
            canary()
        );
        let (answer, reached) = attack(&stage, &text).await?;
        assert!(matches!(answer.status(), 400 | 426), "{text:?}: {answer:?}");
        assert!(reached.is_empty(), "{text:?}");
    }
    // Other protocols are not supported. A client that offers HTTP/2 goes on without it; for the others the request would mean
    // something else.
    for protocol in ["h2c", "H2C", "h2c, websocket", "TLS/1.0", "websocket2", "HTTP/2.0"] {
        let text = format!(
            "GET /public/outer HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n{key}\r\n\r\n{}",
            canary()
        );
        if !protocol.eq_ignore_ascii_case("h2c") {
            assert_eq!(refused(&stage, &text).await?, 501, "{protocol}");
            continue;
        }
        let seen = forwarded(&stage, &text, &[200, 401], "").await?;
        for name in ["upgrade", "http2-settings", "connection"] {
            assert_eq!(seen.values(name), Vec::<String>::new(), "{protocol}");
        }
    }
    // Accepted: the bytes behind belong to the WebSocket and reach the upstream inside of it.
    let before = stage.upstream.requests().len();
    let text = declined.replace("/public/outer", "/public/ws");
    let answer = stage.raw(latin1(&text)).await?;
    assert_eq!(answer.statuses().first(), Some(&101), "{answer:?}");
    assert_eq!(after(&stage, &text, before).await?.len(), 1);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_breaks_off_never_completes_upstream() -> Result<()> {
    let stage = Stage::new("attack-framing-halves").await?;
    for text in [
        post("Content-Length: 10", "hello"),
        post("Content-Length: 500", &canary()),
        post("Transfer-Encoding: chunked", "5\r\nhello\r\n"),
        post("Transfer-Encoding: chunked", "5\r\nhel"),
        post("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n"),
        post("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\nX: y\r\n"),
        post("Transfer-Encoding: chunked", &format!("fff\r\n{}", canary())),
        post("Transfer-Encoding: chunked", ""),
        "GET /public/outer HTTP/1.1\r\nHost: HOST\r\n".to_owned(),
        "GET /public/outer HTTP/1.1\r\nHost: HO".to_owned(),
        "GET /pub".to_owned(),
    ] {
        let before = stage.upstream.requests().len();
        let mut wire = stage.connect().await?;
        wire.send(stage.filled(&latin1(&text))).await;
        wire.half_close().await;
        let answered = wire.answer().await;
        assert!(
            answered.as_ref().map_or(true, |answer| answer.status >= 400),
            "{text:?}: {answered:?}"
        );
        assert!(after(&stage, &text, before).await?.is_empty(), "{text:?}");
    }
    // Whole, and closed only after the answer began: served. (A client that closes at once does not want the answer.)
    for text in [
        post("Content-Length: 5", "hello"),
        post("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
    ] {
        let before = stage.upstream.requests().len();
        let mut wire = stage.connect().await?;
        wire.send(stage.filled(&latin1(&text))).await;
        assert_eq!(wire.answer().await?.status, 200, "{text:?}");
        wire.half_close().await;
        wire.closed_within(Duration::from_secs(5)).await?;
        assert_eq!(after(&stage, &text, before).await?.len(), 1);
    }
    stage.finish(&[])
}
