//! Responses as the client receives them; an invalid one is never repaired.

use super::{super::*, fixtures::*};

#[tokio::test]
async fn a_response_loses_its_connection_fields() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = raw.route();
    let answer = "HTTP/1.1 203 Whatever\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\n\
        X-Doorward-Assertion: forged\r\nSet-Cookie: theme=dark; Path=/\r\nSet-Cookie: __Host-doorward=stolen; Path=/; Secure\r\n\
        Location: http://internal/x\r\nWWW-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nbody";
    let (response, _) = tokio::join!(stage.ask(&route, get("/")), raw.serve_one(answer));
    let response = response.unwrap();
    assert_eq!(response.status(), 203);
    let mut names: Vec<_> = response.headers().keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "location", "set-cookie", "www-authenticate"]);
    assert_eq!(response.headers()["set-cookie"], "theme=dark; Path=/");
    assert_eq!(response.headers()["location"], "http://internal/x");
    assert_eq!(body(response).await.unwrap(), "body");
}

#[tokio::test]
async fn an_ambiguous_response_is_502() {
    let stage = Stage::new();
    for (answer, said) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            "two `Content-Length`",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "not valid HTTP"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok", "not valid HTTP"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "together with",
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok", "other than `chunked`"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "other than `chunked`",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            "the request did not ask for",
        ),
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n", "not valid HTTP"),
        ("HTTP/1.1 200 OK\r\nBad Name: 1\r\n\r\n", "not valid HTTP"),
    ] {
        let raw = Raw::new().await;
        let route = raw.route();
        let (refused, _) = tokio::join!(stage.ask(&route, get("/")), raw.serve_one(answer));
        let reason = reason(refused.unwrap_err());
        assert!(reason.contains(said) && reason.starts_with(&raw.url()), "{answer}: {reason}");
    }
}

#[tokio::test]
async fn interim_responses_are_skipped() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = raw.route();
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    let (response, _) = tokio::join!(stage.ask(&route, get("/")), raw.serve_one(answer));
    let response = response.unwrap();
    assert_eq!(response.status(), 204);
    assert!(!response.headers().contains_key("link"));
}

#[tokio::test]
async fn a_truncated_response_never_looks_complete() {
    let stage = Stage::new();
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfive!\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfiv",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfive!\r\n0\r\n",
    ] {
        for reset in [false, true] {
            let raw = Raw::new().await;
            let route = raw.route();
            let upstream = async {
                let mut connection = raw.accept().await;
                connection.head().await;
                connection.write(answer).await;
                if reset {
                    connection.reset();
                }
            };
            let (response, ()) = tokio::join!(stage.ask(&route, get("/")), upstream);
            // A reset may arrive before the head was read; then there is no response.
            if let Ok(response) = response {
                assert!(body(response).await.is_err(), "{answer} looked complete");
            }
        }
    }
}

#[tokio::test]
async fn a_head_response_keeps_its_length() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = raw.route();
    let request = http::Request::head("/").body(Body::empty()).unwrap();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n";
    let (response, _) = tokio::join!(stage.ask(&route, request), raw.serve_one(answer));
    let response = response.unwrap();
    assert_eq!(response.headers()["content-length"], "1234");
    assert_eq!(body(response).await.unwrap(), "");
}
