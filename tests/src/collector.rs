//! A collector that records the spans it receives by OTLP over HTTP, so that a scenario can assert which were sent.
//!
//! Uses plain sockets, and the message types that OpenTelemetry publishes.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::wait;

/// The recording collector; stops when dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    exports: Mutex<Vec<Export>>,
    status: AtomicU16,
}

/// One request as it came over the wire.
#[derive(Debug, Clone)]
pub struct Export {
    /// The head, up to the empty line.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

/// One span.
#[derive(Debug, Clone)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// `server`, `client` or another kind's number.
    pub kind: String,
    /// Its trace, in hexadecimal.
    pub trace: String,
    /// Its id, in hexadecimal.
    pub id: String,
    /// The id of its parent; empty for none.
    pub parent: String,
    /// Its duration.
    pub took: Duration,
    /// Whether its status is an error.
    pub failed: bool,
    /// Its attributes as text, with those of the resource.
    pub attributes: Vec<(String, String)>,
}

impl Span {
    /// One attribute as text.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

impl Collector {
    /// Listens on a free port.
    pub async fn start() -> Result<Self> {
        Self::start_on("127.0.0.1:0".parse()?).await
    }

    /// Listens on `address`: a collector that comes back after it was away.
    pub async fn start_on(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { exports: Mutex::default(), status: AtomicU16::new(200) });
        let accepting = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&accepting)));
            }
        });
        Ok(Self { address, shared, task })
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers with this status from now on. Spans of another answer than 200 count as not received.
    pub fn answer_with(&self, status: u16) {
        self.shared.status.store(status, Ordering::SeqCst);
    }

    /// Requests received so far, whatever their answer.
    pub fn exports(&self) -> Vec<Export> {
        self.shared.exports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All spans received so far.
    pub fn spans(&self) -> Result<Vec<Span>> {
        let mut spans = Vec::new();
        for export in self.exports() {
            spans.extend(read(&export.body)?);
        }
        Ok(spans)
    }

    /// The spans, once one of them is as wanted.
    pub async fn spans_with(&self, wanted: impl Fn(&Span) -> bool) -> Result<Vec<Span>> {
        wait::until("the collector has the span", Duration::from_secs(20), async || {
            let spans = self.spans()?;
            ensure!(spans.iter().any(&wanted), "not among {spans:#?}");
            Ok(Some(spans))
        })
        .await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut bytes = Vec::new();
    loop {
        let Some(head) = read_until_empty_line(&mut stream, &mut bytes).await else { return };
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse::<usize>().ok())
            .unwrap_or_default();
        while bytes.len() < length {
            match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let body: Vec<u8> = bytes.drain(..length).collect();
        let status = shared.status.load(Ordering::SeqCst);
        if status == 200 {
            let mut exports = shared.exports.lock().unwrap_or_else(PoisonError::into_inner);
            exports.push(Export { head, body });
        }
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read_until_empty_line(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head: Vec<u8> = bytes.drain(..end + 4).collect();
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
        match stream.read_buf(bytes).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

fn read(body: &[u8]) -> Result<Vec<Span>> {
    let export = ExportTraceServiceRequest::decode(body).context("not an export of traces")?;
    let mut spans = Vec::new();
    for resource in export.resource_spans {
        let of_resource = resource.resource.map(|resource| resource.attributes).unwrap_or_default();
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let times = span.end_time_unix_nano.checked_sub(span.start_time_unix_nano);
            let took = times.context("a span ends before it begins")?;
            spans.push(Span {
                name: span.name,
                kind: match span.kind {
                    2 => "server".to_owned(),
                    3 => "client".to_owned(),
                    other => other.to_string(),
                },
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                took: Duration::from_nanos(took),
                failed: span.status.is_some_and(|status| status.code == 2),
                attributes: span.attributes.iter().chain(&of_resource).map(attribute).collect(),
            });
        }
    }
    Ok(spans)
}

fn attribute(pair: &KeyValue) -> (String, String) {
    let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
    let text = match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    };
    (pair.key.clone(), text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
