//! WebSockets: opened by signed-in users from the gateway's own pages, and closed with the session or token.

use std::time::Duration;

use anyhow::{Context as _, Result};
use dev_issuer::Mint;
use e2e::websocket::{Handshake, WebSocket, connect};
use tokio::time::{Instant, timeout};

use crate::stage::{Setup, Stage};

/// Time in which a socket must be closed.
const SOON: Duration = Duration::from_secs(5);
/// Policy violation ([RFC 6455 §7.4.1](https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1)).
const POLICY_VIOLATION: Option<u16> = Some(1008);

/// A handshake at `path` with these fields besides those that make it one.
fn handshake(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{fields}\r\n"
    )
}

async fn status(stage: &Stage, path: &str, fields: &str) -> Result<u16> {
    Ok(stage.raw(handshake(path, fields)).await?.status())
}

async fn open(stage: &Stage, cookie: &str) -> Result<WebSocket> {
    let origin = stage.origin();
    let fields = [("origin", &*origin), ("cookie", cookie)];
    connect(stage.world.public_port(), "/ws", &fields).await?.open()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_web_socket_opens_without_a_credential() -> Result<()> {
    let stage = Stage::new("attack-ws-anonymous").await?;
    let own = format!("Origin: {}\r\n", stage.origin());
    for fields in [
        String::new(),
        own.clone(),
        format!("{own}Cookie: doorward=x\r\n"),
        format!("{own}Cookie: doorward=\r\n"),
        format!("{own}X-Forwarded-User: mallory\r\n"),
        format!("{own}Sec-WebSocket-Protocol: token, mallory\r\n"),
        format!("{own}Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n"),
    ] {
        assert_eq!(status(&stage, "/ws", &fields).await?, 401, "{fields:?}");
    }
    for token in ["x", "x.y.z"] {
        let bearer = format!("Authorization: Bearer {token}\r\n");
        assert_eq!(status(&stage, "/ws", &bearer).await?, 401, "{token}");
        // Tokens in the query do not count.
        assert_eq!(status(&stage, &format!("/ws?access_token={token}"), &own).await?, 401);
    }
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    for query in [format!("access_token={token}"), format!("token={token}")] {
        assert_eq!(status(&stage, &format!("/ws?{query}"), &own).await?, 401);
    }
    let bob = stage.sign_in("bob").await?;
    assert_eq!(status(&stage, "/admin/ws", &format!("{own}Cookie: {bob}\r\n")).await?, 403);
    assert!(stage.reached().is_empty(), "{:?}", stage.reached());
    stage.finish(&[&bob])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_another_site_opens_a_web_socket() -> Result<()> {
    let stage = Stage::new("attack-ws-origin").await?;
    let alice = stage.sign_in("alice").await?;
    let (host, port) = (stage.host(), stage.world.public_port());
    for origin in [
        "null".to_owned(),
        String::new(),
        "https://evil.test".to_owned(),
        format!("http://{host}.evil.test"),
        format!("http://localhost.evil.test:{port}"),
        format!("http://evil-localhost:{port}"),
        format!("http://evil.localhost:{port}"),
        "http://localhost".to_owned(),
        "http://localhost:1".to_owned(),
        format!("http://localhost:{port}0"),
        format!("https://{host}"),
        format!("http://127.0.0.1:{port}"),
        format!("http://{host}@evil.test"),
        format!("http://{host}/"),
        format!("http://{host}, https://evil.test"),
        format!("https://evil.test, http://{host}"),
        format!("http://{host} https://evil.test"),
        format!("file://{host}"),
        host.clone(),
        format!("//{host}"),
        format!("HTTP://{host}"),
        format!("chrome-extension://{host}"),
    ] {
        let fields = format!("Origin: {origin}\r\nCookie: {alice}\r\n");
        assert_eq!(status(&stage, "/ws", &fields).await?, 403, "{origin:?}");
    }
    let two = format!("Origin: http://{host}\r\nOrigin: https://evil.test\r\nCookie: {alice}\r\n");
    assert_eq!(status(&stage, "/ws", &two).await?, 400);
    // Without `Origin` the client is not a browser, and its other fields count.
    for site in ["cross-site", "same-site"] {
        let fields = format!("Sec-Fetch-Site: {site}\r\nCookie: {alice}\r\n");
        assert_eq!(status(&stage, "/ws", &fields).await?, 403, "{site}");
    }
    // Fields about another host do not change the origin of the page.
    let claimed = format!(
        "Origin: https://evil.test\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Proto: https\r\nCookie: {alice}\r\n"
    );
    assert_eq!(status(&stage, "/ws", &claimed).await?, 403);
    assert!(stage.reached().is_empty(), "{:?}", stage.reached());

    let mut socket = open(&stage, &alice).await?;
    assert_eq!(socket.ask("hello").await?, "hello");
    let seen = stage.upstream.last("/ws")?;
    assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some("alice"));
    assert_eq!(seen.values("cookie"), Vec::<String>::new());
    assert_eq!(seen.value("origin"), Some(stage.origin()));
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_page_has_no_session_where_anyone_may_call() -> Result<()> {
    let stage = Stage::new("attack-ws-anyone").await?;
    let alice = stage.sign_in("alice").await?;
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let cookie = format!("Cookie: {alice}\r\n");
    let own = format!("Origin: {}\r\n", stage.origin());
    let foreign = "Origin: https://evil.test\r\n";
    let reported = |stage: &Stage, path: &str| -> Result<Option<String>> {
        Ok(stage.upstream.last(path)?.value("x-forwarded-preferred-username"))
    };
    for (origin, user) in [(own.as_str(), Some("alice")), (foreign, None), ("", None)] {
        assert_eq!(status(&stage, "/public/ws", &format!("{origin}{cookie}")).await?, 101);
        assert_eq!(reported(&stage, "/public/ws")?.as_deref(), user, "{origin:?}");
        let seen = stage.upstream.last("/public/ws")?;
        assert!(seen.values("cookie").is_empty(), "the cookie is never sent on");
    }
    // Programs' tokens and requests without a credential are not bound to an origin.
    for origin in [foreign, "", "Origin: null\r\n"] {
        let bearer = format!("{origin}Authorization: Bearer {token}\r\n");
        assert_eq!(status(&stage, "/ws", &bearer).await?, 101, "{origin:?}");
        assert_eq!(reported(&stage, "/ws")?.as_deref(), Some("alice"), "{origin:?}");
        assert_eq!(status(&stage, "/public/ws", origin).await?, 101, "{origin:?}");
    }
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshakes_connection_list_removes_no_gateway_field() -> Result<()> {
    let stage = Stage::new("attack-ws-connection").await?;
    let alice = stage.sign_in("alice").await?;
    for list in [
        "Upgrade, X-Forwarded-User, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, X-Doorward-Assertion",
        "X-FORWARDED-USER, upgrade",
        "keep-alive, Upgrade, host, x-forwarded-user",
        "upgrade, sec-websocket-key-x, X-Forwarded-Preferred-Username\r\nConnection: X-Forwarded-User",
    ] {
        let origin = stage.origin();
        let fields =
            format!("Origin: {origin}\r\nCookie: {alice}\r\nX-Forwarded-User: mallory\r\n");
        let text = handshake("/ws", &fields);
        let text = text.replacen("Connection: Upgrade", &format!("Connection: {list}"), 1);
        let before = stage.upstream.requests().len();
        let answer = stage.raw(text).await?;
        assert_eq!(answer.status(), 101, "{list}: {answer:?}");
        let seen = &stage.upstream.requests().split_off(before)[0];
        assert_eq!(
            seen.value("x-forwarded-preferred-username").as_deref(),
            Some("alice"),
            "{list}"
        );
        for name in [
            "x-forwarded-user",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-doorward-assertion",
            "host",
        ] {
            assert!(seen.value(name).is_some_and(|value| value != "mallory"), "{list}: {name}");
        }
        assert_eq!(
            seen.value("connection").map(|value| value.to_lowercase()).as_deref(),
            Some("upgrade")
        );
    }
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_closes_when_its_user_signs_out() -> Result<()> {
    let stage = Stage::new("attack-ws-logout").await?;
    let (alice, bob) = (stage.sign_in("alice").await?, stage.sign_in("bob").await?);
    let mut sockets = [open(&stage, &alice).await?, open(&stage, &alice).await?];
    let mut others = open(&stage, &bob).await?;
    for socket in &mut sockets {
        assert_eq!(socket.ask("before").await?, "before");
    }
    let page = stage.get("/oauth2/sign_out").header("Cookie", &alice).send().await?;
    let csrf = e2e::visitor::form_token(&page.body)?;
    // A page elsewhere cannot do it.
    let forged = stage
        .post("/oauth2/sign_out")
        .header("Cookie", &alice)
        .header("Origin", "https://evil.test")
        .form(&[("csrf", &csrf)]);
    assert_eq!(forged.send().await?.status, 403);
    assert_eq!(sockets[0].ask("still").await?, "still");
    let own = stage
        .post("/oauth2/sign_out")
        .header("Cookie", &alice)
        .header("Origin", stage.origin())
        .form(&[("csrf", &csrf)]);
    assert_eq!(own.send().await?.status, 303);
    for socket in &mut sockets {
        let code = timeout(SOON, socket.closing_code()).await.context("it stays open")?;
        assert_eq!(code, POLICY_VIOLATION);
    }
    assert_eq!(status(&stage, "/ws", &format!("Cookie: {alice}\r\n")).await?, 401);
    assert_eq!(others.ask("another user").await?, "another user");
    stage.finish(&[&alice, &bob])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_closes_when_the_provider_ends_the_session() -> Result<()> {
    let stage = Stage::new("attack-ws-backchannel").await?;
    let (alice, bob) = (stage.sign_in("alice").await?, stage.sign_in("bob").await?);
    let mut socket = open(&stage, &alice).await?;
    let mut others = open(&stage, &bob).await?;
    assert_eq!(socket.ask("before").await?, "before");
    let [sid] =
        stage.issuer.session_ids("alice").try_into().map_err(|_| anyhow::anyhow!("sessions"))?;
    // Invalid logout tokens leave it open.
    for bad in [
        stage.issuer.mint(Mint::logout("alice").client("gateway").sid(&sid).expired())?,
        stage.issuer.mint(Mint::logout("alice").client("gateway").sid(&sid).audience(["other"]))?,
        stage.issuer.mint(Mint::logout("alice").client("gateway").sid(&sid).without("events"))?,
        stage.issuer.mint(
            Mint::logout("alice").client("gateway").sid(&sid).nonce("n").claim("nonce", "n"),
        )?,
        stage
            .issuer
            .mint(Mint::logout("alice").client("gateway").sid(&sid).issuer("https://evil.test"))?,
        stage.issuer.mint(Mint::id("alice").client("gateway").sid(&sid))?,
        stage.issuer.mint(Mint::access("alice").client("gateway").sid(&sid))?,
    ] {
        let post = stage.post("/oauth2/backchannel_logout").form(&[("logout_token", &bad)]);
        assert_eq!(post.send().await?.status, 400);
    }
    assert_eq!(socket.ask("still").await?, "still");
    assert_eq!(stage.issuer.end_session_for("alice").await, 1, "the logout token was delivered");
    let code = timeout(SOON, socket.closing_code()).await.context("it stays open")?;
    assert_eq!(code, POLICY_VIOLATION);
    assert_eq!(stage.get("/echo").header("Cookie", &alice).send().await?.status, 401);
    assert_eq!(others.ask("another user").await?, "another user");
    stage.finish(&[&alice, &bob])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_ends_with_the_token_that_opened_it() -> Result<()> {
    const LIFETIME: Duration = Duration::from_secs(4);
    const LEEWAY: Duration = Duration::from_secs(2);
    let stage = Setup::new("attack-ws-token")
        .with_plan(|plan| plan.with_issuer_setting("leeway: 2s"))
        .start()
        .await?;
    let mint =
        |lifetime| stage.issuer.mint(Mint::access("alice").client("gateway").expires_in(lifetime));
    let begun = Instant::now();
    let (short, long) = (mint(LIFETIME)?, mint(Duration::from_secs(300))?);
    let dial = async |token: &str| -> Result<Handshake> {
        let bearer = format!("Bearer {token}");
        connect(stage.world.public_port(), "/ws", &[("authorization", &bearer)]).await
    };
    let (mut socket, mut other) = (dial(&short).await?.open()?, dial(&long).await?.open()?);
    assert_eq!(socket.ask("before").await?, "before");
    let seen = stage.upstream.last("/ws")?;
    assert_eq!(seen.values("authorization"), Vec::<String>::new());
    let code =
        timeout(LIFETIME + LEEWAY + SOON, socket.closing_code()).await.context("it stays open")?;
    assert_eq!(code, POLICY_VIOLATION);
    // `exp` is in whole seconds.
    let lasted = begun.elapsed();
    assert!(
        lasted > LIFETIME - Duration::from_secs(1),
        "closed before the token's end: {lasted:?}"
    );
    assert!(lasted < LIFETIME + LEEWAY + Duration::from_secs(2), "{lasted:?}");
    assert!(matches!(dial(&short).await?, Handshake::Refused { status, .. } if status == 401));
    assert_eq!(other.ask("longer").await?, "longer");
    stage.finish(&[])
}
