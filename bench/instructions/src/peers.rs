//! The other ends of the gateway's connections: an upstream and a client, in threads of their own.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
};

use tokio::sync::oneshot;

/// Bytes of the upstream's response.
const BODY: usize = 256;

/// Starts an upstream that answers every head with the same response.
pub(crate) fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    let response = format!(
        "HTTP/1.1 200 OK\r\n\
         Date: Mon, 30 Nov 2026 12:00:00 GMT\r\n\
         Server: uvicorn\r\n\
         Content-Type: application/json\r\n\
         Cache-Control: no-cache\r\n\
         Content-Length: {BODY}\r\n\r\n{}",
        "x".repeat(BODY)
    );
    while head(&mut stream).is_some() {
        stream.write_all(response.as_bytes()).unwrap();
    }
}

/// Reads up to the end of a head; `None` when the other end closes.
fn head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    let mut piece = [0; 16 * 1024];
    while !read.ends_with(b"\r\n\r\n") {
        let length = stream.read(&mut piece).unwrap_or(0);
        if length == 0 {
            return None;
        }
        read.extend_from_slice(piece.get(..length).unwrap());
    }
    Some(read)
}

/// A client that sends one request after another on one connection.
pub(crate) struct Client {
    orders: mpsc::Sender<Order>,
}

struct Order {
    heads: Vec<String>,
    done: oneshot::Sender<()>,
}

impl Client {
    /// Connects to the gateway.
    pub(crate) fn new(gateway: SocketAddr) -> Self {
        let (orders, ordered) = mpsc::channel::<Order>();
        thread::spawn(move || {
            let mut stream = TcpStream::connect(gateway).unwrap();
            for Order { heads, done } in ordered {
                for head in heads {
                    stream.write_all(head.as_bytes()).unwrap();
                    receive(&mut stream);
                }
                let _ = done.send(());
            }
        });
        Self { orders }
    }

    /// Sends these requests. The future ends after the last response.
    pub(crate) fn send(&self, heads: Vec<String>) -> impl Future<Output = ()> + use<> {
        let (done, over) = oneshot::channel();
        self.orders.send(Order { heads, done }).unwrap();
        async move { over.await.unwrap() }
    }
}

/// Reads one response, which must be the upstream's.
fn receive(stream: &mut TcpStream) {
    let mut read = Vec::new();
    let mut piece = [0; 16 * 1024];
    let ended = |read: &[u8]| {
        let head = read.windows(4).position(|end| end == b"\r\n\r\n");
        head.is_some_and(|head| read.len() >= head + 4 + BODY)
    };
    while !ended(&read) {
        let length = stream.read(&mut piece).unwrap();
        assert!(length > 0, "the gateway closed after {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(piece.get(..length).unwrap());
        let text = String::from_utf8_lossy(&read);
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    }
}
