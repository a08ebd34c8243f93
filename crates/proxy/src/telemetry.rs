//! Traces for an OpenTelemetry collector: a span for each request, and one for each call that it causes.
//!
//! Spans hold the attributes that are written here and in the audit record, and nothing of the log: no user, no header, no
//! cookie, no query. Their names follow the semantic conventions for HTTP, their identities [W3C Trace Context]. Without
//! `telemetry.otlp` nothing here runs. A request never waits for the collector: spans go into a bounded queue, and those that
//! do not fit are counted.
//!
//! [W3C Trace Context]: https://www.w3.org/TR/trace-context/

mod calls;
mod context;
mod export;
mod span;
mod store;

pub use self::export::StartError;
pub(crate) use self::{
    calls::TracedHttp,
    span::{Call, Span, bounded, known},
    store::TracedStore,
};

use std::{fmt, future::Future, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use http::{HeaderValue, Version};
use http_canonical::TraceParent;
use opentelemetry::trace::SpanKind;
use rand::RngExt as _;

use self::{
    context::Context,
    export::{Exporter, Queue},
};
use crate::config::{Share, TelemetryConfig};

tokio::task_local! {
    static ACTIVE: Active;
}

/// Records spans and sends them to the collector. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry(Arc<Recorder>);

struct Recorder {
    sample: Share,
    queue: Queue,
    exporter: Exporter,
}

/// The trace that a task works for.
#[derive(Clone)]
pub(crate) struct Active {
    telemetry: Telemetry,
    context: Context,
}

impl Telemetry {
    /// Starts to send spans as configured; `None` without a collector. Needs a Tokio runtime.
    ///
    /// # Errors
    ///
    /// The way to the collector cannot be set up.
    pub fn start(config: &TelemetryConfig) -> Result<Option<Self>, StartError> {
        let Some(collector) = &config.otlp else { return Ok(None) };
        let (queue, exporter) = export::start(collector, config)?;
        Ok(Some(Self(Arc::new(Recorder { sample: config.sample, queue, exporter }))))
    }

    /// Sends the remaining spans, within this time. Spans that end later are counted as dropped.
    pub async fn stop(&self, within: Duration) {
        self.0.exporter.stop(within).await;
    }

    /// Begins the trace of a request, or continues the client's. A trusted proxy has decided whether it is recorded; other
    /// clients could cause cost by their flag, so that for them the configured share decides.
    pub(crate) fn request(
        &self,
        given: Option<&TraceParent>,
        trusted: bool,
        version: Version,
    ) -> (Active, Option<Span>) {
        let parent = given.and_then(Context::of);
        let context = match parent {
            Some(parent) if trusted => parent.child(parent.sampled),
            Some(parent) => parent.child(self.samples()),
            None => Context::root(self.samples()),
        };
        let active = Active { telemetry: self.clone(), context };
        let span = context.sampled.then(|| {
            let parent = parent.map(|parent| (parent.span, true));
            let mut span = Span::begin(self, SpanKind::Server, context, parent);
            let version = if version == Version::HTTP_2 { "2" } else { "1.1" };
            span.set("network.protocol.version", version);
            span
        });
        (active, span)
    }

    /// A call that no request waits for.
    pub(crate) fn call_alone(&self) -> Option<Call> {
        self.samples().then(|| Call::begin(self, Context::root(true), None))
    }

    fn samples(&self) -> bool {
        let share = self.0.sample.as_f64();
        share >= 1.0 || rand::rng().random::<f64>() < share
    }
}

/// The trace that this task works for.
pub(crate) fn active() -> Option<Active> {
    ACTIVE.try_with(Active::clone).ok()
}

/// Work of a task of its own for the trace that this task works for.
pub(crate) fn carry(work: BoxFuture<'static, ()>) -> BoxFuture<'static, ()> {
    match active() {
        Some(active) => Box::pin(active.scope(work)),
        None => work,
    }
}

impl Active {
    /// Runs a future as work for this trace.
    pub(crate) fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        ACTIVE.scope(self, work)
    }

    /// Begins a call to another server; `None` when the trace is not recorded.
    pub(crate) fn call(&self) -> Option<Call> {
        let Self { telemetry, context } = self;
        context.sampled.then(|| Call::begin(telemetry, context.child(true), Some(context.span)))
    }

    /// `traceparent` for a server that is called without a span.
    pub(crate) fn traceparent(&self) -> HeaderValue {
        self.context.header_value()
    }
}

// === impl Debug ===

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("sample", &self.0.sample).finish_non_exhaustive()
    }
}
