//! Passes HTTP/1.1 requests to one address and counts the paths that they name; adds a delay on demand.
//!
//! Requests to an issuer are counted on the wire, not in the library under test.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

/// Time for the answer to the last request of a client that is gone.
const LAST_ANSWER: Duration = Duration::from_secs(5);

/// A counting relay on a free port of loopback; stops when dropped.
#[derive(Debug)]
pub struct Counter {
    address: SocketAddr,
    asked: Asked,
    latency: watch::Sender<Duration>,
    task: JoinHandle<()>,
}

/// The request lines that passed, such as `POST /token`.
type Asked = Arc<Mutex<Vec<String>>>;

impl Counter {
    /// Passes requests on to `target`, `host:port`.
    pub async fn before(target: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let asked = Asked::default();
        let (latency, watched) = watch::channel(Duration::ZERO);
        let task = tokio::spawn(accept(listener, target.to_owned(), Arc::clone(&asked), watched));
        Ok(Self { address, asked, latency, task })
    }

    /// Delays each request from now on.
    pub fn delay(&self, latency: Duration) {
        self.latency.send_replace(latency);
    }

    /// Its URL without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The number of requests to paths that end with `path`.
    pub fn count(&self, path: &str) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|line| line.ends_with(path)).count()
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: String,
    asked: Asked,
    latency: watch::Receiver<Duration>,
) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let (target, asked, latency) = (target.clone(), Arc::clone(&asked), latency.clone());
        connections.spawn(async move {
            let Ok(far) = TcpStream::connect(&target).await else { return };
            let (near_read, mut near_write) = near.into_split();
            let (mut far_read, mut far_write) = far.into_split();
            let mut answers = std::pin::pin!(tokio::io::copy(&mut far_read, &mut near_write));
            // Either side may break off; that ends the connection.
            tokio::select! {
                _ = requests(near_read, &mut far_write, &asked, &latency) => {
                    // A server that loses its client may not finish what it was asked for.
                    let _ = timeout(LAST_ANSWER, answers).await;
                }
                _ = &mut answers => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Passes requests with a `Content-Length` or no body, which is all that the library sends.
async fn requests(
    near: OwnedReadHalf,
    far: &mut OwnedWriteHalf,
    asked: &Asked,
    latency: &watch::Receiver<Duration>,
) -> Result<()> {
    let mut near = BufReader::new(near);
    loop {
        let mut head = String::new();
        let mut length = 0;
        while !head.ends_with("\r\n\r\n") {
            let start = head.len();
            ensure!(near.read_line(&mut head).await? > 0, "the client is done");
            let line = head.get(start..).unwrap_or_default().to_ascii_lowercase();
            ensure!(!line.starts_with("transfer-encoding:"), "a chunked request");
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let (line, _) = head.split_once(" HTTP/1.1\r\n").context("not HTTP/1.1")?;
        asked.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
        let mut body = vec![0; length];
        near.read_exact(&mut body).await?;
        let latency = *latency.borrow();
        sleep(latency).await;
        far.write_all(head.as_bytes()).await?;
        far.write_all(&body).await?;
    }
}
