//! WebSockets, from a client's bare socket through the listener to an upstream's.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use http::Request;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_util::task::AbortOnDropHandle;
use tower::service_fn;

use super::{
    super::{frames::close_frame, *},
    fixtures::*,
};
use crate::{
    authorize::authorize,
    identify::{Identified, Sender},
    listen::{ListenAddr, Listener, canonical},
    route::Routed,
    throttle::Throttle,
};
use http_canonical::Trust;
use web_sessions::LiveSession;

const ASK: &str = "GET /ws?room=1 HTTP/1.1\r\nHost: platform.example\r\nConnection: keep-alive, Upgrade, X-Forwarded-User\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: v1.kernel\r\nOrigin: https://platform.example\r\nX-Forwarded-User: mallory\r\n\
    Cookie: doorward=ticket; _xsrf=1\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: v1.kernel\r\nX-Doorward-Assertion: forged\r\n\r\n";

/// A gateway that listens, for one session.
struct Gateway {
    stage: Arc<Stage>,
    live: Arc<LiveSession>,
    drain: Drain,
    address: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

impl Gateway {
    async fn before(route: Arc<Route>) -> Self {
        let drain = Drain::new(Duration::from_secs(5));
        let mut stage = Stage::new();
        stage.upstreams = Upstreams::new(
            stage.assertions.clone(),
            stage.clock.clone(),
            drain.clone(),
            Arc::default(),
            Arc::new(Throttle::new(stage.clock.clone())),
        )
        .with_sessions(stage.sessions.clone());
        let stage = Arc::new(stage);
        let live = stage.session(known()).await;
        let any = ListenAddr::Tcp("127.0.0.1:0".parse().unwrap());
        let listener = Listener::bind(&[any], None).await.unwrap();
        let ListenAddr::Tcp(address) = listener.local_addrs()[0].clone() else { panic!() };
        let (to, who) = (Arc::clone(&stage), Arc::clone(&live));
        let service = service_fn(move |request: Request<Body>| {
            let (stage, live, route) = (Arc::clone(&to), Arc::clone(&who), Arc::clone(&route));
            async move {
                let request = canonical(request, &Trust::none()).unwrap().unwrap();
                let identified = Identified {
                    routed: Routed { request: request.into(), route },
                    sender: Sender::known(live.known(), Credential::Session(live)),
                    times: None,
                    message: None,
                };
                let answer = stage.upstreams.forward(authorize(identified).unwrap()).await;
                Ok::<_, Infallible>(answer.unwrap_or_else(|refusal| {
                    let body = Body::from(refusal.to_string());
                    Response::builder().status(refusal.status()).body(body).unwrap()
                }))
            }
        });
        let end = drain.clone();
        let serving = tokio::spawn(async move {
            listener.serve(service, end).await;
        });
        Self { stage, live, drain, address, _serving: AbortOnDropHandle::new(serving) }
    }

    async fn client(&self) -> Peeled {
        Peeled::new(soon(TcpStream::connect(self.address)).await.unwrap())
    }

    /// An open WebSocket: the client's end and the upstream's.
    async fn open(&self, raw: &Raw) -> (Peeled, Peeled) {
        let mut client = self.client().await;
        client.write(ASK).await;
        let mut upstream = raw.accept().await;
        upstream.head().await;
        upstream.write(SWITCH).await;
        assert!(client.head().await.starts_with("HTTP/1.1 101 "));
        (client, upstream)
    }
}

#[tokio::test]
async fn a_websocket_gets_the_identity_and_carries_both_directions() {
    let raw = Raw::new().await;
    let gateway = Gateway::before(raw.route()).await;
    let mut client = gateway.client().await;
    client.write(ASK).await;
    let mut upstream = raw.accept().await;
    let head = upstream.head().await;
    assert!(head.starts_with("GET /ws?room=1 HTTP/1.1\r\n"), "{head}");
    assert_eq!(fields(&head, "connection"), ["upgrade"]);
    assert_eq!(fields(&head, "upgrade"), ["websocket"]);
    assert_eq!(fields(&head, "sec-websocket-key"), ["dGhlIHNhbXBsZSBub25jZQ=="]);
    assert_eq!(fields(&head, "sec-websocket-version"), ["13"]);
    assert_eq!(fields(&head, "sec-websocket-protocol"), ["v1.kernel"]);
    assert_eq!(fields(&head, "origin"), ["https://platform.example"]);
    assert_eq!(fields(&head, "host"), ["platform.example"]);
    assert_eq!(fields(&head, "x-forwarded-user"), ["s-1"]);
    assert_eq!(fields(&head, "x-doorward-assertion").len(), 1);
    assert_eq!(fields(&head, "cookie"), ["_xsrf=1"]);
    assert!(fields(&head, "content-length").is_empty() && !head.contains("mallory"));
    upstream.write(&format!("{SWITCH}\u{1}early")).await;
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert_eq!(fields(&answer, "sec-websocket-accept"), ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]);
    assert_eq!(fields(&answer, "sec-websocket-protocol"), ["v1.kernel"]);
    assert_eq!(fields(&answer, "upgrade"), ["websocket"]);
    assert!(fields(&answer, "x-doorward-assertion").is_empty());
    assert_eq!(client.bytes(6).await, b"\x01early");
    client.write("up").await;
    assert_eq!(upstream.bytes(2).await, b"up");
    drop(upstream);
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn logging_out_closes_the_websocket_with_1008() {
    let raw = Raw::new().await;
    let gateway = Gateway::before(raw.route()).await;
    let (mut client, mut upstream) = gateway.open(&raw).await;
    upstream.write("\u{1}\u{2}hi").await;
    assert_eq!(client.bytes(4).await, b"\x01\x02hi");
    gateway.stage.sessions.end(gateway.live.id()).await.unwrap();
    assert_eq!(client.rest().await, close_frame(1008, "session ended"));
    drop(client);
    assert_eq!(upstream.rest().await, b"");
}

#[tokio::test]
async fn shutting_down_closes_websockets_with_1001() {
    let raw = Raw::new().await;
    let gateway = Gateway::before(raw.route()).await;
    let (mut client, _upstream) = gateway.open(&raw).await;
    gateway.drain.begin();
    assert_eq!(client.rest().await, close_frame(1001, "shutting down"));
}

#[tokio::test]
async fn what_a_client_sends_counts_as_activity_of_its_session() {
    let raw = Raw::new().await;
    let gateway = Gateway::before(raw.route()).await;
    let (mut client, mut upstream) = gateway.open(&raw).await;
    let before = gateway.live.last_seen();
    gateway.stage.clock.advance(Duration::from_secs(90));
    // Activity is noted once a second at most.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    upstream.write("\u{1}\u{1}x").await;
    assert_eq!(client.bytes(3).await, b"\x01\x01x");
    assert_eq!(gateway.live.last_seen(), before, "the upstream's messages do not count");
    client.stream.write_all(b"\x8A\x80mask").await.unwrap();
    assert_eq!(upstream.bytes(6).await, b"\x8A\x80mask");
    assert_eq!(gateway.live.last_seen(), before, "a browser answers pings without its user");
    client.stream.write_all(b"\x81\x80mask").await.unwrap();
    assert_eq!(upstream.bytes(6).await, b"\x81\x80mask");
    assert_eq!(gateway.live.last_seen(), before + Duration::from_secs(90));
}

#[tokio::test]
async fn a_declined_upgrade_is_passed_on() {
    let raw = Raw::new().await;
    let gateway = Gateway::before(raw.route()).await;
    let mut client = gateway.client().await;
    client.write(ASK).await;
    raw.serve_one("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope").await;
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!(client.bytes(4).await, b"nope");
}

#[tokio::test]
async fn without_the_right_accept_there_is_no_tunnel() {
    for answer in [
        SWITCH.replace("s3pPLMBi", "AAAAAAAA"),
        SWITCH.replace("Upgrade: websocket", "Upgrade: h2c"),
        SWITCH.replace("Sec-WebSocket-Accept", "X-Accept"),
        SWITCH.replace("101 Switching Protocols", "200 OK"),
    ] {
        let raw = Raw::new().await;
        let gateway = Gateway::before(raw.route()).await;
        let mut client = gateway.client().await;
        client.write(ASK).await;
        let mut upstream = raw.accept().await;
        upstream.head().await;
        upstream.write(&answer).await;
        let head = client.head().await;
        let status = if answer.contains("200 OK") { "HTTP/1.1 200 " } else { "HTTP/1.1 502 " };
        assert!(head.starts_with(status), "{answer}: {head}");
        if status.contains("502") {
            client.write("smuggled").await;
            assert_eq!(upstream.rest().await, b"");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_speaks_http2_only_takes_no_websocket() {
    let route = Arc::new(route(&["h2c://127.0.0.1:1".to_owned()]));
    let gateway = Gateway::before(route).await;
    let mut client = gateway.client().await;
    client.write(ASK).await;
    assert!(client.head().await.starts_with("HTTP/1.1 501 "));
}

#[tokio::test]
async fn a_client_that_dies_during_its_upload_ends_the_exchange() {
    let raw = Raw::new().await;
    let gateway = Gateway::before(raw.route()).await;
    let mut client = gateway.client().await;
    client
        .write("POST /in HTTP/1.1\r\nHost: platform.example\r\nContent-Length: 1000\r\n\r\npart")
        .await;
    let mut upstream = raw.accept().await;
    assert_eq!(fields(&upstream.head().await, "content-length"), ["1000"]);
    assert_eq!(upstream.bytes(4).await, b"part");
    drop(client);
    assert_eq!(upstream.rest().await, b"");
}

#[tokio::test]
async fn a_truncated_response_is_truncated_for_the_client() {
    for (head, seen) in [
        ("Content-Length: 10\r\n\r\nfive!", "five!"),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nfive!\r\n", "5\r\nfive!\r\n"),
    ] {
        let raw = Raw::new().await;
        let gateway = Gateway::before(raw.route()).await;
        let mut client = gateway.client().await;
        client.write("GET / HTTP/1.1\r\nHost: platform.example\r\n\r\n").await;
        raw.serve_one(&format!("HTTP/1.1 200 OK\r\n{head}")).await;
        client.head().await;
        assert_eq!(String::from_utf8(client.rest().await).unwrap(), seen);
    }
}
