//! Ends of messages: no request hides inside another, or behind it.
//!
//! The outer request is for a public path. In it, or behind it, is a canary: a request for a protected path that must
//! never reach the upstream as one. A clean request follows over another connection and must get its own answer.

#[path = "framing/tables.rs"]
mod tables;
#[path = "framing/bodies.rs"]
mod bodies;

use std::time::Duration;

use anyhow::Result;
use e2e::{upstream::Recorded, wire::RawAnswer};
use tokio::time::sleep;

use self::tables::{CHUNKS, CONTENT_LENGTHS, HEADS, TRANSFER_ENCODINGS};
use crate::stage::Stage;

/// A request for a protected path without a session: if the gateway reads it as a request, it answers 401.
const CANARY: &str = "GET /admin/smuggled HTTP/1.1\r\nHost: HOST\r\nX-Rest: ";
/// The end of the canary where it is a separate request.
const END: &str = "x\r\n\r\n";

fn canary() -> String {
    format!("{CANARY}{END}")
}

/// One byte for each character.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap_or(b'?')).collect()
}

/// Sends bytes; returns the answers and the requests that reached the upstream meanwhile.
async fn attack(stage: &Stage, text: &str) -> Result<(RawAnswer, Vec<Recorded>)> {
    let before = stage.upstream.requests().len();
    let answer = stage.raw(latin1(text)).await?;
    let reached = after(stage, text, before).await?;
    Ok((answer, reached))
}

/// Requests that reached the upstream since `before`: all unambiguous, without a canary; then a clean request is served.
async fn after(stage: &Stage, text: &str, before: usize) -> Result<Vec<Recorded>> {
    let probe = format!("/public/probe-{before}");
    let answer = stage.get(&probe).send().await?;
    assert_eq!(answer.json()?["target"], probe.as_str(), "{text:?}: another's answer");
    let mut reached = stage.upstream.requests().split_off(before);
    for request in &reached {
        assert!(
            !request.target().contains("smuggled"),
            "{text:?}: the canary reached the upstream"
        );
        is_unambiguous(request, text);
    }
    let place = reached.iter().position(|request| request.target() == probe);
    assert!(place.is_some(), "{text:?}: the probe did not arrive as itself");
    reached.retain(|request| request.target() != probe);
    Ok(reached)
}

/// A head with one framing at most, of lines that every parser reads alike.
fn is_unambiguous(request: &Recorded, text: &str) {
    let head = String::from_utf8_lossy(&request.head).into_owned();
    let lengths = request.values("content-length");
    let codings = request.values("transfer-encoding");
    assert!(lengths.len() + codings.len() <= 1, "{text:?}: two framings:\n{head}");
    let decimal = |value: &String| !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    assert!(lengths.iter().all(decimal), "{text:?}:\n{head}");
    assert!(codings.iter().all(|value| value == "chunked"), "{text:?}:\n{head}");
    assert!(request.value("host").is_some(), "{text:?}: no host, or several:\n{head}");
    let lines: Vec<&str> = head.trim_end_matches("\r\n").split("\r\n").collect();
    let line_is_plain =
        |line: &&str| !line.contains(['\r', '\n', '\0']) && !line.starts_with([' ', '\t']);
    assert!(lines.iter().all(line_is_plain), "{text:?}:\n{head}");
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    for line in &lines[1..] {
        let name = line.split(':').next().unwrap_or_default();
        assert!(!name.is_empty() && name.chars().all(plain), "{text:?}:\n{head}");
    }
    assert_eq!(request.value("expect"), None, "{text:?}: the gateway waits, not the upstream");
}

/// Refused with one answer and a close; nothing reached the upstream.
async fn refused(stage: &Stage, text: &str) -> Result<u16> {
    let (answer, reached) = attack(stage, text).await?;
    assert_eq!(answer.answers.len(), 1, "{text:?}: {answer:?}");
    let status = answer.status();
    assert!(matches!(status, 400 | 414 | 417 | 431 | 501 | 505), "{text:?}: {answer:?}");
    assert!(answer.closed && answer.rest.is_empty(), "{text:?}: {answer:?}");
    assert!(reached.is_empty(), "{text:?} reached the upstream as {:?}", reached[0].target());
    assert!(!answer.answers[0].body.contains("smuggled"), "{answer:?}");
    Ok(status)
}

/// Every answer's status, and the one request that reached the upstream besides the probe.
async fn forwarded(stage: &Stage, text: &str, statuses: &[u16], body: &str) -> Result<Recorded> {
    let (answer, mut reached) = attack(stage, text).await?;
    assert_eq!(answer.statuses(), statuses, "{text:?}: {answer:?}");
    assert_eq!(reached.len(), 1, "{text:?}");
    let request = reached.remove(0);
    assert_eq!(String::from_utf8_lossy(&request.body), body, "{text:?}");
    Ok(request)
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /public/outer HTTP/1.1\r\nHost: HOST\r\n{fields}\r\n\r\n{body}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coding_that_is_not_chunked_alone_is_refused() -> Result<()> {
    let stage = Stage::new("attack-framing-codings").await?;
    for line in TRANSFER_ENCODINGS {
        refused(&stage, &post(line, &format!("0\r\n\r\n{}", canary()))).await?;
        refused(&stage, &post(line, &format!("5\r\nhello\r\n0\r\n\r\n{}", canary()))).await?;
        refused(&stage, &format!("{line}\r\n{}", post("X: y", &canary()))).await?;
    }
    for line in [
        "Transfer-Encoding: chunked",
        "transfer-encoding:chunked",
        "TRANSFER-ENCODING: \t Chunked \t",
    ] {
        let text = post(line, &format!("5\r\nhello\r\n0\r\n\r\n{}", canary()));
        forwarded(&stage, &text, &[200, 401], "hello").await?;
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_is_not_one_number_is_refused() -> Result<()> {
    let stage = Stage::new("attack-framing-lengths").await?;
    for value in CONTENT_LENGTHS {
        for name in ["Content-Length", "content-length"] {
            refused(&stage, &post(&format!("{name}: {value}"), &format!("hello{}", canary())))
                .await?;
        }
    }
    for line in [
        "Content-Length : 5",
        "Content-Length\t: 5",
        " Content-Length: 5",
        "Content_Length: 5",
        "Content-Length 5",
        "Content-Length\u{0}: 5",
        "X: y\nContent-Length: 5",
        "X: y\r\n Content-Length: 5",
    ] {
        refused(&stage, &post(line, &format!("hello{}", canary()))).await?;
    }
    for line in ["Content-Length: 5", "content-length:5", "Content-Length: \t005 "] {
        let text = post(line, &format!("hello{}", canary()));
        forwarded(&stage, &text, &[200, 401], "hello").await?;
    }
    let zero = post("Content-Length: 0", &canary());
    forwarded(&stage, &zero, &[200, 401], "").await?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_can_be_read_in_two_ways_are_refused() -> Result<()> {
    let stage = Stage::new("attack-framing-chunks").await?;
    for body in CHUNKS {
        refused(&stage, &post("Transfer-Encoding: chunked", &format!("{body}{}", canary())))
            .await?;
    }
    for (body, whole) in [
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("0005\r\nhello\r\n0000\r\n\r\n", "hello"),
        ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
        ("5\r\nhello\r\n0\r\nX-Checksum: y\r\nZ: z\r\n\r\n", "hello"),
        ("0\r\n\r\n", ""),
        ("5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n"),
    ] {
        let text = post("Transfer-Encoding: chunked", &format!("{body}{}", canary()));
        forwarded(&stage, &text, &[200, 401], whole).await?;
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_can_be_read_in_two_ways_is_refused() -> Result<()> {
    let stage = Stage::new("attack-framing-heads").await?;
    for head in HEADS {
        refused(&stage, &format!("{head}{}", canary())).await?;
    }
    for (text, status) in [
        ("CONNECT HOST HTTP/1.1\r\nHost: HOST\r\n\r\n".to_owned(), 501),
        ("TRACE /public/a HTTP/1.1\r\nHost: HOST\r\n\r\n".to_owned(), 501),
        ("GET /public/a HTTP/3.0\r\nHost: HOST\r\n\r\n".to_owned(), 505),
        (post("Expect: x", ""), 417),
        (format!("GET /public/{} HTTP/1.1\r\nHost: HOST\r\n\r\n", "a".repeat(9000)), 414),
        (post(&format!("X: {}", "a".repeat(40_000)), ""), 431),
        (post("X: a\r\n".repeat(120).trim_end(), ""), 431),
    ] {
        assert_eq!(refused(&stage, &text).await?, status, "{:?}", text.get(..60));
    }
    for (text, statuses) in [
        (format!("GET /public/a HTTP/1.1\r\nHost: HOST\r\n\r\n{}", canary()), &[200, 401][..]),
        (format!("GET /public/a HTTP/1.0\r\nHost: HOST\r\n\r\n{}", canary()), &[200]),
        (
            format!(
                "GET /public/a HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n{}",
                canary()
            ),
            &[200],
        ),
        (
            format!(
                "GET /public/a HTTP/1.1\r\nhOST:HOST\r\nX: \u{e9}\t!\r\nY:\r\n\r\n{}",
                canary()
            ),
            &[200, 401],
        ),
    ] {
        forwarded(&stage, &text, statuses, "").await?;
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_is_the_same_in_pieces_of_any_size() -> Result<()> {
    let stage = Stage::new("attack-framing-pieces").await?;
    let bad =
        post("Content-Length: 5\r\nTransfer-Encoding: chunked", &format!("0\r\n\r\n{}", canary()));
    let good = post("Transfer-Encoding: chunked", &format!("5\r\nhello\r\n0\r\n\r\n{}", canary()));
    for (text, statuses) in [(&bad, &[400][..]), (&good, &[200, 401])] {
        let whole = stage.filled(&latin1(text));
        for step in [1, 7, 16, 33] {
            let before = stage.upstream.requests().len();
            let mut wire = stage.connect().await?;
            for piece in whole.chunks(step) {
                wire.send(piece).await;
                sleep(Duration::from_millis(2)).await;
            }
            let answer = wire.finish().await?;
            assert_eq!(answer.statuses(), statuses, "{step} bytes at a time: {text:?}");
            let reached = after(&stage, text, before).await?;
            assert_eq!(reached.len(), statuses.len() - 1, "{text:?}");
        }
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_judged_and_answered_one_by_one() -> Result<()> {
    let stage = Stage::new("attack-framing-pipeline").await?;
    let mut text = String::new();
    let mut expected = Vec::new();
    for number in 0..30 {
        match number % 3 {
            0 => text += &format!("GET /public/{number} HTTP/1.1\r\nHost: HOST\r\n\r\n"),
            1 => text += &canary(),
            _ => {
                text += &format!(
                    "POST /public/{number} HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\n\r\nhello"
                );
            }
        }
        expected.push(if number % 3 == 1 { 401 } else { 200 });
    }
    let (answer, reached) = attack(&stage, &text).await?;
    assert_eq!(answer.statuses(), expected);
    for (number, answer) in answer.answers.iter().enumerate().filter(|(number, _)| number % 3 != 1)
    {
        assert_eq!(answer.json()?["target"], format!("/public/{number}"));
    }
    assert_eq!(reached.len(), 20);
    // A broken one ends the connection; requests before it are answered, those behind it are not read.
    let broken = format!(
        "GET /public/first HTTP/1.1\r\nHost: HOST\r\n\r\n{}{}",
        post("Transfer-Encoding: chunked, identity", ""),
        canary()
    );
    let (answer, reached) = attack(&stage, &broken).await?;
    assert_eq!((answer.statuses(), answer.closed), (vec![200, 400], true), "{answer:?}");
    assert_eq!(reached.len(), 1);
    stage.finish(&[])
}
