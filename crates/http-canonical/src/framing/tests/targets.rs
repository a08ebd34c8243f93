//! Requests that are served although some servers refuse them, and those that stay refused.

use super::*;

#[test]
fn bytes_that_a_url_does_not_hold_raw_pass_encoded() {
    for (target, sent) in [
        ("/a^`{b}|\"?q", "/a^%60{b}|\"?q"),
        ("/?q={\"a\":\"`\"}", "/?q={%22a%22:%22`%22}"),
        ("/`", "/%60"),
        ("/a?\"", "/a?%22"),
        ("http://a/`?\"", "http://a/%60?%22"),
        ("/```?\"\"", "/%60%60%60?%22%22"),
    ] {
        let request = |target| {
            format!("POST {target} HTTP/1.1\r\nHost: a\r\nX: `\"\r\nContent-Length: 3\r\n\r\n`\"?")
        };
        let (given, passed) = (request(target), request(sent));
        let outcome = whole(given.as_bytes());
        assert_eq!((outcome.broken, outcome.heads), (None, 1));
        assert_eq!(String::from_utf8(outcome.passed).unwrap(), passed);
        assert_eq!(feed(given.as_bytes().chunks(1)).passed, passed.as_bytes(), "{target}");
    }
}

#[test]
fn absolute_targets_pass_with_a_host_of_their_own() {
    for target in ["http://a/", "https://a:8443/x?y", "http://a", "http://a?q", "HTTP://[::1]/"] {
        passes(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    assert_eq!(broken("GET http://a/ HTTP/1.1\r\n\r\n"), Some(Reason::Host));
}

#[test]
fn only_a_websocket_is_another_protocol() {
    for protocol in ["SPDY/3.1", "tcp", "TLS/1.0", "websocket, tcp", "h2c, tcp", ""] {
        let asks = with(&format!("Connection: keep-alive, Upgrade\r\nUpgrade: {protocol}"));
        assert_eq!(broken(asks), Some(Reason::Upgrade), "{protocol}");
        passes(with(&format!("Upgrade: {protocol}")));
    }
    assert_eq!(Reason::Upgrade.status(), 501);
    passes(with("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk"));
}

#[test]
fn a_name_with_underscores_never_imitates_another() {
    for name in ["X_Request", "csrf_token", "Content_Type_", "api_key", "_", "x-a_b"] {
        passes(with(&format!("{name}: 1")));
    }
    for name in [
        "Content_Length",
        "Transfer_Encoding",
        "X_Forwarded_User",
        "x-forwarded_user",
        "X_Doorward-Assertion",
        "Remote_User",
        "content_type",
        "Sec_WebSocket_Key",
        "TRACEPARENT_",
        "keep_alive",
    ] {
        let refused = name != "TRACEPARENT_";
        assert_eq!(broken(with(&format!("{name}: 1"))).is_some(), refused, "{name}");
    }
}
