//! Workers: which connections to an upstream they use.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use crate::test_gateway::TestGateway;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An upstream, and the number of connections to it.
async fn upstream() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, SeqCst);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {
                    if head.ends_with(b"\r\n\r\n") {
                        stream.write_all(ANSWER).await.unwrap();
                        head.clear();
                    }
                }
            });
        }
    });
    (format!("http://{address}"), connections)
}

/// One exchange on an open connection.
async fn ask(stream: &mut TcpStream, authority: &str) {
    let request = format!("GET /open HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok") {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "closed: {answer:?}");
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_worker_keeps_its_own_upstream_connection() {
    let (url, connections) = upstream().await;
    let routes = format!(
        "
  open:
    match: {{ path: /open }}
    upstream: {url}
    access: [ {{ allow: anyone }} ]
runtime: {{ workers: 3 }}
"
    );
    let gateway = TestGateway::new(&routes).await;
    let authority = gateway.base.trim_start_matches("http://").to_owned();
    let mut clients = Vec::new();
    let end = Instant::now() + Duration::from_secs(20);
    // Requests come one after the other, so that each worker needs one connection.
    while connections.load(SeqCst) < 3 {
        assert!(Instant::now() < end, "{clients:?} are served by too few workers");
        let mut client = TcpStream::connect(&authority).await.unwrap();
        ask(&mut client, &authority).await;
        clients.push(client);
    }
    for _ in 0..10 {
        for client in &mut clients {
            ask(client, &authority).await;
        }
    }
    assert_eq!(connections.load(SeqCst), 3);
    // After a reload the targets are the same, and so are the connections to them.
    let file = gateway.folder.path().join("doorward.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("open:\n", "open:\n    title: Open\n")).unwrap();
    gateway.reloader.reload(&file).await;
    for client in &mut clients {
        ask(client, &authority).await;
    }
    assert_eq!(connections.load(SeqCst), 3);
}
