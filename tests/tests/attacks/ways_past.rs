//! Ways past a decision: streams that outlive it, fields that hide those of a proxy, further readings of a request.

use anyhow::{Context as _, Result};
use dev_issuer::Mint;

use crate::{
    foreign_tokens::jwt,
    open_streams::{SOON, closes, reload, socket},
    stage::{Setup, Stage},
};

/// Three routes for the role `admin`, the group `/lab`, and anyone; the last upstream gets access tokens.
const ROUTES: &str = "\
admin-host:
  match: { host: admin.localhost, path: / }
  upstream: UPSTREAM
  access: [{ allow: { roles: [admin] } }]
lab:
  match: { path: /lab }
  upstream: UPSTREAM
  access: [{ allow: { groups: [/lab] } }]
tokens:
  match: { path: /tokens }
  upstream: UPSTREAM
  identity: { access_token: true }
  access: [{ path: /tokens/open/**, allow: anyone }, { allow: signed_in }]
";

#[tokio::test(flavor = "multi_thread")]
async fn streams_close_when_no_issuer_accepts_tokens_any_more() -> Result<()> {
    let stage = Setup::new("ways-past-no-audience").start().await?;
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let bearer = ("authorization", &*format!("Bearer {token}"));
    let mut admin = socket(&stage, "/admin/ws", &[bearer]).await?;
    let mut public = socket(&stage, "/public/ws", &[bearer]).await?;
    reload(&stage, "audience: [gateway]", "audience: []").await?;
    closes(&mut admin, SOON).await?;
    assert_eq!(public.ask("still").await?, "still", "a stream that anyone may open goes on");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_close_when_another_route_has_their_path() -> Result<()> {
    let stage = Setup::new("ways-past-other-route").with_routes(ROUTES).start().await?;
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let bearer = ("authorization", &*format!("Bearer {token}"));
    let mut moved = socket(&stage, "/lab/live/ws", &[bearer]).await?;
    let mut stays = socket(&stage, "/lab/ws", &[bearer]).await?;
    // The new service is open to anyone, but the stream is connected to the old one.
    let live = "live:\n    match: { path: /lab/live }\n    upstream: http://127.0.0.1:1\n    access: [{ allow: anyone }]\n  lab:\n";
    reload(&stage, "lab:\n", live).await?;
    closes(&mut moved, SOON).await?;
    assert_eq!(stays.ask("still").await?, "still");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jwt_with_a_part_too_many_is_no_opaque_token() -> Result<()> {
    let stage = Stage::new("ways-past-token-parts").await?;
    let forged = jwt(&format!(r#"{{"iss":"{}","sub":"mallory"}}"#, stage.issuer.url()));
    let twice = jwt(&format!(r#" {{"iss":"https://a.test","iss":"{}"}}"#, stage.issuer.url()));
    let (two, _) = forged.rsplit_once('.').context("a JWT")?;
    for token in [
        format!("{forged}.x"),
        format!("{forged}."),
        format!("{forged}.x.y"),
        format!("{twice}.x"),
        format!("{two}=="),
        two.to_owned(),
    ] {
        let status = stage.get("/public/a").bearer(&token).send().await?.status;
        assert_eq!(status, 401, "{token}");
    }
    assert!(stage.reached().is_empty(), "{:?}", stage.reached());
    // A JWE, and platforms' own token formats.
    for token in ["eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVy.dGFn", "hvs.CAESI", "glpat-x1.01.1a2b3c4.d"] {
        assert_eq!(stage.get("/public/a").bearer(token).send().await?.status, 200, "{token}");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_unread_token_takes_the_place_of_a_verified_one() -> Result<()> {
    let stage = Setup::new("ways-past-tokens").with_routes(ROUTES).start().await?;
    let forged = jwt(r#"{"iss":"https://elsewhere.test","sub":"alice"}"#);
    let alice = stage.sign_in("alice").await?;
    for token in [&*forged, "opaque"] {
        assert_eq!(stage.get("/tokens/open/a").bearer(token).send().await?.status, 401, "{token}");
        let both = stage.get("/tokens/open/a").bearer(token).header("Cookie", &alice);
        assert_eq!(both.send().await?.status, 401, "{token}");
        assert_eq!(stage.get("/public/a").bearer(token).send().await?.status, 200, "{token}");
    }
    assert_eq!(stage.get("/tokens/open/b").send().await?.status, 200);
    assert!(stage.upstream.last("/tokens/open/b")?.values("authorization").is_empty());
    assert_eq!(stage.get("/tokens/open/c").header("Cookie", &alice).send().await?.status, 200);
    let sent = stage.upstream.last("/tokens/open/c")?.value("authorization");
    assert!(sent.is_some_and(|sent| sent.starts_with("Bearer eyJ")), "a session's own token");
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_cannot_hide_the_host_that_a_proxy_sends() -> Result<()> {
    let stage =
        Setup::new("ways-past-hidden-host").with_routes(ROUTES).trusting_proxies().start().await?;
    // `/public/a` is open on the host that the proxy asks by, and closed on the one that it sends.
    for (name, value, status) in [
        ("X-Forwarded-Host", &b"admin.localhost"[..], 401),
        ("X-Forwarded-Host", b"a.test, admin.localhost", 401),
        ("X-Forwarded-Host", b"\xff, admin.localhost", 400),
        ("X-Forwarded-Host", b"admin.localhost,", 400),
        ("Forwarded", b"for=9.9.9.9;host=a.test, for=1.1.1.1;host=admin.localhost", 401),
        ("Forwarded", b"for=1.1.1.1;host=\"admin\\.localhost\"", 401),
        ("Forwarded", b"for=1.1.1.1;host=admin.localhost, ,", 401),
        ("Forwarded", b"for=\"\\\", x\", for=1.1.1.1;host=admin.localhost", 401),
        ("Forwarded", b"for=\"x, for=1.1.1.1;host=admin.localhost", 400),
        ("Forwarded", b"for=\"x\\\", for=1.1.1.1;host=admin.localhost", 400),
        ("Forwarded", b"for=\"x, for=\"[::1]\";host=admin.localhost", 400),
        ("Forwarded", b"for=\xff, for=1.1.1.1;host=admin.localhost", 400),
        ("Forwarded", b"for=1.1.1.1;host=admin.localhost;host=localhost", 400),
        ("Forwarded", b"for=1.1.1.1", 200),
    ] {
        let answer = stage.get("/public/a").header(name, value).send().await?;
        assert_eq!(answer.status, status, "{name}: {}", String::from_utf8_lossy(value));
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_end_of_the_path_opens_no_other_rule() -> Result<()> {
    let stage = Stage::new("ways-past-path-end").await?;
    // `GET /app/*/status` is for anyone. Servers that decode before they look for the query see `/app/secret`.
    for path in [
        "/app/secret%3F/status",
        "/app/secret%3fx/status",
        "/app/secret%23/status",
        "/app/secret%253F/status",
        "/app/x/status%3F",
        "/app/public%3F/a",
        "/app/public/..%3Fx",
        "/app/public/..%23",
        "/jupyter/public%2F..%3F",
    ] {
        assert_eq!(stage.get(path).send().await?.status, 400, "{path}");
    }
    assert!(stage.reached().is_empty(), "{:?}", stage.reached());
    for path in ["/app/x/status", "/app/public/what%3F", "/public/a%23b/c%3F.txt"] {
        assert_eq!(stage.get(path).send().await?.status, 200, "{path}");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_reads_no_token_from_the_answer_to_a_question() -> Result<()> {
    let in_front = "front:\n  match: { path: /front }\n  identity: { access_token: true }\n  access: [{ allow: signed_in }]\n";
    let stage = Setup::new("ways-past-page-asks")
        .with_routes(&format!("{ROUTES}{in_front}"))
        .trusting_proxies()
        .start()
        .await?;
    let alice = stage.sign_in("alice").await?;
    // By `fetch`, through a proxy before the gateway that passes a client's fields on.
    let asked = |uri: &'static str| {
        let ask = stage.get("/oauth2/auth").header("X-Forwarded-Uri", uri);
        ask.header("Cookie", &alice).header("Sec-Fetch-Site", "same-origin")
    };
    let answer = asked("/tokens/x").send().await?;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.header("x-auth-request-preferred-username"), "alice");
    assert!(answer.headers("x-auth-request-access-token").is_empty(), "{answer:?}");
    // A route that only answers questions has no other way to pass it on.
    let answer = asked("/front/x").send().await?;
    assert!(answer.header("x-auth-request-access-token").starts_with("Bearer eyJ"));
    assert!(!answer.header("x-doorward-assertion").is_empty());
    stage.finish(&[&alice])
}
