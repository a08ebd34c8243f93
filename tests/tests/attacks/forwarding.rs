//! Origin and host of a request: set by the gateway or a trusted proxy, never by a client.

use anyhow::Result;

use crate::stage::{Setup, Stage};

/// Fields in which a client claims another origin or host.
const FROM_ELSEWHERE: [(&str, &str); 16] = [
    ("X-Forwarded-For", "203.0.113.7"),
    ("X-Forwarded-For", "127.0.0.1, 203.0.113.7"),
    ("Forwarded", "for=203.0.113.7;host=evil.test;proto=https"),
    ("X-Real-IP", "203.0.113.7"),
    ("X-Client-IP", "203.0.113.7"),
    ("Client-IP", "203.0.113.7"),
    ("True-Client-IP", "203.0.113.7"),
    ("CF-Connecting-IP", "203.0.113.7"),
    ("X-Cluster-Client-IP", "203.0.113.7"),
    ("X-Forwarded-Host", "evil.test"),
    ("X-Host", "evil.test"),
    ("X-Forwarded-Proto", "evil.test"),
    ("X-Forwarded-Scheme", "evil.test"),
    ("X-Forwarded-Port", "evil.test"),
    ("X-Forwarded-Prefix", "//evil.test"),
    ("X-Forwarded-Server", "evil.test"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_client_cannot_set_its_own_origin() -> Result<()> {
    let stage = Stage::new("attack-headers-forwarding").await?;
    for (name, value) in FROM_ELSEWHERE {
        assert_eq!(stage.get("/public/a").header(name, value).send().await?.status, 200);
        let seen = stage.upstream.last("/public/a")?;
        let head = String::from_utf8_lossy(&seen.head).into_owned();
        assert!(!head.contains("203.0.113.7") && !head.contains("evil"), "{name}: {value}\n{head}");
        assert_eq!(seen.value("x-forwarded-for").as_deref(), Some("127.0.0.1"));
        assert_eq!(seen.value("x-forwarded-proto").as_deref(), Some("http"));
        assert_eq!(seen.value("x-forwarded-host"), Some(stage.host()));
        assert_eq!(seen.value("host"), Some(stage.host()));
        // The redirects to sign in and to the provider stay the same.
        for target in ["/echo", "/oauth2/start?rd=/echo"] {
            let answer = stage.get(target).navigating().header(name, value).send().await?;
            assert_eq!(answer.status, 302, "{name}: {value}");
            assert!(!format!("{answer:?}").contains("evil"), "{name}: {value}: {answer:?}");
        }
        let (location, _) = stage.begin_login("/echo").await?;
        assert!(location.as_str().starts_with(stage.issuer.url()), "{location}");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_configured_is_served_nothing() -> Result<()> {
    let stage = Stage::new("attack-headers-host").await?;
    for host in [
        "evil.test",
        "localhost.evil.test",
        "evil.localhost",
        "evil.test:80",
        "127.0.0.1",
        "[::1]",
        "localhostx",
    ] {
        for target in ["/public/a", "/echo", "/oauth2/start", "/oauth2/sign_in", "/", "/nowhere"] {
            let head = format!(
                "GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
            );
            let answer = stage.raw(head).await?;
            assert_eq!(answer.status(), 421, "{host}{target}: {answer:?}");
        }
    }
    for bad in [
        "",
        "localhost.",
        "a@localhost",
        "localhost:",
        "localhost:x",
        "localhost:0",
        "localhost:65536",
        "localhost/evil",
        "localhost?x",
        "localhost#x",
        "localhost evil.test",
        "localhost,evil.test",
        "localhost;evil.test",
        "localhost\tx",
        "local\u{0}host",
        "loc%61lhost",
        "localhost\r\nHost: evil.test",
        "evil.test\r\nHost: HOST",
        "HOST\r\nHost: HOST",
        "HOST\r\n evil.test",
    ] {
        let head = format!("GET /public/a HTTP/1.1\r\nHost: {bad}\r\nConnection: close\r\n\r\n");
        assert_eq!(stage.raw(head).await?.status(), 400, "Host: {bad:?}");
    }
    for absolute in ["http://evil.test/public/a", "http://u@HOST/public/a", "//evil.test/public/a"]
    {
        let head = format!("GET {absolute} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n");
        let status = stage.raw(head).await?.status();
        assert!(matches!(status, 400 | 404), "{absolute}: {status}");
    }
    assert!(stage.reached().is_empty(), "{:?}", stage.reached());
    let other_port = stage.raw("GET /oauth2/start HTTP/1.1\r\nHost: localhost:1\r\n\r\n").await?;
    assert_eq!(other_port.status(), 421);
    // The host in another case and without a port is served; forwarded fields have the configured spelling.
    for host in [stage.host().replace("localhost", "LocalHost"), "localhost".to_owned()] {
        let head = format!(
            "GET /oauth2/start?rd=/echo HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        );
        let answer = stage.raw(head).await?;
        let location = answer.first()?.location()?;
        assert!(location.as_str().starts_with(stage.issuer.url()), "{host}: {location}");
        if let Some((_, uri)) = location.query_pairs().find(|(name, _)| name == "redirect_uri") {
            assert_eq!(uri, stage.world.url("/oauth2/callback"), "{host}");
        }
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_redirect_uri_is_always_the_configured_one() -> Result<()> {
    // Without pushed requests, so that it can be read in the URL.
    let stage = Setup::new("attack-headers-redirect")
        .with_plan(|plan| plan.with_issuer_setting("pushed_authorization: never"))
        .start()
        .await?;
    for (name, value) in FROM_ELSEWHERE {
        let answer = stage.get("/oauth2/start?rd=/echo").header(name, value).send().await?;
        let location = answer.location()?;
        let uri = location.query_pairs().find(|(name, _)| name == "redirect_uri");
        let uri = uri.map(|(_, value)| value.into_owned());
        assert_eq!(uri, Some(stage.world.url("/oauth2/callback")), "{name}: {value}");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_trusted_proxy_sets_the_client_address() -> Result<()> {
    let stage = Setup::new("attack-headers-trusted")
        .with_plan(|plan| plan.with("trusted_proxies: [127.0.0.0/8, 192.0.2.0/24]"))
        .start()
        .await?;
    for (fields, chain) in [
        (&[("X-Forwarded-For", "203.0.113.7")][..], "203.0.113.7, 127.0.0.1"),
        (&[("X-Forwarded-For", "6.6.6.6, 203.0.113.7")], "203.0.113.7, 127.0.0.1"),
        (
            &[("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "203.0.113.7")],
            "203.0.113.7, 127.0.0.1",
        ),
        (&[("X-Forwarded-For", "203.0.113.7, 192.0.2.9")], "203.0.113.7, 192.0.2.9, 127.0.0.1"),
        (&[("X-Forwarded-For", "6.6.6.6, unknown")], "127.0.0.1"),
        (&[("X-Forwarded-For", "6.6.6.6, 127.0.0.1\u{0}")], "refused"),
        (&[("X-Forwarded-For", "x")], "127.0.0.1"),
        (&[("Forwarded", "for=203.0.113.7")], "203.0.113.7, 127.0.0.1"),
        (&[("Forwarded", "for=6.6.6.6, for=203.0.113.7")], "203.0.113.7, 127.0.0.1"),
        (&[("X-Forwarded-For", "203.0.113.7"), ("Forwarded", "for=6.6.6.6")], "127.0.0.1"),
        (&[("X-Real-IP", "6.6.6.6")], "127.0.0.1"),
        (&[("X_Forwarded_For", "6.6.6.6")], "refused"),
    ] {
        let mut ask = stage.get("/public/a");
        for (name, value) in fields {
            ask = ask.header(name, value);
        }
        let before = stage.upstream.requests().len();
        let status = ask.send().await?.status;
        if chain == "refused" {
            assert_eq!((status, stage.upstream.requests().len()), (400, before), "{fields:?}");
            continue;
        }
        let seen = stage.upstream.last("/public/a")?;
        assert_eq!(seen.value("x-forwarded-for").as_deref(), Some(chain), "{fields:?}");
        assert!(!String::from_utf8_lossy(&seen.head).contains("6.6.6.6"), "{fields:?}");
    }
    for (name, value, status) in [
        ("X-Forwarded-Host", "evil.test", 421),
        ("X-Forwarded-Host", "localhost, evil.test", 421),
        ("X-Forwarded-Host", "evil.test, localhost", 200),
        ("X-Forwarded-Host", "localhost@evil.test", 400),
        ("Forwarded", "host=evil.test", 421),
        ("X-Forwarded-Proto", "https", 200),
        ("X-Forwarded-Proto", "gopher", 200),
    ] {
        let answer = stage.get("/public/a").header(name, value).send().await?;
        assert_eq!(answer.status, status, "{name}: {value}");
    }
    stage.get("/public/a").header("X-Forwarded-Proto", "https").send().await?;
    let proto = stage.upstream.last("/public/a")?.value("x-forwarded-proto");
    assert_eq!(proto.as_deref(), Some("https"));
    let start = stage.get("/oauth2/start").header("X-Forwarded-Host", "evil.test").send().await?;
    assert_eq!((start.status, start.header("location")), (421, ""));
    stage.finish(&[])
}
