//! WebSockets: opened with a session from a page of this origin only, and closed with the session.

use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::{
    World,
    gateway::Plan,
    visitor::{Manner, Visitor, form_token},
    websocket::{Handshake, connect},
};
use reqwest::Method;
use tokio::time::timeout;

fn route(upstream: &str) -> String {
    format!(
        "live:\n  match: {{ path: / }}\n  upstream: {upstream}\n  access: [{{ allow: signed_in }}]"
    )
}

fn refused(handshake: Handshake) -> Option<u16> {
    match handshake {
        Handshake::Open(_) => None,
        Handshake::Refused { status, .. } => Some(status.as_u16()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_needs_a_session_and_its_own_origin() -> Result<()> {
    let world = World::new("websocket")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let gateway = Plan::new(&world, &realm, &route(&echo.url()))?.start().await?;
    let visitor = Visitor::new()?;
    visitor.log_in(&world.url("/"), "alice").await?;
    let (port, origin) = (world.public_port(), world.public_url());
    let cookie = visitor.cookies(&world.url("/ws"))?;
    let with_session = ("cookie", cookie.as_str());
    let before = echo.requests().len();

    let anonymous = connect(port, "/ws", &[("origin", &origin)]).await?;
    assert_eq!(refused(anonymous), Some(401));
    for foreign in ["https://elsewhere.test", "http://localhost.elsewhere.test", "null"] {
        let answer = connect(port, "/ws", &[("origin", foreign), with_session]).await?;
        assert_eq!(refused(answer), Some(403), "{foreign}");
    }
    assert_eq!(echo.requests().len(), before, "nothing of these reached the upstream");

    let headers = [
        ("origin", origin.as_str()),
        with_session,
        ("x-forwarded-user", "mallory"),
        ("x-forwarded-preferred-username", "mallory"),
    ];
    let mut socket = connect(port, "/deep/ws?room=1", &headers).await?.open()?;
    assert_eq!(socket.ask("hello").await?, "hello");
    let large = "x".repeat(200_000);
    assert_eq!(socket.ask(&large).await?, large);
    let seen = echo.last("/deep/ws")?;
    assert_eq!(seen.target(), "/deep/ws?room=1");
    assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some("alice"));
    assert_eq!(seen.values("cookie"), Vec::<String>::new());
    gateway.finish(&visitor.cookie_values())
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_closes_open_web_sockets() -> Result<()> {
    let world = World::new("websocket-logout")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let gateway = Plan::new(&world, &realm, &route(&echo.url()))?.start().await?;
    let visitor = Visitor::new()?;
    visitor.log_in(&world.url("/"), "alice").await?;
    let cookie = visitor.cookies(&world.url("/ws"))?;
    let origin = world.public_url();
    let headers = [("origin", origin.as_str()), ("cookie", cookie.as_str())];
    let mut socket = connect(world.public_port(), "/ws", &headers).await?.open()?;
    assert_eq!(socket.ask("before").await?, "before");

    let form = visitor.open(&world.url("/oauth2/sign_out")).await?;
    let csrf = form_token(&form.body)?;
    let body =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("csrf", &csrf).finish();
    let fields =
        [("origin", origin.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let url = world.url("/oauth2/sign_out");
    let answer = visitor.send(Method::POST, &url, Manner::Navigation, &fields, Some(body)).await?;
    assert!(answer.status.is_redirection() || answer.status.is_success(), "{}", answer.status);
    let closed = timeout(Duration::from_secs(15), socket.next_text()).await;
    assert_eq!(closed.context("the web socket outlived the session")??, None);
    gateway.finish(&visitor.cookie_values())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_opens_a_web_socket_with_its_token() -> Result<()> {
    let world = World::new("websocket-bearer")?;
    let (realm, api) = (world.realm().await?, world.model_api().await?);
    let routes = format!(
        "churn:\n  match: {{ path: /models/churn }}\n  upstream: {}\n  sign_in: challenge\n  access: [{{ allow: {{ clients: [airflow-run] }} }}]",
        api.url()
    );
    let gateway = Plan::new(&world, &realm, &routes)?.start().await?;
    let token = realm.client_credentials("airflow-run", None).await?;
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str())];
    let mut live = connect(world.public_port(), "/models/churn/live", &headers).await?.open()?;
    assert_eq!(live.ask("7").await?, "scored 7");
    gateway.finish(&[token])
}

/// Connections that are open at a port of this machine.
fn connections(port: u16) -> Result<usize> {
    let mut open = 0;
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let local = format!(":{port:04X}");
        open += std::fs::read_to_string(table)?
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|row| {
                row.get(1).is_some_and(|address| address.ends_with(&local))
                    && row.get(3) == Some(&"01")
            })
            .count();
    }
    Ok(open)
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_opens_its_web_socket_over_http2() -> Result<()> {
    let world = World::new_with_tls("websocket-http2")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let gateway = Plan::new(&world, &realm, &route(&echo.url()))?.start().await?;
    let person = world.browser().await?.person().await?;
    let page = person.sign_in(&world.url("/"), "alice").await?;
    let before = connections(world.public_port())?;
    let open = "new Promise((answered, failed) => {
        window.socket = new WebSocket(location.origin.replace('https', 'wss') + '/live/ws');
        window.socket.onopen = () => window.socket.send('hello');
        window.socket.onmessage = (message) => answered(message.data);
        window.socket.onerror = () => failed(new Error('the web socket was refused'));
    })";
    assert_eq!(page.eval(open).await?, "hello");
    // Over HTTP/1.1 each WebSocket has a connection of its own.
    let after = connections(world.public_port())?;
    assert!(
        before > 0 && after <= before,
        "{before} connections before, {after} with the WebSocket"
    );
    let seen = echo.last("/live/ws")?;
    assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some("alice"));
    gateway.finish(&[])
}
