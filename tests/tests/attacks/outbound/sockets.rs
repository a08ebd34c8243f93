//! WebSockets of programs through the local listener: opened with a token, passed in both directions, and ended with the token.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use dev_issuer::{DevClient, Grant};
use e2e::{
    authority::Authority,
    gateway::Plan,
    upstream::Echo,
    wait,
    websocket::{Handshake, WebSocket, connect},
    wire::Wire,
    world::free_port,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{CHURN, Local, PATIENCE, problem, setup};

/// Policy violation ([RFC 6455 §7.4.1](https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1)).
const POLICY_VIOLATION: Option<u16> = Some(1008);
const GOING_AWAY: Option<u16> = Some(1001);

impl Local {
    async fn socket(&self, path: &str, fields: &[(&str, &str)]) -> Result<WebSocket> {
        connect(self.port, path, fields).await?.open()
    }

    /// The answer to a handshake that opens no WebSocket.
    async fn refused(&self, path: &str, fields: &[(&str, &str)]) -> Result<(u16, Value)> {
        match connect(self.port, path, fields).await? {
            Handshake::Open(_) => bail!("{path} opens a WebSocket"),
            Handshake::Refused { status, body } => {
                Ok((status.as_u16(), serde_json::from_str(&body).unwrap_or(Value::String(body))))
            }
        }
    }

    /// The line of a WebSocket's end.
    async fn end(&self, path: &str) -> Result<Value> {
        wait::until("the line of its end", PATIENCE, async || {
            let lines = self.stage.gateway.log_lines()?;
            let of_end = |line: &Value| line["msg"] == "stream ended" && line["path"] == path;
            Ok(lines.into_iter().find(of_end))
        })
        .await
    }

    async fn life_of_tokens(name: &str, targets: &str, life: Duration) -> Result<Self> {
        let (service, port) = (Echo::start().await?, free_port()?);
        let stage = setup(name, &format!("127.0.0.1:{port}"), targets, &service.url())?
            .with_client(|client| client.access_token_lifetime(life))
            .with_plan(|plan| plan.with_issuer_setting("leeway: 0s"));
        Ok(Self { stage: stage.start().await?, service, port })
    }
}

/// A service that answers each handshake with `status` and `fields`, in which `ACCEPT` stands for the right answer to the key; it
/// then sends what it gets, and `bye` once the other side has closed its half.
async fn service(status: &'static str, fields: &'static str) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(one(stream, status, fields));
        }
    });
    Ok(url)
}

async fn one(mut stream: TcpStream, status: &str, fields: &str) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(stream.read_buf(&mut head).await? > 0);
    }
    let head = String::from_utf8(head)?;
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "));
    let accept = derive_accept_key(key.unwrap_or_default().as_bytes());
    let answer = format!("HTTP/1.1 {status}\r\n{}\r\n", fields.replace("ACCEPT", &accept));
    stream.write_all(answer.as_bytes()).await?;
    let mut space = [0; 1024];
    loop {
        let read = stream.read(&mut space).await?;
        if read == 0 {
            break;
        }
        stream.write_all(&space[..read]).await?;
    }
    stream.write_all(b"\x81\x03bye").await?;
    Ok(stream.shutdown().await?)
}

const SWITCH: &str =
    "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ACCEPT\r\n";

fn handshake(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{fields}\r\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_opens_a_web_socket_with_a_token() -> Result<()> {
    let local = Local::start("outbound-socket-open", CHURN).await?;
    let own = [("authorization", "Bearer of-the-program"), ("x-forwarded-user", "root")];
    let mut socket = local.socket("/churn/live/ws?room=1", &own).await?;
    assert_eq!(socket.ask("hello").await?, "hello");
    let large = "x".repeat(300_000);
    assert_eq!(socket.ask(&large).await?, large);
    let token = local.token("audience=churn").await?.json()?["access_token"].clone();
    let token = token.as_str().context("no token")?.to_owned();
    let seen = local.service.last("/base/live/ws?room=1")?;
    assert_eq!(seen.values("authorization"), [format!("Bearer {token}")]);
    assert_eq!(seen.value("host").as_deref(), local.service.url().strip_prefix("http://"));
    assert_eq!(seen.value("x-forwarded-user"), None);
    assert_eq!(seen.value("origin"), None);
    assert_eq!(local.granted(Grant::ClientCredentials), 1);
    drop(socket);
    let end = local.end("/churn/live/ws").await?;
    assert_eq!((&end["listener"], &end["outbound"]), (&"outbound".into(), &"churn".into()));
    ensure!(end["bytes_received"].as_u64() > Some(300_000), "{end}");
    let lines = local.stage.gateway.audit()?;
    let opened = lines.iter().find(|line| line["status"] == 101).context("no line of its start")?;
    assert_eq!(opened["request_id"], end["request_id"], "{opened} {end}");
    local.stage.finish(&[&format!("t={token}")])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_ends_with_the_token_that_opened_it() -> Result<()> {
    let targets = "\
churn: { url: SERVICE, issuer: main, audience: churn }
lasting: { url: SERVICE, issuer: main, streams: until_done }
";
    let life = Duration::from_secs(6);
    let local = Local::life_of_tokens("outbound-socket-end", targets, life).await?;
    let mut lasting = local.socket("/lasting/ws", &[]).await?;
    let mut socket = local.socket("/churn/ws", &[]).await?;
    assert_eq!(socket.ask("while it is valid").await?, "while it is valid");
    let first = local.service.requests().pop().and_then(|seen| seen.value("authorization"));
    assert_eq!(timeout(PATIENCE, socket.closing_code()).await?, POLICY_VIOLATION);
    assert_eq!(local.end("/churn/ws").await?["reason"], "the bearer token has expired");
    // The same again gets another token.
    let mut again = local.socket("/churn/ws", &[]).await?;
    assert_eq!(again.ask("again").await?, "again");
    let second = local.service.requests().pop().and_then(|seen| seen.value("authorization"));
    ensure!(first.is_some() && first != second, "{first:?}");
    assert_eq!(timeout(PATIENCE, again.closing_code()).await?, POLICY_VIOLATION);
    // Two lives of a token later the service has the word.
    assert_eq!(lasting.ask("still").await?, "still");
    local.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_of_a_user_ends_with_the_users_token() -> Result<()> {
    // The token for the service outlives the user's.
    let targets = "reports: { url: SERVICE, issuer: main, audience: churn, grant: exchange, \
                   client: { id: exchanger, auth: { secret: { env: EXCHANGER } } } }\n";
    let (service, port) = (Echo::start().await?, free_port()?);
    let listen = format!("127.0.0.1:{port}");
    let stage = setup("outbound-socket-user", &listen, targets, &service.url())?
        .with_client(|client| {
            client.audience("exchanger").access_token_lifetime(Duration::from_secs(6))
        })
        .with_issuer(|issuer| issuer.client(DevClient::confidential("exchanger", "its secret")))
        .with_plan(|plan| {
            plan.with_issuer_setting("leeway: 0s").with_variable("EXCHANGER", "its secret")
        });
    let local = Local { stage: stage.start().await?, service, port };
    assert_eq!(local.refused("/reports/ws", &[]).await?.1["code"], "no_subject");
    let token = local.stage.issuer.log_in("alice", "gateway", "openid")?.access_token;
    let authorization = format!("Bearer {token}");
    let mut socket = local.socket("/reports/ws", &[("authorization", &authorization)]).await?;
    assert_eq!(socket.ask("hello").await?, "hello");
    assert_eq!(timeout(PATIENCE, socket.closing_code()).await?, POLICY_VIOLATION);
    let end = local.end("/reports/ws").await?;
    assert_eq!((&end["user"], &end["outbound"]), (&"alice".into(), &"reports".into()));
    let (status, document) =
        local.refused("/reports/ws", &[("authorization", &authorization)]).await?;
    assert_eq!(status, 401, "{document}");
    local.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_opens_a_web_socket_and_no_token_comes_by_one() -> Result<()> {
    let local = Local::start("outbound-socket-pages", CHURN).await?;
    for field in [
        ("origin", "https://evil.test"),
        ("origin", "null"),
        ("origin", "http://localhost"),
        ("referer", "http://localhost/"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "websocket"),
    ] {
        let (status, document) = local.refused("/churn/ws", &[field]).await?;
        assert_eq!((status, &document["code"]), (403, &"browser".into()), "{field:?}");
    }
    let mut rebound = Wire::connect(local.port).await?;
    rebound.send(handshake("/churn/ws", "").replace("localhost", "evil.test")).await;
    problem(&rebound.answer().await?, 421, "foreign_host")?;
    let here = ("x-doorward-local", "1");
    let (status, document) = local.refused("/token?audience=churn", &[here]).await?;
    assert_eq!((status, &document["code"]), (400, &"websocket".into()));
    for path in ["/churn/../ws", "/churn/..%2fws", "/other/ws"] {
        let mut wire = Wire::connect(local.port).await?;
        wire.send(handshake(path, "")).await;
        let status = wire.answer().await?.status;
        ensure!(matches!(status, 400 | 404), "{path}: {status}");
    }
    // A handshake that is none: without a key, or of another version.
    for wrong in [
        handshake("/churn/ws", "").replace("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", ""),
        handshake("/churn/ws", "").replace("Version: 13", "Version: 8"),
    ] {
        let mut wire = Wire::connect(local.port).await?;
        wire.send(&wrong).await;
        let answer = wire.answer().await?;
        ensure!(matches!(answer.status, 400 | 426), "{wrong}: {answer:?}");
    }
    assert_eq!(local.service.requests().len(), 0, "nothing was sent");
    assert_eq!(local.granted(Grant::ClientCredentials), 0, "no token was asked for");
    local.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_opens_no_web_socket_is_passed_on() -> Result<()> {
    let closed = service("403 Forbidden", "Content-Length: 0\r\nX-Why: not you\r\n").await?;
    let plain = service("200 OK", "Content-Length: 0\r\n").await?;
    let key = service(
        "101 Switching Protocols",
        "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n",
    )
    .await?;
    let other = service(
        "101 Switching Protocols",
        "Connection: upgrade\r\nUpgrade: other\r\nSec-WebSocket-Accept: ACCEPT\r\n",
    )
    .await?;
    let gone = format!("http://127.0.0.1:{}", free_port()?);
    let targets: String =
        [("closed", &closed), ("plain", &plain), ("key", &key), ("other", &other), ("gone", &gone)]
            .map(|(name, url)| format!("{name}: {{ url: '{url}', issuer: main }}\n"))
            .concat();
    let local = Local::start("outbound-socket-refused", &targets).await?;
    let mut wire = Wire::connect(local.port).await?;
    wire.send(handshake("/closed/ws", "")).await;
    let answer = wire.answer().await?;
    assert_eq!((answer.status, answer.header("x-why")), (403, "not you"));
    assert_eq!(local.refused("/plain/ws", &[]).await?.0, 200);
    for name in ["key", "other"] {
        let (status, document) = local.refused(&format!("/{name}/ws"), &[]).await?;
        assert_eq!((status, &document["code"]), (502, &"upstream_invalid".into()), "{name}");
    }
    let (status, document) = local.refused("/gone/ws", &[]).await?;
    assert_eq!((status, &document["code"]), (502, &"upstream_unavailable".into()));
    local.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_token_is_replaced_before_the_web_socket_opens() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let target = format!("churn: {{ url: 'http://{}', issuer: main }}\n", listener.local_addr()?);
    tokio::spawn(async move {
        let mut status = "401 Unauthorized";
        while let Ok((stream, _)) = listener.accept().await {
            let refusal = "Content-Length: 0\r\nConnection: close\r\n";
            let head = if status.starts_with("401") { refusal } else { SWITCH };
            tokio::spawn(one(stream, status, head));
            status = "101 Switching Protocols";
        }
    });
    let local = Local::start("outbound-socket-401", &target).await?;
    local.socket("/churn/ws", &[]).await?;
    assert_eq!(local.granted(Grant::ClientCredentials), 2);
    local.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn each_side_closes_its_half_of_a_web_socket() -> Result<()> {
    let url = service("101 Switching Protocols", SWITCH).await?;
    let target = format!("churn: {{ url: '{url}', issuer: main }}\n");
    let local = Local::start("outbound-socket-half", &target).await?;
    let mut stream = TcpStream::connect(("127.0.0.1", local.port)).await?;
    stream.write_all(handshake("/churn/ws", "").as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(stream.read_buf(&mut head).await? > 0, "{}", String::from_utf8_lossy(&head));
    }
    ensure!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    let frame = b"\x81\x82\x00\x00\x00\x00hi";
    stream.write_all(frame).await?;
    let mut echoed = [0; 8];
    timeout(PATIENCE, stream.read_exact(&mut echoed)).await??;
    assert_eq!(&echoed, frame);
    stream.shutdown().await?;
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await??;
    assert_eq!(rest, b"\x81\x03bye", "what the service says after the program's end arrives");
    assert_eq!(local.end("/churn/ws").await?["reason"], "closed");
    local.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_of_a_web_socket_is_known_by_its_certificate() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("doorward-sockets-{}", std::process::id()));
    let (ours, other) = (Authority::new(&folder.join("a"))?, Authority::new(&folder.join("b"))?);
    let (echo, certified) = (Echo::start().await?, ours.server()?);
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(&certified.certificate)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&certified.key)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    let (acceptor, listener) =
        (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await?);
    let (port, service) = (listener.local_addr()?.port(), echo.address());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut outer = acceptor.accept(stream).await?;
                let mut inner = TcpStream::connect(service).await?;
                copy_bidirectional(&mut outer, &mut inner).await
            });
        }
    });
    let targets: String = [("churn", &ours), ("foreign", &other)]
        .map(|(name, authority)| {
            let file = authority.certificate();
            format!(
                "{name}: {{ url: 'https://localhost:{port}', issuer: main, tls: {{ ca_file: {} }} }}\n",
                file.display()
            )
        })
        .concat();
    let local = Local::start("outbound-socket-tls", &targets).await?;
    let mut socket = local.socket("/churn/ws", &[]).await?;
    assert_eq!(socket.ask("over TLS").await?, "over TLS");
    let before = echo.requests().len();
    let (status, document) = local.refused("/foreign/ws", &[]).await?;
    assert_eq!((status, &document["code"]), (502, &"upstream_unavailable".into()));
    assert_eq!(echo.requests().len(), before, "no token goes to a service that is not the target");
    std::fs::remove_dir_all(folder)?;
    local.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_closes_the_web_sockets_of_programs() -> Result<()> {
    let (service, port) = (Echo::start().await?, free_port()?);
    let stop = |plan: Plan| plan.with("shutdown: { lame_duck: 0s, grace: 20s, streams: 1s }");
    let stage = setup("outbound-socket-stop", &format!("127.0.0.1:{port}"), CHURN, &service.url())?
        .with_plan(stop);
    let mut local = Local { stage: stage.start().await?, service, port };
    let mut socket = local.socket("/churn/ws", &[]).await?;
    assert_eq!(socket.ask("hello").await?, "hello");
    local.stage.gateway.signal(rustix::process::Signal::TERM);
    assert_eq!(timeout(PATIENCE, socket.closing_code()).await?, GOING_AWAY);
    drop(socket);
    local.stage.gateway.ended_within(PATIENCE).await?;
    local.stage.finish(&[])
}
