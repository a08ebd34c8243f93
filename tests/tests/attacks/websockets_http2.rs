//! WebSockets over HTTP/2 (RFC 8441): the same rules as over HTTP/1.1, and no tunnel to anything else.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dev_issuer::Mint;
use e2e::wait;
use h2::{RecvStream, SendStream, client::SendRequest, ext::Protocol};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    open_streams::reload,
    stage::{Setup, Stage},
};

const PATIENCE: Duration = Duration::from_secs(30);

type Sender = SendRequest<Body>;
type Body = std::io::Cursor<Vec<u8>>;

/// An HTTP/2 connection to the gateway.
pub(crate) struct Connection {
    sender: Sender,
    authority: String,
}

/// An open WebSocket.
pub(crate) struct Socket {
    send: SendStream<Body>,
    receive: RecvStream,
    received: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(stage: &Stage) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", stage.gateway.port())).await?;
        let (sender, connection) = h2::client::Builder::new().handshake(stream).await?;
        tokio::spawn(async move { drop(connection.await) });
        let this = Self { sender, authority: stage.host() };
        wait::until("SETTINGS_ENABLE_CONNECT_PROTOCOL", PATIENCE, async || {
            Ok(this.sender.is_extended_connect_protocol_enabled().then_some(()))
        })
        .await?;
        Ok(this)
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        protocol: Option<&'static str>,
        fields: &[(&str, &str)],
    ) -> Result<(u16, SendStream<Body>, RecvStream)> {
        let mut sender = self.sender.clone().ready().await?;
        let uri = format!("http://{}{path}", self.authority);
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        if let Some(protocol) = protocol {
            request = request.extension(Protocol::from_static(protocol));
        }
        let end = method == "GET";
        let (answer, send) = sender.send_request(request.body(())?, end)?;
        let answer = timeout(PATIENCE, answer).await??;
        Ok((answer.status().as_u16(), send, answer.into_body()))
    }

    pub(crate) async fn status(
        &self,
        path: &str,
        protocol: Option<&'static str>,
        fields: &[(&str, &str)],
    ) -> Result<u16> {
        let fields: Vec<_> =
            fields.iter().copied().chain([("sec-websocket-version", "13")]).collect();
        Ok(self.send("CONNECT", path, protocol, &fields).await?.0)
    }

    pub(crate) async fn socket(&self, path: &str, fields: &[(&str, &str)]) -> Result<Socket> {
        let fields: Vec<_> =
            fields.iter().copied().chain([("sec-websocket-version", "13")]).collect();
        let (status, send, receive) =
            self.send("CONNECT", path, Some("websocket"), &fields).await?;
        ensure!(status == 200, "the WebSocket does not open: {status}");
        Ok(Socket { send, receive, received: Vec::new() })
    }
}

impl Socket {
    /// Sends a text and returns the next frame that is no ping: its first byte and its payload.
    pub(crate) async fn ask(&mut self, text: &str) -> Result<(u8, Vec<u8>)> {
        let length = u8::try_from(text.len())?;
        ensure!(length < 126, "a long text");
        // A mask of zeros leaves the text as it is.
        let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        self.send.send_data(std::io::Cursor::new(frame), false)?;
        self.frame().await
    }

    async fn frame(&mut self) -> Result<(u8, Vec<u8>)> {
        loop {
            if let [first, length, rest @ ..] = self.received.as_slice()
                && rest.len() >= usize::from(*length)
            {
                ensure!(*length < 126, "a long frame");
                let (first, length) = (*first, usize::from(*length));
                let payload: Vec<u8> = self.received.drain(..2 + length).skip(2).collect();
                if first != 0x89 {
                    return Ok((first, payload));
                }
                continue;
            }
            let data = timeout(PATIENCE, self.receive.data()).await?.context("ended")??;
            self.receive.flow_control().release_capacity(data.len())?;
            self.received.extend_from_slice(&data);
        }
    }

    /// Waits for the gateway's close frame.
    pub(crate) async fn closed_with(&mut self, code: u16) -> Result<String> {
        let (first, payload) = self.frame().await?;
        ensure!(first == 0x88, "no close frame: {first:#x}");
        let (sent, reason) = payload.split_at_checked(2).context("no code")?;
        ensure!(sent == code.to_be_bytes(), "closed with {sent:?}");
        Ok(String::from_utf8_lossy(reason).into_owned())
    }
}

fn bearer(stage: &Stage) -> Result<String> {
    Ok(format!("Bearer {}", stage.issuer.mint(Mint::access("alice").client("gateway"))?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_opens_over_http2_beside_requests() -> Result<()> {
    let stage = Stage::new("ws-http2").await?;
    let connection = Connection::open(&stage).await?;
    let authorization = bearer(&stage)?;
    let token = [("authorization", authorization.as_str())];
    let forged = [
        token[0],
        ("sec-websocket-key", "bm90IGEgbm9uY2UgYXQgYWxs"),
        ("x-forwarded-user", "admin"),
    ];
    let mut one = connection.socket("/ws/one/ws", &token).await?;
    let mut two = connection.socket("/ws/two/ws", &forged).await?;
    for text in ["hello", "again"] {
        assert_eq!(one.ask(text).await?, (0x81, text.as_bytes().to_vec()));
        assert_eq!(two.ask(text).await?, (0x81, text.as_bytes().to_vec()));
        let (status, ..) = connection.send("GET", "/echo/a", None, &token).await?;
        assert_eq!(status, 200, "a request beside the WebSockets");
    }
    let seen = stage.upstream.last("/ws/one/ws")?;
    assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some("alice"));
    assert_eq!(seen.value("upgrade").as_deref(), Some("websocket"));
    let seen = stage.upstream.last("/ws/two/ws")?;
    assert_eq!(seen.values("sec-websocket-key").len(), 1, "the key is the gateway's own");
    assert_ne!(seen.value("sec-websocket-key").as_deref(), Some(forged[1].1));
    assert_ne!(seen.value("x-forwarded-user").as_deref(), Some("admin"));
    drop((one, two));
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_of_a_handshake_hold_over_http2() -> Result<()> {
    let stage = Stage::new("ws-http2-rules").await?;
    let connection = Connection::open(&stage).await?;
    let cookie = stage.sign_in("alice").await?;
    let origin = stage.origin();
    let (own, foreign) = (("origin", origin.as_str()), ("origin", "https://evil.example"));
    let session = ("cookie", cookie.as_str());
    for (fields, expected) in [
        (vec![], 401),
        (vec![own], 401),
        (vec![session], 403),
        (vec![session, foreign], 403),
        (vec![session, own, ("upgrade", "websocket")], 400),
        (vec![session, own], 200),
    ] {
        let status = connection.status("/ws/a/ws", Some("websocket"), &fields).await;
        // The library may refuse what no HTTP/2 client may send.
        let refused = expected == 400 && status.is_err();
        assert!(refused || status.is_ok_and(|status| status == expected), "{expected} {fields:?}");
    }
    let authorization = bearer(&stage)?;
    let token = [("authorization", authorization.as_str())];
    let version = [token[0], ("sec-websocket-version", "12")];
    let (status, ..) = connection.send("CONNECT", "/ws/b", Some("websocket"), &version).await?;
    assert_eq!(status, 426);
    let (status, ..) = connection.send("CONNECT", "/ws/b", Some("websocket"), &token).await?;
    assert_eq!(status, 426, "without a version");
    for protocol in ["connect-udp", "connect-ip", "WebSocket", "webtransport"] {
        assert_eq!(connection.status("/ws/b", Some(protocol), &token).await?, 501, "{protocol}");
    }
    // A success that opens no WebSocket would be a tunnel to no upstream.
    for path in ["/ws/plain", "/oauth2/ping", "/oauth2/jwks", "/oauth2/userinfo"] {
        let status = connection.status(path, Some("websocket"), &token).await?;
        assert!(status >= 400, "{path}: {status}");
    }
    assert!(!stage.reached().iter().any(|target| target == "/ws/b"), "{:?}", stage.reached());
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_over_http2_is_closed_with_its_reason() -> Result<()> {
    let setup = Setup::new("ws-http2-ends")
        .with_plan(|plan| plan.with("shutdown: { lame_duck: 1s, grace: 2s, streams: 5s }"));
    let stage = setup.start().await?;
    let connection = Connection::open(&stage).await?;
    let authorization = bearer(&stage)?;
    let token = [("authorization", authorization.as_str())];
    let mut revoked = connection.socket("/ws/a/ws", &token).await?;
    let mut stays = connection.socket("/admin/a/ws", &token).await?;
    assert_eq!(revoked.ask("hello").await?.0, 0x81);
    reload(&stage, "match: { path: /ws }", "match: { path: /ws }\n    bearer: application").await?;
    assert_eq!(revoked.closed_with(1008).await?, "no longer permitted");
    assert_eq!(stays.ask("still").await?.0, 0x81, "the connection and its other streams stay");
    stage.gateway.signal(rustix::process::Signal::TERM);
    assert_eq!(stays.closed_with(1001).await?, "shutting down");
    Ok(())
}
