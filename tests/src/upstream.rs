//! An upstream that records the bytes it receives, so that a scenario can assert which requests reached it.
//!
//! Uses plain sockets: no HTTP library is between the gateway and the record. It answers any request with
//! JSON of what it saw; a path that ends in `/sse` streams events, in `/ws` echoes a web socket, in `/slow` answers late, in
//! `/completions` answers as a model API, in `/cacheable` lets shared caches keep the answer, in `/lax` lets every page read it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};

/// The `Cache-Control` of an application whose answer is the same for every user.
const CACHEABLE: &str = "cache-control: public, max-age=86400\r\nexpires: Thu, 01 Jan 2099 00:00:00 GMT\r\n\
    cdn-cache-control: max-age=86400\r\nsurrogate-control: max-age=86400\r\nx-accel-expires: 86400\r\n\
    vary: accept-encoding\r\netag: \"1\"\r\n";

/// The fields of an application that lets every page read its answers.
const LAX: &str = "access-control-allow-origin: *\r\naccess-control-allow-methods: *\r\naccess-control-allow-credentials: true\r\n\
    access-control-allow-private-network: true\r\n";

/// One request as it came over the wire.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The head's exact bytes, up to and with the empty line.
    pub head: Vec<u8>,
    /// The body, its framing removed.
    pub body: Vec<u8>,
    /// The lines of the trailer section.
    pub trailers: Vec<String>,
}

impl Recorded {
    /// The request line's method.
    pub fn method(&self) -> String {
        self.word(0)
    }

    /// The request line's target.
    pub fn target(&self) -> String {
        self.word(1)
    }

    /// Every value of a header field, in order.
    pub fn values(&self, name: &str) -> Vec<String> {
        self.fields()
            .into_iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    /// The one value of a header field; `None` when absent or repeated.
    pub fn value(&self, name: &str) -> Option<String> {
        match self.values(name).as_slice() {
            [value] => Some(value.clone()),
            _ => None,
        }
    }

    /// Every header field, in order.
    pub fn fields(&self) -> Vec<(String, String)> {
        let head = String::from_utf8_lossy(&self.head);
        head.split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect()
    }

    fn word(&self, index: usize) -> String {
        let head = String::from_utf8_lossy(&self.head);
        let line = head.split("\r\n").next().unwrap_or_default();
        line.split(' ').nth(index).unwrap_or_default().to_owned()
    }

    fn describe(&self) -> Value {
        json!({
            "method": self.method(),
            "target": self.target(),
            "headers": self.fields(),
            "body": String::from_utf8_lossy(&self.body),
        })
    }
}

/// The recording upstream; stops when dropped.
#[derive(Debug)]
pub struct Echo {
    address: SocketAddr,
    record: Record,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Echo {
    /// Listens on a free port.
    pub async fn start() -> Result<Self> {
        Self::start_on("127.0.0.1:0".parse()?).await
    }

    /// Listens on `address`: an upstream that comes back after it was away.
    pub async fn start_on(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let record = Record::default();
        let connections = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(accept(listener, record.clone(), Arc::clone(&connections)));
        Ok(Self { address, record, connections, task })
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests received so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.record.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Forgets the requests so far, in scenarios that send many.
    pub fn forget(&self) {
        self.record.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The last request whose target starts with `prefix`.
    pub fn last(&self, prefix: &str) -> Result<Recorded> {
        self.requests()
            .into_iter()
            .rfind(|request| request.target().starts_with(prefix))
            .with_context(|| format!("no request for {prefix} reached the upstream"))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, Clone, Default)]
struct Record(Arc<Mutex<Vec<Recorded>>>);

impl Record {
    fn add(&self, request: Recorded) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    }
}

async fn accept(listener: TcpListener, record: Record, count: Arc<AtomicUsize>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        count.fetch_add(1, Ordering::Relaxed);
        let record = record.clone();
        // The gateway reports a connection that breaks.
        connections.spawn(async move { serve(stream, record).await.ok() });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: TcpStream, record: Record) -> Result<()> {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await? {
        record.add(request.clone());
        let target = request.target();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        if path.ends_with("/ws") && request.value("sec-websocket-key").is_some() {
            return web_socket(stream, &request).await;
        } else if path.ends_with("/sse") {
            events(&mut stream, query).await?;
        } else if path.ends_with("/completions") {
            crate::model_api::answer(&mut stream, &request, query).await?;
        } else {
            if path.ends_with("/slow") {
                sleep(Duration::from_millis(number(query, "ms", 1000))).await;
            }
            let body = request.describe().to_string();
            let more = match path.rsplit('/').next() {
                Some("cacheable") => CACHEABLE,
                Some("lax") => LAX,
                _ => "",
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{more}content-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(format!("{head}{body}").as_bytes()).await?;
        }
    }
    Ok(())
}

/// `?n=60&ms=1000`: 60 events at intervals of 1000 ms, each in its own chunk.
async fn events(stream: &mut TcpStream, query: &str) -> Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
                transfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    for index in 0..number(query, "n", 5) {
        if index > 0 {
            sleep(Duration::from_millis(number(query, "ms", 100))).await;
        }
        let event = format!("id: {index}\ndata: event {index}\n\n");
        stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
    }
    stream.write_all(b"0\r\n\r\n").await?;
    Ok(())
}

async fn web_socket(mut stream: TcpStream, request: &Recorded) -> Result<()> {
    let key = request.value("sec-websocket-key").context("no Sec-WebSocket-Key")?;
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    stream.write_all(head.as_bytes()).await?;
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

/// Reads one request; `None` at a clean end of the connection.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Option<Recorded>> {
    let end = loop {
        if let Some(at) = find(buffer, b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head: Vec<u8> = buffer.drain(..end).collect();
    let mut request = Recorded { head, body: Vec::new(), trailers: Vec::new() };
    if request.value("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    if request.value("transfer-encoding").is_some() {
        loop {
            let line = read_line(stream, buffer).await?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16)?;
            if size == 0 {
                loop {
                    match read_line(stream, buffer).await? {
                        line if line.is_empty() => break,
                        line => request.trailers.push(line),
                    }
                }
                break;
            }
            let chunk = read_exactly(stream, buffer, size + 2).await?;
            request.body.extend_from_slice(chunk.get(..size).unwrap_or_default());
        }
    } else if let Some(length) = request.value("content-length") {
        request.body = read_exactly(stream, buffer, length.parse()?).await?;
    }
    Ok(Some(request))
}

async fn read_line(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<String> {
    let end = loop {
        if let Some(at) = find(buffer, b"\r\n") {
            break at;
        }
        anyhow::ensure!(stream.read_buf(buffer).await? > 0, "the request breaks off");
    };
    let line: Vec<u8> = buffer.drain(..end + 2).take(end).collect();
    Ok(String::from_utf8(line)?)
}

async fn read_exactly(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    length: usize,
) -> Result<Vec<u8>> {
    while buffer.len() < length {
        anyhow::ensure!(stream.read_buf(buffer).await? > 0, "the request breaks off");
    }
    Ok(buffer.drain(..length).collect())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

pub(crate) fn number(query: &str, name: &str, default: u64) -> u64 {
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(default)
}
