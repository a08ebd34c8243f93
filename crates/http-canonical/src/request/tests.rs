use http::{HeaderName, HeaderValue};

use super::*;
use crate::method::MethodRefusal;

/// A request with these header lines.
fn request(version: Version, uri: &str, lines: &[(&'static str, &str)]) -> Request<()> {
    let mut request = Request::builder().version(version).uri(uri).body(()).unwrap();
    for (name, value) in lines {
        request.headers_mut().append(*name, HeaderValue::from_str(value).unwrap());
    }
    request
}

fn arrival() -> Arrival {
    Arrival {
        peer: Peer::Tcp("10.0.0.1:9".parse().unwrap()),
        scheme: Scheme::Http,
        request_id: RequestId::random(),
        asks_websocket: false,
        certificate: None,
    }
}

/// Reads a request of an untrusted peer.
fn read(request: Request<()>) -> Result<CanonicalRequest<()>, RequestRefusal> {
    CanonicalRequest::from_http(request, arrival(), &Trust::none())
}

fn h1(lines: &[(&'static str, &str)]) -> Result<CanonicalRequest<()>, RequestRefusal> {
    read(request(Version::HTTP_11, "/a%62?q=%41", lines))
}

fn h2(uri: &str, lines: &[(&'static str, &str)]) -> Result<CanonicalRequest<()>, RequestRefusal> {
    read(request(Version::HTTP_2, uri, lines))
}

#[test]
fn a_plain_request_keeps_the_fields_of_the_client() {
    let canonical = h1(&[
        ("host", "Hub.Example:80"),
        ("accept", "text/html"),
        ("cookie", "a=1; b=2"),
        ("authorization", "Bearer x"),
        ("x-xsrftoken", "t"),
    ])
    .unwrap();
    assert_eq!(canonical.parts.host.to_string(), "hub.example");
    assert_eq!(canonical.path_and_query(), "/ab?q=%41");
    assert_eq!(canonical.parts.client_ip, Some("10.0.0.1".parse().unwrap()));
    assert_eq!(canonical.parts.headers.len(), 4);
    assert!(!format!("{canonical:?}").contains("Bearer"));
}

#[test]
fn reserved_and_hop_by_hop_fields_are_gone() {
    let canonical = h1(&[
        ("host", "a"),
        ("x-forwarded-user", "mallory"),
        ("x-forwarded-groups", "admins"),
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-uri", "/public"),
        ("forwarded", "for=1.1.1.1"),
        ("x-original-url", "/public"),
        ("x-rewrite-url", "/public"),
        ("x-http-method-override", "DELETE"),
        ("x-doorward-assertion", "e30"),
        ("x-request-id", "12345678"),
        ("proxy", "http://evil.test"),
        ("connection", "keep-alive, X-Secret"),
        ("connection", "Accept"),
        ("keep-alive", "timeout=5"),
        ("te", "gzip, trailers"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
        ("x-secret", "1"),
        ("accept", "*/*"),
        ("content-length", "0"),
        ("expect", "100-continue"),
        ("x-keep", "1"),
    ])
    .unwrap();
    let left: Vec<_> = canonical.parts.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(left, ["x-keep"]);
    assert_eq!(canonical.parts.scheme, Scheme::Http);
    assert_eq!(canonical.parts.host.name(), "a");
    assert_eq!(canonical.parts.forward_auth, Err(NoQuestion::NotTrusted));
    assert_eq!(canonical.parts.forwarded_for, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
    assert!(canonical.parts.accepts_trailers);
    assert_eq!(canonical.parts.content_length, Some(0));
}

#[test]
fn connection_cannot_remove_the_fields_of_a_trusted_proxy() {
    let trust = Trust::new(vec!["10.0.0.0/8".parse().unwrap()]);
    let lines = [
        ("host", "inner"),
        ("connection", "x-forwarded-for, x-forwarded-proto"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "Outer.Example:443"),
        ("x-forwarded-uri", "/asked?q"),
    ];
    let canonical =
        CanonicalRequest::from_http(request(Version::HTTP_11, "/", &lines), arrival(), &trust)
            .unwrap();
    assert_eq!(canonical.parts.client_ip, Some("203.0.113.7".parse().unwrap()));
    assert_eq!(
        (canonical.parts.scheme, canonical.parts.host.to_string()),
        (Scheme::Https, "outer.example".to_owned())
    );
    assert_eq!(canonical.parts.forward_auth.unwrap().path.as_str(), "/asked");
    assert!(canonical.parts.headers.is_empty());
    let bad = [("host", "inner"), ("x-forwarded-host", "a@b")];
    assert!(matches!(
        CanonicalRequest::from_http(request(Version::HTTP_11, "/", &bad), arrival(), &trust),
        Err(RequestRefusal::ForwardedHost(_))
    ));
}

#[test]
fn repeated_single_fields_are_refused() {
    for name in ["authorization", "origin", "content-type", "sec-fetch-site", "host"] {
        let refused = h2("http://a/", &[(name, "a"), (name, "a")]).unwrap_err();
        assert_eq!(refused, RequestRefusal::Duplicate(HeaderName::from_static(name)));
        assert_eq!(refused.status(), 400);
    }
    let crumbs =
        h2("http://a/", &[("cookie", "a=1"), ("cookie", "b=2"), ("accept", "a"), ("accept", "b")]);
    assert_eq!(crumbs.unwrap().headers()["cookie"], "a=1; b=2");
}

#[test]
fn http_2_names_one_host_and_no_connection_fields() {
    assert_eq!(
        h2("https://A.example:443/x", &[("host", "a.example:443")]).unwrap().host().name(),
        "a.example"
    );
    assert_eq!(h2("http://a/", &[("host", "b")]).unwrap_err(), RequestRefusal::TwoHosts);
    assert!(matches!(h2("http://u@a/", &[]).unwrap_err(), RequestRefusal::Host(_)));
    assert!(matches!(
        h2("http://a/", &[("te", "gzip")]).unwrap_err(),
        RequestRefusal::ConnectionSpecific(_)
    ));
    assert!(h2("http://a/", &[("te", "trailers")]).unwrap().parts.accepts_trailers);
    for name in ["connection", "transfer-encoding", "upgrade", "keep-alive", "proxy-connection"] {
        assert!(matches!(
            h2("http://a/", &[(name, "x")]).unwrap_err(),
            RequestRefusal::ConnectionSpecific(_)
        ));
    }
    for name in ["x_forwarded_user", "x.forwarded.user", "x-forwarded_user", "content_length"] {
        assert_eq!(h2("http://a/", &[(name, "x")]).unwrap_err(), RequestRefusal::HeaderName);
    }
}

#[test]
fn an_absolute_target_must_name_the_same_host() {
    let ask = |target, fields: &[_]| read(request(Version::HTTP_11, target, fields));
    let served = ask("http://A.example/x?q", &[("host", "a.example")]).unwrap();
    assert_eq!((served.host().name(), &*served.path_and_query()), ("a.example", "/x?q"));
    assert_eq!(ask("http://a", &[("host", "a")]).unwrap().path().as_str(), "/");
    assert_eq!(ask("http://a?q", &[("host", "a")]).unwrap().path_and_query(), "/?q");
    assert_eq!(ask("http://a/", &[("host", "b")]).unwrap_err(), RequestRefusal::TwoHosts);
    assert_eq!(ask("http://a:81/", &[("host", "a")]).unwrap_err(), RequestRefusal::TwoHosts);
    assert_eq!(ask("http://a/", &[]).unwrap_err(), RequestRefusal::NoHost);
    assert!(matches!(ask("http://u@a/", &[("host", "a")]), Err(RequestRefusal::Host(_))));
}

#[test]
fn names_with_underscores_are_dropped_and_counted() {
    let fields =
        [("host", "a"), ("csrf_token", "1"), ("csrf_token", "2"), ("x-a_b", "3"), ("x-c", "4")];
    let read = h1(&fields).unwrap();
    assert_eq!(read.underscored(), 3);
    assert_eq!(read.headers().keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-c"]);
    for name in ["remote_user", "host_", "_host", "sec_fetch_site", "proxy_authorization"] {
        let refused = h1(&[("host", "a"), (name, "1")]).is_err();
        assert_eq!(refused, !matches!(name, "host_" | "_host"), "{name}");
    }
}

#[test]
fn a_query_is_sent_as_a_url_holds_it() {
    let read = read(request(Version::HTTP_11, "/a^{b}?q={x}|\\^", &[("host", "a")])).unwrap();
    assert_eq!(read.path_and_query(), "/a%5E%7Bb%7D?q=%7Bx%7D%7C%5C%5E");
}

#[test]
fn a_method_with_a_lower_case_letter_is_refused() {
    for method in ["post", "Get", "pUT"] {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let mut refused = request(version, "/", &[("host", "a")]);
            *refused.method_mut() = http::Method::from_bytes(method.as_bytes()).unwrap();
            let refused = read(refused).unwrap_err();
            assert_eq!(refused, RequestRefusal::Method(MethodRefusal::Form), "{method}");
            assert_eq!(refused.status(), 400);
        }
    }
}

#[test]
fn ambiguous_requests_are_refused() {
    assert_eq!(h1(&[]).unwrap_err(), RequestRefusal::NoHost);
    assert!(matches!(h1(&[("host", "a@b")]).unwrap_err(), RequestRefusal::Host(_)));
    assert_eq!(h1(&[("host", "a"), ("expect", "yes")]).unwrap_err().status(), 417);
    assert_eq!(
        h1(&[("host", "a"), ("content-length", "+1")]).unwrap_err(),
        RequestRefusal::ContentLength
    );
    let mut connect = request(Version::HTTP_2, "http://a/", &[]);
    *connect.method_mut() = http::Method::CONNECT;
    assert_eq!(read(connect).unwrap_err().status(), 501);
}
