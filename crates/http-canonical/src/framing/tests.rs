mod splits;
mod targets;

use super::{
    cases::{CHUNKS, CONTENT_LENGTHS, TRANSFER_ENCODINGS},
    *,
};

/// Result of a whole input: the bytes that passed, the heads begun, and the violation.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    passed: Vec<u8>,
    heads: u64,
    broken: Option<Reason>,
}

/// Feeds the pieces one after the other, as they might arrive; a WebSocket is always declined.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut framing = Framing::new(HeadLimits::default());
    let mut waiting: Vec<u8> = Vec::new();
    let mut passed = Vec::new();
    for piece in pieces {
        waiting.extend_from_slice(piece);
        loop {
            match framing.advance(&waiting) {
                Action::Pass(0) | Action::Skip(0) => panic!("no progress"),
                Action::Pass(count) => passed.extend(waiting.drain(..count)),
                Action::Skip(count) => drop(waiting.drain(..count)),
                Action::Replace(with) => {
                    waiting.remove(0);
                    passed.extend(with);
                }
                Action::NeedMore => break,
                Action::Paused => framing.resume(),
                Action::BadHead(violation) | Action::BadBody(violation) => {
                    let broken = Some(violation.reason());
                    return Outcome { passed, heads: framing.request(), broken };
                }
            }
        }
    }
    Outcome { passed, heads: framing.request(), broken: None }
}

fn whole(input: &[u8]) -> Outcome {
    feed([input])
}

fn broken(input: impl AsRef<[u8]>) -> Option<Reason> {
    whole(input.as_ref()).broken
}

fn passes(input: impl AsRef<[u8]>) {
    let outcome = whole(input.as_ref());
    let shown = String::from_utf8_lossy(input.as_ref()).into_owned();
    assert_eq!(outcome.broken, None, "{shown:?}");
    assert_eq!(outcome.passed, input.as_ref(), "{shown:?}");
}

fn with(field: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n")
}

#[test]
fn plain_requests_pass_unchanged() {
    passes("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    passes("GET /?q=a|b{c} HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    passes("POST /x HTTP/1.1\r\nHost: a:8080\r\nContent-Length: 5\r\n\r\nhello");
    passes(
        "POST /x HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n",
    );
    passes(
        "GET /a HTTP/1.1\r\nHost: a\r\n\r\nPOST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nxGET /c HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    passes(with("Expect: 100-Continue\r\nContent-Length: 0"));
    passes(b"GET / HTTP/1.1\r\nHost: a\r\nX-Name: caf\xC3\xA9 \t \xFF\r\nX-Empty:\r\n\r\n");
    passes(with("Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2") + "ok");
    passes(with("Accept: a\r\nAccept: b\r\nX-Forwarded-User: x\r\nX-Forwarded-User: y"));
}

#[test]
fn request_lines_have_one_form() {
    for line in [
        "",
        " ",
        "GET",
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1",
        "GET / HTTP/11",
        "GET / HTTP/1.10",
        "GET / HTTPS/1.1",
        "G\u{e9}T / HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET /\u{b} HTTP/1.1\u{b}",
    ] {
        assert_eq!(
            broken(format!("{line}\r\nHost: a\r\n\r\n")),
            Some(Reason::RequestLine),
            "{line:?}"
        );
    }
    for target in [
        "http:///",
        "http://a@a/",
        "http://a\\@a/",
        "ftp://a/",
        "http:/a",
        "http://a#b",
        "//",
        "*",
        "a",
        "?q",
        "a:80",
        "/a#b",
        "/#",
        "/a\\b",
        "/a\u{7f}",
        "/a\u{0}",
        "/\u{e9}",
        "/a?\u{e9}",
        "/a?b#c",
        "/<a>",
    ] {
        let answer = broken(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let expected = if target == "//" { None } else { Some(Reason::Target) };
        assert_eq!(answer, expected, "{target:?}");
    }
    for (line, expected) in [
        ("CONNECT a:443 HTTP/1.1", Reason::Method),
        ("connect a:443 HTTP/1.1", Reason::Method),
        ("TRACE / HTTP/1.1", Reason::Method),
        ("GET / HTTP/2.0", Reason::Version),
        ("GET / HTTP/0.9", Reason::Version),
        ("PRI * HTTP/2.0", Reason::Version),
    ] {
        assert_eq!(broken(format!("{line}\r\nHost: a\r\n\r\n")), Some(expected), "{line:?}");
    }
    assert_eq!(broken("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), Some(Reason::RequestLine));
    assert_eq!(
        broken("\x16\x03\x01"),
        Some(Reason::RequestLine),
        "TLS on a plain port, refused at once"
    );
}

#[test]
fn lines_end_in_crlf_and_nothing_else() {
    for head in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n",
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\nGET /admin HTTP/1.1\n",
        "GET / HTTP/1.1\n\n",
    ] {
        let reason = broken(head);
        assert!(
            matches!(reason, Some(Reason::BareLineEnd | Reason::HeaderName)),
            "{head:?}: {reason:?}"
        );
    }
}

#[test]
fn folded_and_malformed_header_lines_are_refused() {
    for field in [" X: b", "\tX: b", "X: b\r\n c", "X: b\r\n\tc", "X: b\r\n \r\nY: c"] {
        assert_eq!(broken(with(field)), Some(Reason::Folded), "{field:?}");
    }
    for field in [
        "X_Forwarded_User: m",
        "X-Forwarded_User: m",
        "X.Forwarded.User: m",
        "X-Forwarded-User : m",
        "X-Forwarded-User\t: m",
        ": m",
        "X",
        "X Y: m",
        "X\u{0}: m",
        "\u{e9}: m",
        "X/Y: m",
        "X(a): m",
        "X!: m",
        "X~: m",
    ] {
        assert_eq!(broken(with(field)), Some(Reason::HeaderName), "{field:?}");
    }
    for field in ["X: a\u{0}b", "X: \u{1}", "X: \u{7f}", "X: a\u{8}", "X: \u{1b}[0m", "X: \u{b}"] {
        assert_eq!(broken(with(field)), Some(Reason::HeaderValue), "{field:?}");
    }
}

#[test]
fn host_occurs_once_and_is_valid() {
    for fields in [
        "",
        "X: b\r\n",
        "Host:\r\n",
        "Host: \r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nhost: b\r\n",
        "Host: a@b\r\n",
        "Host: u:p@b\r\n",
        "Host: a,b\r\n",
        "Host: a b\r\n",
        "Host: a/\r\n",
        "Host: a:\r\n",
        "Host: a:x\r\n",
        "Host: a.\r\n",
        "Host: http://a\r\n",
        "Host: a\u{b}\r\n",
    ] {
        for version in ["1.0", "1.1"] {
            let reason = broken(format!("GET / HTTP/{version}\r\n{fields}\r\n"));
            assert!(
                matches!(reason, Some(Reason::Host | Reason::HeaderValue)),
                "{fields:?}: {reason:?}"
            );
        }
    }
}

#[test]
fn a_repeated_single_field_is_refused() {
    for name in [
        "Authorization",
        "Origin",
        "Content-Type",
        "Upgrade",
        "Sec-Fetch-Site",
        "Sec-Fetch-Mode",
        "Cookie",
        "Sec-WebSocket-Key",
    ] {
        assert_eq!(
            broken(with(&format!("{name}: a\r\n{}: a", name.to_lowercase()))),
            Some(Reason::Duplicate),
            "{name}"
        );
        passes(with(&format!("{name}: a")));
    }
}

#[test]
fn transfer_encoding_is_chunked_alone() {
    for field in TRANSFER_ENCODINGS {
        assert!(broken(with(field)).is_some(), "{field:?}");
    }
    for field in [
        "Transfer-Encoding: chunked",
        "transfer-encoding:chunked",
        "TRANSFER-ENCODING: \tCHUNKED \t",
    ] {
        passes(with(field) + "0\r\n\r\n");
    }
    let by_10 = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(broken(by_10), Some(Reason::TransferEncoding));
    for fields in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 0",
    ] {
        assert_eq!(broken(with(fields)), Some(Reason::TwoFramings));
    }
}

#[test]
fn content_length_is_one_number() {
    for value in CONTENT_LENGTHS {
        assert!(broken(with(&format!("Content-Length: {value}"))).is_some(), "{value:?}");
    }
    for value in ["5", "05", " 5 ", "\t5"] {
        passes(with(&format!("Content-Length:{value}")) + "hello");
    }
    passes(with("Content-Length: 9223372036854775807"));
}

#[test]
fn chunks_have_one_form() {
    for body in CHUNKS {
        let outcome = whole((with("Transfer-Encoding: chunked") + body).as_bytes());
        assert!(
            matches!(outcome.broken, Some(Reason::Chunk | Reason::Trailer)),
            "{body:?}: {outcome:?}"
        );
        assert_eq!(outcome.heads, 1, "{body:?}");
    }
    for body in [
        "0\r\n\r\n",
        "000\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
        "0000000000000005\r\nhello\r\n0\r\n\r\n",
    ] {
        passes(with("Transfer-Encoding: chunked") + body);
    }
}

#[test]
fn trailers_that_a_server_could_act_on_are_left_out() {
    let head = with("Transfer-Encoding: chunked");
    let next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    let outcome = whole(
        format!("{head}1\r\nx\r\n0\r\nX-Forwarded-User: mallory\r\nAuthorization: b\r\nContent-Length: 5\r\n\r\n{next}").as_bytes(),
    );
    assert_eq!(outcome.passed, format!("{head}1\r\nx\r\n0\r\n\r\n{next}").as_bytes());
    assert_eq!((outcome.heads, outcome.broken), (2, None));
    let outcome =
        whole(format!("{head}0\r\nX-Sum: 1\r\nCookie: c\r\nx-sum: 2\r\n\r\n{next}").as_bytes());
    assert_eq!(outcome.passed, format!("{head}0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n{next}").as_bytes());
    for bad in ["X Sum: 1", " X-Sum: 1", "X-Sum : 1", "X-Sum", "X_Sum: 1", "X-Sum: a\0b"] {
        assert_eq!(broken(format!("{head}0\r\n{bad}\r\n\r\n")), Some(Reason::Trailer), "{bad}");
    }
    assert_eq!(broken(format!("{head}0\r\n{}\r\n", "X: b\r\n".repeat(64))), None);
    assert_eq!(broken(format!("{head}0\r\n{}\r\n", "X: b\r\n".repeat(65))), Some(Reason::Trailer));
    let many = "X: b\r\n".repeat(2000);
    assert_eq!(broken(format!("{head}0\r\n{many}\r\n")), Some(Reason::Trailer));
}

#[test]
fn heads_are_bounded() {
    let path = "a".repeat(8 * 1024);
    assert_eq!(
        broken(format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n")),
        Some(Reason::TargetTooLong)
    );
    assert_eq!(
        broken(format!("GET /{path}")),
        Some(Reason::TargetTooLong),
        "without waiting for its end"
    );
    let value = "a".repeat(33 * 1024);
    assert_eq!(broken(with(&format!("X: {value}"))), Some(Reason::HeadTooLarge));
    assert_eq!(broken(format!("GET / HTTP/1.1\r\nX: {value}")), Some(Reason::HeadTooLarge));
    assert_eq!(broken(with(&"X: a\r\n".repeat(6000))), Some(Reason::HeadTooLarge));
    assert_eq!(
        broken(with(&"X: a\r\n".repeat(100))),
        Some(Reason::HeadTooLarge),
        "101 fields and an empty line in between"
    );
    passes(with("X: a\r\n".repeat(99).trim_end()));
    passes(with(&format!("X: {}", "a".repeat(32_000))));
}

#[test]
fn expectations_other_than_100_continue_are_refused() {
    for value in [
        "",
        "100",
        "100-continue, x",
        "100-continue;q=1",
        "200-ok",
        "100-continue\r\nExpect: 100-continue",
        "x100-continue",
    ] {
        assert!(
            broken(with(&format!("Expect: {value}\r\nContent-Length: 0"))).is_some(),
            "{value:?}"
        );
    }
}

#[test]
fn a_websocket_pauses_and_has_no_body() {
    let asked = |method: &str, version: &str, fields: &str| {
        format!(
            "{method} /ws HTTP/{version}\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n{fields}\r\n"
        )
    };
    let mut framing = Framing::new(HeadLimits::default());
    let input =
        asked("GET", "1.1", "Content-Length: 0\r\n") + "GET /early HTTP/1.1\r\nHost: a\r\n\r\n";
    let Action::Pass(head) = framing.advance(input.as_bytes()) else { panic!("refused") };
    let rest = input.as_bytes().get(head..).unwrap_or_default();
    assert_eq!(framing.advance(rest), Action::Paused);
    assert_eq!(framing.advance(rest), Action::Paused);
    framing.resume();
    assert_eq!(framing.advance(rest), Action::Pass(rest.len()));
    assert_eq!(framing.request(), 2);
    for bad in [
        asked("POST", "1.1", ""),
        asked("GET", "1.0", ""),
        asked("GET", "1.1", "Content-Length: 5\r\n"),
        asked("GET", "1.1", "Transfer-Encoding: chunked\r\n"),
    ] {
        assert_eq!(broken(&bad), Some(Reason::UpgradeBody), "{bad:?}");
    }
}
