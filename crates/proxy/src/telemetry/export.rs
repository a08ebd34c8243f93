//! Sends spans to the collector: OTLP over HTTP, protobuf, over the one HTTP client of this program.
//!
//! A bounded queue decouples requests from the collector. Spans that a collector does not take for a moment are sent again with
//! growing pauses while the queue fills; those that do not fit, and those that it refuses, are counted. A collector that is down
//! costs one line of the log a minute.

use std::{
    error::Error,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use metrics::Counter;
use oidc_core::http::{
    Http,
    reqwest::{HttpOptions, HttpSetupError, ReqwestHttp},
};
use opentelemetry::{Key, Value};
use opentelemetry_http::HttpClient;
use opentelemetry_otlp::{
    Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    config::{SecretRef, TelemetryConfig},
    metric,
};

/// Spans that wait, at most; later ones are dropped.
const WAITING: usize = 4096;

/// Spans in one request to the collector, at most.
const BATCH: usize = 512;

/// Time for which spans are gathered.
const GATHER: Duration = Duration::from_secs(1);

/// First and longest pause after an export that failed for the moment.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Time limit of one export.
const EXPORT: Duration = Duration::from_secs(10);

/// Interval of log lines about a collector that takes no spans.
const REMINDER: Duration = Duration::from_secs(60);

/// Name of this service, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` says another.
const SERVICE: &str = "doorward";

/// The way to the collector cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its certificates cannot be used.
    #[error("telemetry.ca_file: {0}")]
    Tls(#[source] HttpSetupError),
    /// A standard variable of the environment, such as `OTEL_EXPORTER_OTLP_COMPRESSION`, asks for what this program does not
    /// have.
    #[error("telemetry.otlp: {0}; check the variables OTEL_EXPORTER_OTLP_*")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
    /// There is no runtime.
    #[error("telemetry.otlp: {0}")]
    Runtime(#[source] tokio::runtime::TryCurrentError),
}

/// Takes spans; never waits.
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    dropped: Counter,
}

impl Queue {
    pub(super) fn push(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.dropped.increment(1);
        }
    }
}

/// The task that sends spans.
pub(super) struct Exporter {
    ending: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Exporter {
    /// Sends what waits, within a time.
    pub(super) async fn stop(&self, within: Duration) {
        self.ending.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut task) = task else { return };
        if timeout(within, &mut task).await.is_err() {
            task.abort();
            tracing::warn!("the collector did not take the last spans in time; they are lost");
        }
    }
}

/// Starts the task.
pub(super) fn start(
    collector: &Url,
    config: &TelemetryConfig,
) -> Result<(Queue, Exporter), StartError> {
    let runtime = tokio::runtime::Handle::try_current().map_err(StartError::Runtime)?;
    let way = Way::new(config.ca_file.as_deref(), &config.headers)?;
    let failure = Arc::clone(&way.failure);
    let mut otlp = SpanExporter::builder()
        .with_http()
        .with_http_client(way)
        .with_endpoint(signal(collector))
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(EXPORT)
        // The exporter's own retries block the thread while they pause.
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .map_err(StartError::Exporter)?;
    otlp.set_resource(&resource());
    let (spans, waiting) = mpsc::channel(WAITING);
    let ending = CancellationToken::new();
    let sending = Sending {
        waiting,
        otlp,
        failure,
        ending: ending.clone(),
        counters: Counters::new(),
        reminded: None,
    };
    let dropped = metric::spans("dropped");
    let task = Mutex::new(Some(runtime.spawn(sending.run())));
    Ok((Queue { spans, dropped }, Exporter { ending, task }))
}

/// Address of the traces below the collector's.
fn signal(collector: &Url) -> String {
    let mut url = collector.clone();
    url.set_path(&format!("{}/v1/traces", collector.path().trim_end_matches('/')));
    url.into()
}

/// This service, with what the standard variables of the environment say about it.
fn resource() -> Resource {
    let detected = Resource::builder().build();
    let named = detected.get(&Key::from_static_str("service.name")).is_some_and(
        |name| !matches!(&name, Value::String(name) if name.as_str().starts_with("unknown_service")),
    );
    let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let builder = Resource::builder().with_attribute(version);
    if named { builder.build() } else { builder.with_service_name(SERVICE).build() }
}

struct Counters {
    exported: Counter,
    refused: Counter,
    dropped: Counter,
}

impl Counters {
    fn new() -> Self {
        Self {
            exported: metric::spans("exported"),
            refused: metric::spans("refused"),
            dropped: metric::spans("dropped"),
        }
    }
}

/// The reason the last export failed, and whether a later one may succeed.
#[derive(Debug, Clone)]
struct Failure {
    reason: String,
    temporary: bool,
}

struct Sending {
    waiting: mpsc::Receiver<SpanData>,
    otlp: SpanExporter,
    failure: Arc<Mutex<Option<Failure>>>,
    ending: CancellationToken,
    counters: Counters,
    reminded: Option<Instant>,
}

impl Sending {
    async fn run(mut self) {
        let ending = self.ending.clone();
        let mut batch = Vec::with_capacity(BATCH);
        while self.gather(&mut batch).await {
            let mut pause = PAUSE.0;
            while let Some(unsent) = self.export(std::mem::take(&mut batch)).await {
                if ending.is_cancelled() {
                    self.counters.dropped.increment(unsent.len() as u64);
                    break;
                }
                batch = unsent;
                tokio::select! {
                    () = sleep(pause) => {}
                    () = ending.cancelled() => {}
                }
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }

    /// Takes the spans of a moment; `false` when there will be no more.
    async fn gather(&mut self, batch: &mut Vec<SpanData>) -> bool {
        batch.clear();
        let until = tokio::select! {
            biased;
            taken = self.waiting.recv_many(batch, BATCH) => match taken {
                0 => return false,
                _ => Instant::now() + GATHER,
            },
            () = self.ending.cancelled() => return false,
        };
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            let more = async {
                tokio::select! {
                    biased;
                    taken = self.waiting.recv_many(batch, room) => taken,
                    () = self.ending.cancelled() => 0,
                }
            };
            match tokio::time::timeout_at(until, more).await {
                Ok(0) | Err(_) => return true,
                Ok(_) => {}
            }
        }
        true
    }

    /// Sends a batch; returns it when a later attempt may succeed.
    async fn export(&mut self, batch: Vec<SpanData>) -> Option<Vec<SpanData>> {
        let count = batch.len() as u64;
        self.failed_with(None);
        let Err(error) = self.otlp.export(batch.clone()).await else {
            self.counters.exported.increment(count);
            self.reminded = None;
            return None;
        };
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        let failure =
            failure.unwrap_or_else(|| Failure { reason: error.to_string(), temporary: false });
        self.remind(&failure);
        if failure.temporary {
            return Some(batch);
        }
        self.counters.refused.increment(count);
        None
    }

    fn failed_with(&self, failure: Option<Failure>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    fn remind(&mut self, failure: &Failure) {
        let now = Instant::now();
        if self.reminded.is_some_and(|reminded| now - reminded < REMINDER) {
            return;
        }
        self.reminded = Some(now);
        let reason = failure.reason.as_str();
        if failure.temporary {
            tracing::warn!(
                reason,
                "the collector takes no spans; they wait, and are dropped when too many do"
            );
        } else {
            tracing::warn!(reason, "the collector refuses spans; they are dropped");
        }
    }
}

/// The way to the collector, with the configured header fields.
#[derive(Debug)]
struct Way {
    http: ReqwestHttp,
    headers: Arc<[(HeaderName, SecretRef)]>,
    failure: Arc<Mutex<Option<Failure>>>,
}

impl Way {
    fn new<'h>(
        ca_file: Option<&Path>,
        headers: impl IntoIterator<Item = (&'h String, &'h SecretRef)>,
    ) -> Result<Self, StartError> {
        let mut options = HttpOptions::default().with_timeout(EXPORT);
        if let Some(ca_file) = ca_file {
            options = options.with_ca_file(ca_file);
        }
        // Invalid names are problems of the configuration.
        let headers = headers.into_iter().filter_map(|(name, secret)| {
            Some((HeaderName::try_from(name.as_str()).ok()?, secret.clone()))
        });
        Ok(Self {
            http: ReqwestHttp::new(options).map_err(StartError::Tls)?,
            headers: headers.collect(),
            failure: Arc::default(),
        })
    }

    /// Reads the fields, which may have changed.
    async fn fields(&self) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        if self.headers.is_empty() {
            return Ok(Vec::new());
        }
        let headers = Arc::clone(&self.headers);
        let read = tokio::task::spawn_blocking(move || headers.iter().map(field).collect());
        read.await.map_err(|error| error.to_string())?
    }

    async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, Failure> {
        let temporary = |reason| Failure { reason, temporary: true };
        request.headers_mut().extend(self.fields().await.map_err(temporary)?);
        let answer = self.http.send(request).await;
        let answer = answer.map_err(|error| temporary(error.to_string()))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        Err(Failure { reason: format!("status {status}"), temporary: may_pass(status) })
    }
}

fn field((name, secret): &(HeaderName, SecretRef)) -> Result<(HeaderName, HeaderValue), String> {
    let value = secret.read().map_err(|error| error.to_string())?;
    let mut value = HeaderValue::from_str(value.expose())
        .map_err(|_| format!("{secret} holds characters that no header has"))?;
    value.set_sensitive(true);
    Ok((name.clone(), value))
}

/// Whether an export may be sent again after this status (OTLP specification, failures of OTLP/HTTP).
fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

// === impl HttpClient ===

#[async_trait]
impl HttpClient for Way {
    async fn send_bytes(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Box<dyn Error + Send + Sync>> {
        let answer = self.send(request).await;
        answer.map_err(|failure| {
            let error = failure.reason.clone();
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
            error.into()
        })
    }
}
