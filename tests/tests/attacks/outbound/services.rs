//! Services behind the local listener that refuse tokens, and the listener on a socket.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Result, ensure};
use dev_issuer::Grant;
use e2e::{upstream::Echo, wait, wire::Wire};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UnixStream},
};

use super::{CHURN, Local, PATIENCE, setup};

/// A service that refuses the first token that it sees, and answers how many requests it got.
async fn refusing(refuse_all: bool) -> Result<(String, Arc<AtomicUsize>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (url, count) =
        (format!("http://{}", listener.local_addr()?), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        let mut first: Option<String> = None;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let is_whole = |request: &[u8]| match request.starts_with(b"POST") {
                true => request.ends_with(b"\r\n\r\nbody"),
                false => request.ends_with(b"\r\n\r\n"),
            };
            while !is_whole(&request)
                && matches!(stream.read_buf(&mut request).await, Ok(read) if read > 0)
            {}
            counted.fetch_add(1, Ordering::SeqCst);
            let text = String::from_utf8_lossy(&request).into_owned();
            let token = text.lines().find(|line| line.to_lowercase().starts_with("authorization"));
            let token = token.unwrap_or_default().to_owned();
            let refused = refuse_all || *first.get_or_insert_with(|| token.clone()) == token;
            let status = if refused { "401 Unauthorized" } else { "307 Temporary Redirect" };
            let answer = format!(
                "HTTP/1.1 {status}\r\nLocation: http://elsewhere.test/x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    Ok((url, count))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_token_is_replaced_once() -> Result<()> {
    let (url, count) = refusing(false).await?;
    let target = format!("churn: {{ url: '{url}', issuer: main, audience: churn }}\n");
    let local = Local::start("outbound-401", &target).await?;
    let call = "POST /churn/x HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4\r\n\r\nbody";
    let mut wire = Wire::connect(local.port).await?;
    wire.send(call.replace("HOST", "localhost")).await;
    let answer = wire.answer().await?;
    // The redirect of the service is the program's to follow.
    assert_eq!(answer.status, 307, "{answer:?}");
    assert_eq!(answer.header("location"), "http://elsewhere.test/x");
    assert_eq!((count.load(Ordering::SeqCst), local.granted(Grant::ClientCredentials)), (2, 2));

    let (url, count) = refusing(true).await?;
    let target = format!("churn: {{ url: '{url}', issuer: main, audience: churn }}\n");
    let refused = Local::start("outbound-401-all", &target).await?;
    for _ in 0..5 {
        let answer = refused.ask("GET /churn/x HTTP/1.1\r\nHost: HOST").await?;
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    ensure!(count.load(Ordering::SeqCst) <= 10);
    ensure!(
        refused.granted(Grant::ClientCredentials) <= 3,
        "a refusing service costs no grant a call"
    );
    refused.stage.finish(&[])?;
    local.stage.finish(&[])
}

/// Sends a request to a socket, and returns everything that it answers.
pub(super) async fn over_socket(path: &Path, head: &str) -> Result<String> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await??;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_for_the_gateways_user() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("doorward-outbound-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let (socket, service) = (folder.join("out.sock"), Echo::start().await?);
    let listen = format!("unix:{}", socket.display());
    let stage = setup("outbound-socket", &listen, CHURN, &service.url())?.start().await?;
    let mode = std::fs::metadata(&socket)?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let token = "GET /token?audience=churn HTTP/1.1\r\nHost: localhost\r\nX-Doorward-Local: 1";
    let answer = over_socket(&socket, token).await?;
    ensure!(answer.starts_with("HTTP/1.1 200") && answer.contains("access_token"), "{answer}");
    let rebound = over_socket(&socket, &token.replace("localhost", "evil.test")).await?;
    ensure!(rebound.starts_with("HTTP/1.1 421"), "{rebound}");
    let call = over_socket(&socket, "GET /churn/x HTTP/1.1\r\nHost: localhost").await?;
    ensure!(call.starts_with("HTTP/1.1 200"), "{call}");
    stage.finish(&[])?;
    ensure!(!socket.exists(), "the socket is gone with the gateway");
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_targets_and_keeps_tokens() -> Result<()> {
    let targets = format!("{CHURN}sales: {{ url: 'SERVICE/sales', issuer: main }}\n");
    let local = Local::start("outbound-reload", &targets).await?;
    for target in ["churn", "sales"] {
        let head = format!("GET /{target}/x HTTP/1.1\r\nHost: HOST");
        assert_eq!(local.ask(&head).await?.status, 200);
    }
    let before = local.granted(Grant::ClientCredentials);
    let config = local.stage.gateway.config();
    let text = std::fs::read_to_string(config)?;
    std::fs::write(config, text.replace("    sales: {", "    orders: {"))?;
    wait::until("the reload", PATIENCE, async || {
        let answer = local.ask("GET /orders/x HTTP/1.1\r\nHost: HOST").await?;
        Ok((answer.status == 200).then_some(()))
    })
    .await?;
    assert_eq!(local.ask("GET /sales/x HTTP/1.1\r\nHost: HOST").await?.status, 404);
    assert_eq!(local.ask("GET /churn/x HTTP/1.1\r\nHost: HOST").await?.status, 200);
    assert_eq!(local.granted(Grant::ClientCredentials), before + 1, "churn keeps its token");
    local.stage.finish(&[])
}
