//! Answers that the client does not read: they end with their permission, and keep no upload alive.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::Mint;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::{sleep, timeout},
};

use crate::{
    open_streams::{SOON, reload},
    stage::{Setup, Stage},
};

const PAUSE: Duration = Duration::from_millis(300);

/// An upstream that answers each request before it has read the body, and without end.
struct Endless {
    port: u16,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Answers that the gateway still reads.
    open: AtomicUsize,
    /// Bytes of bodies that arrived.
    taken: AtomicUsize,
}

impl Endless {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut read, write) = stream.into_split();
                let mut head = vec![0; 16 * 1024];
                if matches!(read.read(&mut head).await, Ok(1..)) {
                    tokio::spawn(take(read, Arc::clone(&shared)));
                    tokio::spawn(answer(write, Arc::clone(&shared)));
                }
            }
        });
        Ok(Self { port, counts })
    }

    /// A stage with this upstream at `/endless`, for the group `/lab`.
    async fn stage(&self, name: &str) -> Result<Stage> {
        let routes = format!(
            "endless:\n  match: {{ path: /endless }}\n  upstream: http://127.0.0.1:{}\n  access: [{{ allow: {{ groups: [/lab] }} }}]\n",
            self.port
        );
        Setup::new(name).with_routes(&routes).start().await
    }

    fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// Sends a few chunks of an upload and returns the number of bytes that arrive.
    async fn takes(&self, upload: &mut TcpStream) -> usize {
        let taken = || self.counts.taken.load(Ordering::SeqCst);
        // Bytes sent before are still on their way.
        sleep(PAUSE).await;
        let before = taken();
        for _ in 0..4 {
            // The gateway may have closed the connection by now.
            let _ = timeout(PAUSE, upload.write_all(b"5\r\nhello\r\n")).await;
            sleep(PAUSE).await;
        }
        taken() - before
    }
}

async fn take(mut body: OwnedReadHalf, counts: Arc<Counts>) {
    let mut space = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = body.read(&mut space).await {
        counts.taken.fetch_add(length, Ordering::SeqCst);
    }
}

async fn answer(mut stream: OwnedWriteHalf, counts: Arc<Counts>) {
    counts.open.fetch_add(1, Ordering::SeqCst);
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(64 * 1024));
    let mut next = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    while stream.write_all(next.as_bytes()).await.is_ok() {
        next = &chunk;
    }
    counts.open.fetch_sub(1, Ordering::SeqCst);
}

/// Sends a head with these fields, and reads the status line of the answer and nothing else.
async fn begin(stage: &Stage, method: &str, fields: &str) -> Result<TcpStream> {
    let mut client = TcpStream::connect(("127.0.0.1", stage.gateway.port())).await?;
    let head = format!("{method} /endless/x HTTP/1.1\r\nHost: HOST\r\n{fields}\r\n\r\n");
    client.write_all(&stage.filled(head.as_bytes())).await?;
    let mut begun = [0; 15];
    client.read_exact(&mut begun).await?;
    ensure!(begun == *b"HTTP/1.1 200 OK", "{:?}", String::from_utf8_lossy(&begun));
    Ok(client)
}

async fn upload(stage: &Stage, field: &str) -> Result<TcpStream> {
    begin(stage, "POST", &format!("{field}\r\nTransfer-Encoding: chunked")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unread_answer_ends_when_its_permission_does() -> Result<()> {
    let upstream = Endless::start().await?;
    let stage = upstream.stage("unread-stream").await?;
    let cookie = stage.sign_in("alice").await?;
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let by_session = begin(&stage, "GET", &format!("Cookie: {cookie}")).await?;
    let by_token = begin(&stage, "GET", &format!("Authorization: Bearer {token}")).await?;
    // The clients do not read: all buffers between are full by now.
    sleep(Duration::from_secs(2)).await;
    assert_eq!(upstream.open(), 2);
    reload(&stage, "groups: [/lab]", "groups: [/other]").await?;
    let ended = async {
        while upstream.open() > 0 {
            sleep(PAUSE).await;
        }
    };
    timeout(SOON, ended).await.context("the upstream still sends")?;
    drop((by_session, by_token));
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unread_answer_keeps_no_upload_alive() -> Result<()> {
    let upstream = Endless::start().await?;
    let stage = upstream.stage("unread-answer").await?;
    let cookie = stage.sign_in("alice").await?;
    let mut by_session = upload(&stage, &format!("Cookie: {cookie}")).await?;
    ensure!(upstream.takes(&mut by_session).await > 0, "an upload that may go on");
    let page = stage.get("/oauth2/sign_out").header("Cookie", &cookie).send().await?;
    let token = e2e::visitor::form_token(&page.body)?;
    let out = stage.post("/oauth2/sign_out").header("Cookie", &cookie);
    let out = out.header("Origin", stage.origin()).form(&[("csrf", &token)]).send().await?;
    assert_eq!(out.status, 303, "{out:?}");
    assert_eq!(upstream.takes(&mut by_session).await, 0, "after the sign-out");
    drop(by_session);

    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let mut by_token = upload(&stage, &format!("Authorization: Bearer {token}")).await?;
    ensure!(upstream.takes(&mut by_token).await > 0, "an upload that may go on");
    reload(&stage, "groups: [/lab]", "groups: [/other]").await?;
    assert_eq!(upstream.takes(&mut by_token).await, 0, "after the reload");
    drop(by_token);
    stage.finish(&[&cookie])
}
