//! The redirect to https: it leads to configured hosts only, and gives nothing away over plain http.

use anyhow::Result;
use e2e::{
    wire::{Answer, RawAnswer, Wire},
    world::free_port,
};

use crate::stage::{Setup, Stage};

struct Redirecting {
    stage: Stage,
    port: u16,
}

impl Redirecting {
    async fn new(name: &str, more: &'static str) -> Result<Self> {
        let port = free_port()?;
        let redirect = format!("redirect: 127.0.0.1:{port}\n{more}");
        let setup = Setup::new(name).with_plan(move |plan| {
            plan.with_public_url("https://platform.example").with(&redirect)
        });
        Ok(Self { stage: setup.start().await?, port })
    }

    async fn raw(&self, bytes: impl AsRef<[u8]>) -> Result<RawAnswer> {
        let mut wire = Wire::connect(self.port).await?;
        wire.send(bytes).await;
        wire.finish().await
    }

    async fn get(&self, target: &str, host: &str, fields: &str) -> Result<Answer> {
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
        Ok(self.raw(head).await?.first()?.clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_redirected_to_the_same_address() -> Result<()> {
    let it = Redirecting::new("attack-to-https", "").await?;
    let fields = "Accept: text/html\r\nCookie: doorward=x; __Host-doorward=y\r\n";
    for (target, host, location) in [
        ("/", "platform.example", "https://platform.example/"),
        ("/a%20b?c=d&e", "platform.example", "https://platform.example/a%20b?c=d&e"),
        ("/a", "PLATFORM.example:80", "https://platform.example/a"),
        ("/a", "platform.example:8080", "https://platform.example/a"),
        ("//evil.test/x", "platform.example", "https://platform.example//evil.test/x"),
        (
            "/oauth2/start?rd=//evil.test",
            "platform.example",
            "https://platform.example/oauth2/start?rd=//evil.test",
        ),
        (
            "/.well-known/acme-challenge/token",
            "platform.example",
            "https://platform.example/.well-known/acme-challenge/token",
        ),
    ] {
        let answer = it.get(target, host, fields).await?;
        assert_eq!((answer.status, answer.header("location")), (308, location), "{answer:?}");
        assert!(answer.cookies().is_empty() && answer.body.is_empty(), "{answer:?}");
        assert_eq!(answer.header("strict-transport-security"), "", "{answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let post = "POST /a HTTP/1.1\r\nHost: platform.example\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(it.raw(post).await?.status(), 308);
    // A load balancer asks by any host.
    assert_eq!(it.get("/oauth2/ping", "10.0.0.1:8080", "").await?.status, 200);
    assert!(it.stage.reached().is_empty(), "nothing is served by plain http");
    it.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_redirect_leads_to_no_other_host() -> Result<()> {
    let it = Redirecting::new("attack-to-https-hosts", "").await?;
    for (head, statuses) in [
        ("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", &[421][..]),
        ("GET / HTTP/1.1\r\nHost: platform.example.evil.test\r\n\r\n", &[421]),
        ("GET / HTTP/1.1\r\nHost: platform.example@evil.test\r\n\r\n", &[400]),
        ("GET / HTTP/1.1\r\nHost: platform.example/evil\r\n\r\n", &[400]),
        ("GET / HTTP/1.1\r\nHost: platform.example\r\nHost: evil.test\r\n\r\n", &[400]),
        ("GET http://evil.test/ HTTP/1.1\r\nHost: platform.example\r\n\r\n", &[400]),
        ("GET / HTTP/1.1\r\n\r\n", &[400]),
        ("GET @evil.test/ HTTP/1.1\r\nHost: platform.example\r\n\r\n", &[400]),
        ("GET /a\\b HTTP/1.1\r\nHost: platform.example\r\n\r\n", &[400]),
        ("GET /a/../b HTTP/1.1\r\nHost: platform.example\r\n\r\n", &[400]),
        (
            "GET /a HTTP/1.1\r\nHost: platform.example\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &[400],
        ),
        ("GET /a\nHost: platform.example\n\n", &[400]),
    ] {
        let answer = it.raw(head).await?;
        assert!(statuses.contains(&answer.status()), "{head:?}: {answer:?}");
        for answer in &answer.answers {
            assert_eq!(answer.header("strict-transport-security"), "", "{head:?}");
            assert_eq!(answer.header("location"), "", "{head:?}");
        }
    }
    // A client that no proxy speaks for does not choose the host.
    for field in ["X-Forwarded-Host: evil.test\r\n", "Forwarded: host=evil.test\r\n"] {
        let answer = it.get("/a", "platform.example", field).await?;
        assert_eq!(answer.header("location"), "https://platform.example/a");
    }
    for target in ["/%0d%0aSet-Cookie:%20a=b", "/a?%0d%0aSet-Cookie:%20a=b"] {
        let answer = it.get(target, "platform.example", "").await?;
        assert!(answer.cookies().is_empty(), "{answer:?}");
    }
    it.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_came_by_https_is_not_redirected_again() -> Result<()> {
    let it = Redirecting::new("attack-to-https-twice", "trusted_proxies: [127.0.0.0/8]").await?;
    let answer = it.get("/a", "platform.example", "X-Forwarded-Proto: https\r\n").await?;
    assert_eq!((answer.status, answer.header("location")), (400, ""), "{answer:?}");
    assert!(answer.body.contains("redirect"), "{answer:?}");
    let answer = it.get("/a", "platform.example", "X-Forwarded-Proto: http\r\n").await?;
    assert_eq!(answer.status, 308);
    it.stage.finish(&[])
}
