use super::*;

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

/// A question whose proxy asked `gateway.example`, over https.
fn asked(lines: &[(&'static str, &'static str)]) -> Result<ForwardAuth, NoQuestion> {
    ForwardAuth::of(&headers(lines), &"gateway.example".parse().unwrap(), Scheme::Https)
}

#[test]
fn a_question_names_the_request_that_the_proxy_holds() {
    assert_eq!(asked(&[]), Err(NoQuestion::Missing));
    let auth = asked(&[("x-forwarded-uri", "/a%62?q=1"), ("x-forwarded-method", "POST")]).unwrap();
    assert_eq!((auth.path.as_str(), auth.query.as_deref()), ("/ab", Some("q=1")));
    assert_eq!(auth.method, Some(CanonicalMethod::POST));
    assert_eq!(auth.host.name(), "gateway.example");
    let auth = asked(&[("x-original-url", "https://app.example/x")]).unwrap();
    assert_eq!((auth.host.name(), auth.method), ("app.example", None));
    for uri in ["/public/../admin", "/a#b", "", "?q", "x", "/a b", "/a%7F", "*"] {
        let refused = asked(&[("x-forwarded-uri", uri)]);
        assert!(matches!(refused, Err(NoQuestion::Malformed(_))), "{uri:?}: {refused:?}");
    }
    assert_eq!(asked(&[("x-original-url", "https://a.example")]).unwrap().path.as_str(), "/");
}

#[test]
fn differing_targets_are_refused() {
    for lines in [
        [("x-original-uri", "/admin"), ("x-forwarded-uri", "/public")],
        [("x-original-url", "https://a.example/admin"), ("x-forwarded-uri", "/public")],
        [("x-original-url", "https://a.example/a"), ("x-original-url", "https://a.example/b")],
        [("x-forwarded-uri", "/admin"), ("x-forwarded-uri", "/public")],
        [("x-forwarded-uri", "/a"), ("x-original-uri", "/%61")],
    ] {
        assert_eq!(asked(&lines), Err(NoQuestion::Disagree("targets")), "{lines:?}");
    }
    let same = [("x-original-url", "https://a.example/x?y"), ("x-forwarded-uri", "/x?y")];
    let auth = asked(&same).unwrap();
    assert_eq!((auth.path_and_query().as_str(), auth.host.name()), ("/x?y", "a.example"));
}

#[test]
fn differing_hosts_are_refused() {
    let uri = ("x-forwarded-uri", "/secret");
    for lines in [
        &[("x-forwarded-host", "admin.example"), ("forwarded", "for=1.1.1.1;host=x.test")][..],
        &[("x-forwarded-host", "admin.example"), ("x-forwarded-host", "x.test")],
        &[("x-forwarded-host", "x.test, admin.example")],
        &[("x-forwarded-host", "admin.example"), ("x-original-url", "https://x.test/secret")],
        &[("x-original-url", "https://a.test/secret"), ("x-original-url", "https://b.test/secret")],
        // The proxy does not state the host: a client's `Forwarded` must not choose it.
        &[("forwarded", "host=admin.example")],
        &[("forwarded", "for=1.1.1.1;host=\"gateway.example:8443\"")],
    ] {
        let lines = [&[uri], lines].concat();
        assert_eq!(asked(&lines), Err(NoQuestion::Disagree("hosts")), "{lines:?}");
    }
    for lines in [
        &[("x-forwarded-host", "admin.example"), ("forwarded", "host=Admin.Example;proto=https")][..],
        &[
            ("x-forwarded-host", "admin.example:443"),
            ("x-original-url", "https://ADMIN.example/secret"),
        ],
        &[("x-forwarded-host", "admin.example, admin.example"), ("forwarded", "for=1.1.1.1")],
    ] {
        let lines = [&[uri], lines].concat();
        assert_eq!(asked(&lines).unwrap().host.to_string(), "admin.example", "{lines:?}");
    }
    let garbled = [uri, ("x-forwarded-host", "a@b")];
    assert!(matches!(asked(&garbled), Err(NoQuestion::Malformed(_))));
}

#[test]
fn differing_or_ambiguous_methods_are_refused() {
    let uri = ("x-forwarded-uri", "/");
    for (first, second) in [("POST", "GET"), ("GET", "POST"), ("GET", "get")] {
        let lines = [uri, ("x-original-method", first), ("x-forwarded-method", second)];
        assert_eq!(asked(&lines), Err(NoQuestion::Disagree("methods")), "{first} {second}");
    }
    for method in ["post", "Get", "CONNECT", "TRACE", "GET,POST", "GET POST", ""] {
        let lines = [uri, ("x-forwarded-method", method)];
        assert!(matches!(asked(&lines), Err(NoQuestion::Malformed(_))), "{method}");
    }
}

#[test]
fn a_websocket_is_known_by_the_fields_that_proxies_keep() {
    let uri = ("x-forwarded-uri", "/ws");
    for field in [
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("upgrade", "WebSocket"),
        ("sec-fetch-mode", "websocket"),
    ] {
        assert!(asked(&[uri, field]).unwrap().websocket, "{field:?}");
    }
    assert!(!asked(&[uri, ("sec-fetch-mode", "navigate")]).unwrap().websocket);
}
