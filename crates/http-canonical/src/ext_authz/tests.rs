use super::*;
use crate::{Arrival, CanonicalRequest, Peer, RequestId, Trust};

fn described(path: &'static str) -> Attributes<'static> {
    Attributes {
        method: "GET",
        path,
        host: "app.example",
        scheme: "https",
        beside: ["", ""],
        lines: Lines::Raw(Vec::new()),
    }
}

fn raw(lines: &[(&'static str, &'static str)]) -> Lines<'static> {
    Lines::Raw(lines.iter().map(|(name, value)| (*name, value.as_bytes())).collect())
}

#[test]
fn a_described_request_is_read_as_one_in_line() {
    let attributes = Attributes {
        lines: raw(&[
            (":method", "GET"),
            (":path", "/a%62?q={\"`}"),
            (":authority", "app.example"),
            (":scheme", "https"),
            ("accept", "text/html"),
            ("accept", "*/*"),
        ]),
        ..described("/a%62?q={\"`}")
    };
    let Held { request, scheme, asks_websocket } = attributes.request().unwrap();
    assert_eq!(request.headers().get_all("accept").iter().count(), 2);
    let arrival = Arrival {
        peer: Peer::Unix,
        scheme,
        request_id: RequestId::random(),
        asks_websocket,
        certificate: None,
    };
    let request = CanonicalRequest::from_http(request, arrival, &Trust::none()).unwrap();
    assert_eq!(request.path_and_query(), "/ab?q=%7B%22%60%7D");
    assert_eq!(request.host().to_string(), "app.example");
    assert!(!request.opens_websocket());
}

#[test]
fn a_part_that_is_described_twice_must_agree() {
    for (name, value) in [
        (":method", "POST"),
        (":path", "/other"),
        (":path", "/%61"),
        (":scheme", "http"),
        (":authority", "other.example"),
        ("host", "other.example"),
        ("host", "APP.example"),
    ] {
        let attributes = Attributes { lines: raw(&[(name, value)]), ..described("/a") };
        let refused = attributes.request().map(drop);
        assert!(matches!(refused, Err(RequestRefusal::TwoReadings(_))), "{name}: {refused:?}");
    }
    for beside in [["q=1", ""], ["", "top"]] {
        let refused = Attributes { beside, ..described("/a") }.request().map(drop);
        assert_eq!(refused, Err(RequestRefusal::TwoReadings("path")));
    }
}

#[test]
fn a_target_of_another_form_is_refused() {
    for path in
        ["", "*", "a", "//\\b", "/a#b", "/a b", "/a\tb", "/\u{e9}", "/a\\b", "http://b/", "/<a>"]
    {
        let refused = described(path).request().map(drop);
        assert_eq!(refused, Err(RequestRefusal::Target), "{path:?}");
    }
    for scheme in ["", "HTTPS", "ftp", "https,http"] {
        assert!(Attributes { scheme, ..described("/") }.request().is_err(), "{scheme}");
    }
    for method in ["", "get", "GET,POST", "CONNECT"] {
        assert!(Attributes { method, ..described("/") }.request().is_err(), "{method}");
    }
}

#[test]
fn lines_that_may_have_been_joined_are_refused() {
    let joined =
        |lines| Attributes { lines: Lines::Joined(lines), ..described("/") }.request().map(drop);
    for (name, value) in [
        ("authorization", "Bearer a,Bearer b"),
        ("authorization", "Digest username=\"a\", realm=\"b\""),
        ("x-doorward-token", "a,b"),
        ("origin", "https://a.example,https://b.example"),
        ("sec-fetch-mode", "navigate,cors"),
        ("content-length", "1,1"),
    ] {
        let refused = joined(vec![(name, value)]);
        assert_eq!(refused, Err(RequestRefusal::Joined(name.parse().unwrap())), "{value}");
    }
    assert_eq!(joined(vec![("accept", "text/html,*/*"), ("authorization", "Bearer a")]), Ok(()));
    let twice = Attributes {
        lines: raw(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]),
        ..described("/")
    };
    // The canonical form refuses it.
    assert_eq!(twice.request().unwrap().request.headers().len(), 3);
}

#[test]
fn names_and_values_that_no_header_has_are_refused() {
    for (name, value) in [
        ("", "a"),
        ("A", "a"),
        ("a b", "a"),
        ("a:", "a"),
        (":protocol", "websocket"),
        (":status", "200"),
        ("a", "b\r\nc: d"),
        ("a", "b\0"),
    ] {
        let attributes = Attributes { lines: raw(&[(name, value)]), ..described("/") };
        assert!(attributes.request().is_err(), "{name:?}: {value:?}");
    }
    let many = (0..LINES + 1).map(|_| ("a", &b"b"[..])).collect();
    let attributes = Attributes { lines: Lines::Raw(many), ..described("/") };
    assert_eq!(attributes.request().map(drop), Err(RequestRefusal::TooManyLines));
    for host in ["a\r\nb", "a\0"] {
        assert!(Attributes { host, ..described("/") }.request().is_err());
    }
}

#[test]
fn an_upgrade_to_another_protocol_is_refused() {
    let asks = |method, lines: &[(&'static str, &'static str)]| {
        let attributes = Attributes { method, lines: raw(lines), ..described("/") };
        attributes.request().map(|held| held.asks_websocket)
    };
    let other = Err(RequestRefusal::OtherProtocol);
    assert_eq!(asks("GET", &[("upgrade", "websocket"), ("connection", "Upgrade")]), Ok(true));
    assert_eq!(asks("GET", &[("upgrade", "WebSocket"), ("connection", "a, upgrade")]), Ok(true));
    assert_eq!(asks("GET", &[("upgrade", "websocket")]), Ok(false));
    assert_eq!(asks("GET", &[("connection", "upgrade")]), Ok(false));
    assert_eq!(asks("POST", &[("upgrade", "websocket"), ("connection", "upgrade")]), other);
    assert_eq!(asks("GET", &[("upgrade", "h2c"), ("connection", "upgrade")]), other);
    let with_body = [("upgrade", "websocket"), ("connection", "upgrade"), ("content-length", "5")];
    assert_eq!(asks("GET", &with_body), other);
}
