//! One span: a request that is answered, or a call that is made for it.

use std::{borrow::Cow, fmt, time::SystemTime};

use http::{HeaderValue, Method, StatusCode};
use opentelemetry::{
    InstrumentationScope, KeyValue, Value,
    trace::{SpanId, SpanKind, Status, TraceId},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::{Telemetry, context::Context};

/// Longest path in a span, in characters; a path may have the size of a request's head.
const LONGEST_PATH: usize = 1024;

/// An open span. It ends when it is dropped.
pub(crate) struct Span(Box<Open>);

struct Open {
    telemetry: Telemetry,
    kind: SpanKind,
    context: Context,
    /// The parent, and whether it is a span of another server.
    parent: Option<(SpanId, bool)>,
    name: Cow<'static, str>,
    begun: SystemTime,
    attributes: Vec<KeyValue>,
    status: Status,
}

/// A call to another server, as a span of kind client.
pub(crate) struct Call {
    span: Span,
    context: Context,
}

impl Span {
    pub(super) fn begin(
        telemetry: &Telemetry,
        kind: SpanKind,
        context: Context,
        parent: Option<(SpanId, bool)>,
    ) -> Self {
        Self(Box::new(Open {
            telemetry: telemetry.clone(),
            kind,
            context,
            parent,
            name: Cow::Borrowed(""),
            begun: now(),
            attributes: Vec::with_capacity(8),
            status: Status::Unset,
        }))
    }

    /// The trace, for the log.
    pub(crate) fn trace(&self) -> TraceId {
        self.0.context.trace
    }

    /// Names the span; a name has few values, so never a path that a client chose.
    pub(crate) fn name(&mut self, name: impl Into<Cow<'static, str>>) {
        self.0.name = name.into();
    }

    /// Adds an attribute.
    pub(crate) fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.attributes.push(KeyValue::new(key, value));
    }

    /// Adds the path of a URL, without its query.
    pub(crate) fn path(&mut self, path: &str) {
        self.set("url.path", bounded(path));
    }

    /// Adds a status, and its class as the kind of error where it is one to this side.
    pub(crate) fn status(&mut self, status: StatusCode) {
        self.set("http.response.status_code", i64::from(status.as_u16()));
        let ours = match self.0.kind {
            SpanKind::Client => status.is_client_error() || status.is_server_error(),
            _ => status.is_server_error(),
        };
        if ours {
            self.failed(status.as_str().to_owned());
        }
    }

    /// Adds the sizes of the bodies.
    pub(crate) fn bytes(&mut self, request: u64, response: u64) {
        let count = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.set("http.request.body.size", count(request));
        self.set("http.response.body.size", count(response));
    }

    /// Marks a failure by its kind: a word of the code, or a status.
    pub(crate) fn failed(&mut self, kind: impl Into<Cow<'static, str>>) {
        if !matches!(self.0.status, Status::Error { .. }) {
            self.set("error.type", kind.into().into_owned());
            self.0.status = Status::error("");
        }
    }
}

impl Call {
    pub(super) fn begin(telemetry: &Telemetry, context: Context, parent: Option<SpanId>) -> Self {
        let parent = parent.map(|parent| (parent, false));
        Self { span: Span::begin(telemetry, SpanKind::Client, context, parent), context }
    }

    /// The span.
    pub(crate) fn span(&mut self) -> &mut Span {
        &mut self.span
    }

    /// Describes a call by HTTP. The name has the path of the server only where that is one of few.
    pub(crate) fn http(&mut self, method: &Method, few: Option<&str>) {
        let method = known(method);
        self.span.name(match few {
            Some(path) => Cow::Owned(format!("{method} {path}")),
            None => Cow::Borrowed(method),
        });
        self.span.set("http.request.method", method);
    }

    /// Value of `traceparent` for the called server.
    pub(crate) fn traceparent(&self) -> HeaderValue {
        self.context.header_value()
    }
}

/// The beginning of a text that a client chose.
pub(crate) fn bounded(text: &str) -> String {
    text.chars().take(LONGEST_PATH).collect()
}

/// The method, if it is one of the standard; the conventions forbid others, whose number has no bound.
pub(crate) fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|known| method == known).unwrap_or("_OTHER")
}

#[expect(clippy::disallowed_methods, reason = "a span's times are measured and decide nothing")]
fn now() -> SystemTime {
    SystemTime::now()
}

// === impl Span ===

impl Drop for Open {
    fn drop(&mut self) {
        let (parent, remote) = self.parent.unwrap_or((SpanId::INVALID, false));
        self.telemetry.0.queue.push(SpanData {
            span_context: self.context.exported(),
            parent_span_id: parent,
            parent_span_is_remote: remote,
            span_kind: self.kind.clone(),
            name: std::mem::take(&mut self.name),
            start_time: self.begun,
            // A clock that was set back must not make a span end before it began.
            end_time: now().max(self.begun),
            attributes: std::mem::take(&mut self.attributes),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: std::mem::take(&mut self.status),
            instrumentation_scope: InstrumentationScope::builder("doorward")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        });
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Span").field(&self.0.name).finish()
    }
}
