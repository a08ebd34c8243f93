//! Identities of spans ([W3C Trace Context §3.2](https://www.w3.org/TR/trace-context/#traceparent-header)).

use http::HeaderValue;
use http_canonical::TraceParent;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// One span of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    /// Whether the trace is recorded.
    pub(super) sampled: bool,
}

impl Context {
    /// The first span of a new trace.
    pub(super) fn root(sampled: bool) -> Self {
        // All-zero ids are invalid; the set bit prevents them.
        let trace = TraceId::from(rand::random::<u128>() | 1);
        Self { trace, span: random_span(), sampled }
    }

    /// The caller's span.
    pub(super) fn of(given: &TraceParent) -> Option<Self> {
        let mut fields = given.as_str().split('-').skip(1);
        let trace = TraceId::from_hex(fields.next()?).ok()?;
        let span = SpanId::from_hex(fields.next()?).ok()?;
        let flags = u8::from_str_radix(fields.next()?, 16).ok()?;
        Some(Self { trace, span, sampled: TraceFlags::new(flags).is_sampled() })
    }

    /// A new span of the same trace.
    pub(super) fn child(&self, sampled: bool) -> Self {
        Self { trace: self.trace, span: random_span(), sampled }
    }

    /// As the value of `traceparent`.
    pub(super) fn header_value(&self) -> HeaderValue {
        let Self { trace, span, sampled } = self;
        let text = format!("00-{trace}-{span}-0{}", u8::from(*sampled));
        // Hexadecimal text is always valid.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }

    /// As the exporter takes it.
    pub(super) fn exported(&self) -> SpanContext {
        let flags = TraceFlags::default().with_sampled(self.sampled);
        SpanContext::new(self.trace, self.span, flags, false, TraceState::default())
    }
}

fn random_span() -> SpanId {
    SpanId::from(rand::random::<u64>() | 1)
}
