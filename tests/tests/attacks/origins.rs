//! WebSockets with a session from pages of other origins.

use anyhow::Result;
use e2e::websocket::{WebSocket, connect};

use crate::{
    open_streams::{SOON, closes, reload},
    stage::{Setup, Stage},
};

const ROUTES: &str = "\
live:
  match: { path: /live }
  upstream: UPSTREAM
  origins: [https://apps.example, 'http://localhost:3000']
  access: [{ path: /live/open/**, allow: anyone }, { allow: signed_in }]
";

/// Opens a socket with a session, as a browser does from a page of this origin.
async fn open(stage: &Stage, path: &str, cookie: &str, origin: &str) -> Result<WebSocket> {
    let fields = [("cookie", cookie), ("origin", origin)];
    connect(stage.world.public_port(), path, &fields).await?.open()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_origin_opens_a_socket_with_a_session() -> Result<()> {
    let stage = Setup::new("origins").with_routes(ROUTES).start().await?;
    let cookie = stage.sign_in("alice").await?;
    let own = stage.origin();
    let open = async |path: &str, origin: &str| open(&stage, path, &cookie, origin).await;
    for origin in ["https://apps.example", "http://localhost:3000", &own] {
        let mut socket = open("/live/ws", origin).await?;
        assert_eq!(socket.ask("still").await?, "still", "{origin}");
        let seen = stage.upstream.last("/live/ws")?;
        assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some("alice"));
    }
    for origin in [
        "https://apps.example.evil.test",
        "https://apps.example:8443",
        "http://apps.example",
        "https://APPS.example",
        "https://apps.example/",
        "https://x.apps.example",
        "http://localhost:30000",
        "null",
        "",
    ] {
        let refused = open("/live/ws", origin).await;
        assert!(refused.is_err_and(|error| format!("{error:#}").contains("403")), "{origin:?}");
        // Where anyone may open one, the session is not used for it.
        let before = stage.upstream.requests().len();
        drop(open("/live/open/ws", origin).await?);
        let seen = stage.upstream.requests().split_off(before);
        assert!(seen.iter().all(|seen| seen.values("x-forwarded-user").is_empty()), "{origin:?}");
    }
    // The list is the route's own.
    let refused = open("/ws/x/ws", "https://apps.example").await;
    assert!(refused.is_err(), "another route admits its own pages only");
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_opens_no_form_and_no_question() -> Result<()> {
    let stage =
        Setup::new("origins-elsewhere").with_routes(ROUTES).trusting_proxies().start().await?;
    let cookie = stage.sign_in("alice").await?;
    // `origins` is about WebSockets: the gateway's own forms stay the gateway's.
    let form = stage.post("/oauth2/sign_out").header("Origin", "https://apps.example");
    let answer = form.header("Cookie", &cookie).form(&[("csrf", "x")]).send().await?;
    assert_eq!(answer.status, 403, "{answer:?}");
    // A question about a WebSocket is judged as the socket itself.
    for (origin, status) in [("https://apps.example", 202), ("https://evil.test", 403)] {
        let ask = stage.get("/oauth2/auth").header("X-Forwarded-Uri", "/live/ws");
        let ask = ask.header("X-Forwarded-Method", "GET").header("Origin", origin);
        let ask = ask.header("Sec-WebSocket-Version", "13").header("Cookie", &cookie);
        let answer = ask.send().await?;
        assert_eq!(answer.status, status, "{origin}: {answer:?}");
    }
    let mut socket = open(&stage, "/live/ws", &cookie, "https://apps.example").await?;
    reload(&stage, "allow: signed_in }]", "allow: { roles: [other] } }]").await?;
    closes(&mut socket, SOON).await?;
    stage.finish(&[&cookie])
}
