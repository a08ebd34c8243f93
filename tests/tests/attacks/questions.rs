//! Forward-auth questions: refused when ambiguous, and answered in a form that proxies support.

use anyhow::Result;

use crate::stage::{Setup, Stage};

/// Two hosts: on `admin.localhost` only the role `admin` may use `/secret`, on the other anyone.
const ROUTES: &str = "\
closed:
  match: { host: admin.localhost, path: / }
  access: [{ allow: { roles: [admin] } }]
open:
  match: { host: open.localhost, path: / }
  access: [{ allow: anyone }]
named:
  match: { host: named.localhost, path: / }
  identity: { headers: true, access_token: true }
  access: [{ path: /open/**, allow: anyone }, { allow: signed_in }]
";

async fn stage(name: &str) -> Result<Stage> {
    Setup::new(name).with_routes(ROUTES).trusting_proxies().start().await
}

/// The status of a question with these fields beside `Host`, and the whole answer.
async fn asked(stage: &Stage, fields: &str) -> Result<e2e::wire::RawAnswer> {
    let head =
        format!("GET /oauth2/auth HTTP/1.1\r\nHost: HOST\r\n{fields}Connection: close\r\n\r\n");
    stage.raw(head).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_s_field_never_chooses_the_host() -> Result<()> {
    let stage = stage("attack-question-host").await?;
    let secret = "X-Forwarded-Uri: /secret\r\n";
    let on_admin = format!("{secret}X-Forwarded-Host: admin.localhost\r\n");
    assert_eq!(asked(&stage, &on_admin).await?.status(), 401);
    for planted in [
        "Forwarded: for=1.1.1.1;host=open.localhost",
        "Forwarded: host=open.localhost",
        "Forwarded: host=\"open.localhost:1\", for=2.2.2.2;host=open.localhost",
        "X-Forwarded-Host: open.localhost",
        "X-Original-URL: http://open.localhost/secret",
    ] {
        for fields in [format!("{on_admin}{planted}\r\n"), format!("{planted}\r\n{on_admin}")] {
            assert_eq!(asked(&stage, &fields).await?.status(), 403, "{fields}");
        }
    }
    // Without a host field of the proxy its own `Host` counts, and a client's `Forwarded` does not change that.
    for planted in ["Forwarded: host=open.localhost", "Forwarded: for=1.1.1.1;host=admin.localhost"]
    {
        let fields = format!("{secret}{planted}\r\n");
        assert_eq!(asked(&stage, &fields).await?.status(), 403, "{fields}");
    }
    // Fields that agree are one reading.
    for agreeing in [
        "Forwarded: for=1.1.1.1;host=admin.localhost",
        "Forwarded: for=1.1.1.1",
        "X-Original-URL: http://ADMIN.localhost:80/secret",
    ] {
        let fields = format!("{on_admin}{agreeing}\r\n");
        assert_eq!(asked(&stage, &fields).await?.status(), 401, "{fields}");
    }
    let open = format!("{secret}X-Forwarded-Host: open.localhost\r\n");
    assert_eq!(asked(&stage, &open).await?.status(), 202);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn in_line_two_forwarded_hosts_are_refused() -> Result<()> {
    let stage = stage("attack-forwarded-hosts").await?;
    let before = stage.reached().len();
    for (name, value, status) in [
        ("Forwarded", "for=1.1.1.1;host=open.localhost", 400),
        ("Forwarded", "for=1.1.1.1;host=localhost", 200),
        ("Forwarded", "for=1.1.1.1", 200),
    ] {
        let ask =
            stage.get("/public/a").header("X-Forwarded-Host", "localhost").header(name, value);
        assert_eq!(ask.send().await?.status, status, "{name}: {value}");
    }
    assert_eq!(stage.reached().len(), before + 2);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_has_three_answers() -> Result<()> {
    let stage = stage("attack-question-status").await?;
    let bob = stage.sign_in("bob").await?;
    let cookie = format!("Cookie: {bob}\r\n");
    for (fields, status, code) in [
        ("X-Forwarded-Uri: /public/a\r\n".to_owned(), 202, ""),
        ("X-Forwarded-Uri: /echo\r\n".to_owned(), 401, ""),
        (format!("X-Forwarded-Uri: /admin/x\r\n{cookie}"), 403, ""),
        ("X-Forwarded-Uri: /nowhere\r\n".to_owned(), 403, "404"),
        ("X-Forwarded-Uri: /a\r\nX-Forwarded-Host: elsewhere.test\r\n".to_owned(), 403, "421"),
        ("X-Forwarded-Uri: /a//b\r\n".to_owned(), 403, "404"),
        ("X-Forwarded-Uri: /app//b\r\n".to_owned(), 403, "400"),
        ("X-Forwarded-Uri: /public/%2e%2e/admin\r\n".to_owned(), 403, ""),
        ("X-Forwarded-Uri: \r\n".to_owned(), 403, ""),
        ("X-Forwarded-Uri: /a\r\nX-Forwarded-Host: a@b\r\n".to_owned(), 403, "400"),
        (
            "X-Forwarded-Uri: /a\r\nX-Forwarded-Host: a\r\nForwarded: host=b\r\n".to_owned(),
            403,
            "400",
        ),
        (String::new(), 403, ""),
    ] {
        let answer = asked(&stage, &fields).await?;
        assert_eq!(answer.status(), status, "{fields}: {answer:?}");
        assert_eq!(answer.first()?.header("x-doorward-status"), code, "{fields}: {answer:?}");
    }
    stage.finish(&[&bob])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_without_the_method_that_a_rule_needs_is_refused() -> Result<()> {
    let stage = stage("attack-question-method").await?;
    // GET /app/*/status is open; a proxy that asks by GET for a POST it holds must not open the POST.
    for (fields, status) in [
        ("X-Forwarded-Uri: /app/x/status\r\n", 403),
        ("X-Forwarded-Uri: /app/x/status\r\nX-Forwarded-Method: POST\r\n", 401),
        ("X-Forwarded-Uri: /app/x/status\r\nX-Forwarded-Method: GET\r\n", 202),
        ("X-Forwarded-Uri: /public/a\r\n", 202),
    ] {
        assert_eq!(asked(&stage, fields).await?.status(), status, "{fields}");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_the_gateway_s_own_urls_is_refused() -> Result<()> {
    let stage = stage("attack-question-own").await?;
    let alice = stage.sign_in("alice").await?;
    for target in [
        "/oauth2/auth",
        "/oauth2",
        "/oauth2/",
        "/oauth2/userinfo?x",
        "/%6Fauth2/auth",
        "//oauth2/auth",
        "/oauth2;x/auth",
        "/oauth2%2Fauth",
        "/;x%2Foauth2/auth",
        "http://named.localhost/oauth2/auth",
        "",
    ] {
        for host in ["", "X-Forwarded-Host: named.localhost\r\n"] {
            let field =
                if target.starts_with("http") { "X-Original-URL" } else { "X-Forwarded-Uri" };
            let fields = format!("{field}: {target}\r\n{host}Cookie: {alice}\r\n");
            let answer = asked(&stage, &fields).await?;
            assert_eq!(answer.status(), 403, "{fields}: {answer:?}");
            let head = format!("{:?}", answer.first()?);
            assert!(!head.contains("access-token") && !head.contains("eyJ"), "{fields}: {head}");
        }
    }
    let fields = format!(
        "X-Forwarded-Uri: /oauth2x\r\nX-Forwarded-Host: named.localhost\r\nCookie: {alice}\r\n"
    );
    let answer = asked(&stage, &fields).await?;
    assert_eq!(answer.status(), 202, "a neighbour: {answer:?}");
    assert!(answer.first()?.header("x-auth-request-access-token").starts_with("Bearer "));
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_page_opens_no_web_socket_by_a_question() -> Result<()> {
    let stage = stage("attack-question-websocket").await?;
    let alice = stage.sign_in("alice").await?;
    let own = "http://named.localhost";
    let port = stage.world.public_port();
    let asking = |uri: &str, handshake: &str, origin: &str, credential: &str| {
        format!(
            "X-Forwarded-Uri: {uri}\r\nX-Forwarded-Host: named.localhost\r\n{handshake}{origin}{credential}"
        )
    };
    let cookie = format!("Cookie: {alice}\r\n");
    let key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    for handshake in [
        key,
        "Sec-WebSocket-Version: 13\r\n",
        "Sec-Fetch-Mode: websocket\r\n",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n",
    ] {
        for origin in [
            "Origin: https://evil.test\r\n".to_owned(),
            "Origin: null\r\n".to_owned(),
            format!("Origin: {own}.evil.test\r\n"),
            format!("Origin: https://named.localhost:{port}\r\n"),
            String::new(),
        ] {
            let fields = asking("/ws", handshake, &origin, &cookie);
            assert_eq!(asked(&stage, &fields).await?.status(), 403, "{fields}");
        }
        let fields = asking("/ws", handshake, &format!("Origin: {own}:{port}\r\n"), &cookie);
        assert_eq!(asked(&stage, &fields).await?.status(), 202, "{fields}");
        // Anyone may: the session does not count for a foreign page.
        let fields = asking("/open/ws", handshake, "Origin: https://evil.test\r\n", &cookie);
        let answer = asked(&stage, &fields).await?;
        assert_eq!(answer.status(), 202, "{fields}");
        let users = answer.first()?.headers("x-auth-request-user").len();
        assert_eq!(users, 0, "{fields}: {answer:?}");
    }
    // A program's token does not come from a browser: agents send foreign origins.
    let token = stage.issuer.mint(dev_issuer::Mint::access("alice").client("gateway"))?;
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let fields = asking("/ws", key, "Origin: https://agent.test\r\n", &bearer);
    assert_eq!(asked(&stage, &fields).await?.status(), 202);
    // Other requests have no such rule, as in line.
    let fields = asking("/page", "", "Origin: https://evil.test\r\n", &cookie);
    assert_eq!(asked(&stage, &fields).await?.status(), 202);
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_s_override_disagrees_with_the_question() -> Result<()> {
    let stage = stage("attack-question-override").await?;
    let open = "X-Forwarded-Host: open.localhost\r\nX-Forwarded-Uri: /a\r\n";
    let question = format!("{open}X-Forwarded-Method: POST\r\n");
    assert_eq!(asked(&stage, &question).await?.status(), 202);
    for field in [
        "X-HTTP-Method-Override: DELETE",
        "X-HTTP-Method: DELETE",
        "X-Method-Override: PUT",
        "X-Method-Override: post",
        "X-Rewrite-URL: /secret",
    ] {
        assert_eq!(
            asked(&stage, &format!("{question}{field}\r\n")).await?.status(),
            403,
            "{field}"
        );
    }
    let unsaid = format!("{open}X-HTTP-Method-Override: DELETE\r\n");
    assert_eq!(
        asked(&stage, &unsaid).await?.status(),
        403,
        "a method that the proxy does not send"
    );
    for field in ["X-HTTP-Method-Override: POST", "X-Rewrite-URL: /a"] {
        assert_eq!(
            asked(&stage, &format!("{question}{field}\r\n")).await?.status(),
            202,
            "{field}"
        );
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_content_type_makes_a_refusal_a_200() -> Result<()> {
    let stage = stage("attack-question-grpc").await?;
    for (target, status) in
        [("/oauth2/userinfo", 401), ("/oauth2/session", 401), ("/oauth2/auth", 401)]
    {
        let ask = stage.get(target).header("Content-Type", "application/grpc");
        let answer = ask
            .header("X-Forwarded-Uri", "/secret")
            .header("X-Forwarded-Host", "admin.localhost")
            .send()
            .await?;
        assert!(answer.status == status || answer.status == 421, "{target}: {answer:?}");
        assert_ne!(answer.header("content-type"), "application/grpc");
    }
    stage.finish(&[])
}
