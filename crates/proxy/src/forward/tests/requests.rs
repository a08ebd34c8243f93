//! Requests as the upstream receives them.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::Request;

use super::{super::*, fixtures::*};
use crate::upstream::Rewrite;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn chunks(parts: &[&'static str]) -> Body {
    let parts: Vec<_> =
        parts.iter().map(|part| Ok::<_, Infallible>(Bytes::from_static(part.as_bytes()))).collect();
    Body::from_stream(stream::iter(parts))
}

#[tokio::test]
async fn the_request_is_written_from_the_canonical_form() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = raw.route();
    let request = Request::get("/a%7eb/%e4%bd%a0?x=%2e%2e&y")
        .header("host", "Platform.Example:443")
        .header("accept", "text/html")
        .header("te", "gzip, trailers")
        .header("expect", "100-continue")
        .body(Body::empty())
        .unwrap();
    let (answer, head) = tokio::join!(stage.ask(&route, request), raw.serve_one(OK));
    assert_eq!(body(answer.unwrap()).await.unwrap(), "ok");
    assert!(head.starts_with("GET /a~b/%E4%BD%A0?x=%2e%2e&y HTTP/1.1\r\n"), "{head}");
    assert_eq!(fields(&head, "host"), ["platform.example"]);
    assert_eq!(fields(&head, "accept"), ["text/html"]);
    assert_eq!(fields(&head, "te"), ["trailers"]);
    assert_eq!(fields(&head, "connection"), ["te"]);
    assert!(fields(&head, "expect").is_empty());
    assert!(fields(&head, "content-length").is_empty());
    assert!(fields(&head, "transfer-encoding").is_empty());
}

#[tokio::test]
async fn forwarding_fields_of_a_client_never_arrive() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = raw.route();
    let request = Request::get("/")
        .header("connection", "X-Forwarded-User, X-Forwarded-For, X-Request-Id, close, x-hop")
        .header("x-hop", "1")
        .header("x-forwarded-user", "mallory")
        .header("x-forwarded-user", "mallory2")
        .header("x-forwarded-groups", "mallory-admins")
        .header("x-forwarded-for", "203.0.113.7")
        .header("x-forwarded-host", "evil.test")
        .header("x-forwarded-proto", "gopher")
        .header("x-forwarded-prefix", "/evil")
        .header("forwarded", "for=203.0.113.7;host=evil.test")
        .header("x-real-ip", "203.0.113.7")
        .header("x-request-id", "forged")
        .header("x-doorward-assertion", "forged")
        .header("x-auth-request-user", "mallory")
        .header("x-custom", "kept")
        .body(Body::empty())
        .unwrap();
    let (answer, head) = tokio::join!(stage.ask(&route, request), raw.serve_one(OK));
    answer.unwrap();
    assert_eq!(fields(&head, "x-forwarded-for"), ["198.51.100.9"]);
    assert_eq!(fields(&head, "x-forwarded-host"), ["platform.example"]);
    assert_eq!(fields(&head, "x-forwarded-proto"), ["https"]);
    assert_eq!(fields(&head, "forwarded"), ["for=198.51.100.9;host=platform.example;proto=https"]);
    assert_eq!(fields(&head, "x-request-id").len(), 1);
    assert_eq!(fields(&head, "traceparent").len(), 1);
    assert_eq!(fields(&head, "x-custom"), ["kept"]);
    let lower = head.to_lowercase();
    for gone in [
        "mallory",
        "evil",
        "forged",
        "203.0.113.7",
        "gopher",
        "x-hop",
        "x-forwarded-user",
        "x-forwarded-groups",
    ] {
        assert!(!lower.contains(gone), "{gone} in {head}");
    }
}

#[tokio::test]
async fn a_well_formed_trace_is_continued() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = Request::get("/").header("traceparent", trace).body(Body::empty()).unwrap();
    let route = raw.route();
    let (answer, head) = tokio::join!(stage.ask(&route, request), raw.serve_one(OK));
    answer.unwrap();
    assert_eq!(fields(&head, "traceparent"), [trace]);
}

#[tokio::test]
async fn framing_follows_from_the_body() {
    let stage = Stage::new();
    for (request, length, encoding, sent) in [
        (post("/", "hello"), vec!["5"], vec![], "hello"),
        (post("/", ""), vec!["0"], vec![], ""),
        (
            post("/", chunks(&["he", "llo"])),
            vec![],
            vec!["chunked"],
            "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        ),
        (
            Request::get("/").body(chunks(&["query"])).unwrap(),
            vec![],
            vec!["chunked"],
            "5\r\nquery\r\n0\r\n\r\n",
        ),
        (Request::get("/").body(Body::from("query")).unwrap(), vec!["5"], vec![], "query"),
        (Request::delete("/").body(Body::empty()).unwrap(), vec![], vec![], ""),
    ] {
        let raw = Raw::new().await;
        let route = raw.route();
        let upstream = async {
            let mut connection = raw.accept().await;
            let head = connection.head().await;
            let bytes = connection.bytes(sent.len()).await;
            connection.write(OK).await;
            (head, bytes)
        };
        let (answer, (head, bytes)) = tokio::join!(stage.ask(&route, request), upstream);
        answer.unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), sent);
        assert_eq!(fields(&head, "transfer-encoding"), encoding, "{head}");
        assert_eq!(fields(&head, "content-length"), length, "{head}");
    }
}

#[tokio::test]
async fn a_declared_body_that_is_too_large_is_not_sent() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let mut route = route(&[raw.url()]);
    route.body_limit = Some(4);
    let request =
        Request::post("/").header("content-length", "5").body(Body::from("12345")).unwrap();
    let refused = stage.ask(&Arc::new(route), request).await;
    assert!(matches!(refused, Err(Refusal::BodyTooLarge { limit: 4 })), "{refused:?}");
    assert!(raw.is_untouched().await);
}

#[tokio::test]
async fn a_stream_that_grows_too_large_never_looks_complete_upstream() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let mut route = route(&[raw.url()]);
    route.body_limit = Some(4);
    let route = Arc::new(route);
    let upstream = async {
        // Nothing at all may arrive, or a part.
        raw.accept().await.rest().await
    };
    let (refused, seen) =
        tokio::join!(stage.ask(&route, post("/", chunks(&["123", "456", "789"]))), upstream);
    assert!(matches!(refused, Err(Refusal::BodyTooLarge { limit: 4 })), "{refused:?}");
    let seen = String::from_utf8(seen).unwrap();
    assert!(!seen.contains("456") && !seen.ends_with("0\r\n\r\n"), "{seen:?}");
}

#[tokio::test]
async fn an_aborted_upload_never_looks_complete_upstream() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = raw.route();
    let parts = [Ok(Bytes::from_static(b"123")), Err(std::io::Error::other("gone"))];
    let upstream = async {
        // Nothing at all may arrive, or a part.
        raw.accept().await.rest().await
    };
    let request = post("/", Body::from_stream(stream::iter(parts)));
    let (refused, seen) = tokio::join!(stage.ask(&route, request), upstream);
    assert!(matches!(refused, Err(Refusal::Malformed { .. })), "{refused:?}");
    assert!(!seen.ends_with(b"0\r\n\r\n"), "{seen:?}");
}

#[tokio::test]
async fn a_prefix_is_removed_and_reported() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let mut route = route(&[raw.url()]);
    route.upstream = route.upstream.map(|upstream| {
        let strip_prefix = Some("/app".parse().unwrap());
        upstream.with_rewrite(Rewrite {
            strip_prefix,
            add_prefix: Some("/v2".parse().unwrap()),
            ..Rewrite::default()
        })
    });
    let route = Arc::new(route);
    let (answer, head) = tokio::join!(stage.ask(&route, get("/app/x?y=/app")), raw.serve_one(OK));
    answer.unwrap();
    assert!(head.starts_with("GET /v2/x?y=/app HTTP/1.1\r\n"), "{head}");
    assert_eq!(fields(&head, "x-forwarded-prefix"), ["/app"]);
}

#[tokio::test]
async fn a_unix_socket_is_an_upstream_too() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let stage = Stage::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let route = Arc::new(route(&[format!("unix:{}", path.display())]));
    let upstream = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut head).await.unwrap() > 0);
        }
        stream.write_all(OK.as_bytes()).await.unwrap();
        String::from_utf8(head).unwrap()
    };
    let (answer, head) = tokio::join!(stage.ask(&route, get("/x")), soon(upstream));
    assert_eq!(body(answer.unwrap()).await.unwrap(), "ok");
    assert!(head.starts_with("GET /x HTTP/1.1\r\n"));
    assert_eq!(fields(&head, "host"), ["platform.example"]);
}
