//! The call of an upstream as a span of the request's trace. It ends at the head of the response.

use http::{HeaderValue, Method, uri::PathAndQuery};
use http_canonical::TraceParent;

use super::Begun;
use crate::{
    config::UpstreamAddress,
    refusal::Refusal,
    route::Route,
    telemetry::{self, Call},
};

/// Begins the call where the trace is recorded. The second value is the upstream's `traceparent`: this span, else the client's.
pub(super) fn begin(
    given: Option<&TraceParent>,
    route: &Route,
    method: &Method,
) -> (Option<Call>, Option<HeaderValue>) {
    let Some(active) = telemetry::active() else {
        return (None, given.map(TraceParent::header_value));
    };
    let Some(mut call) = active.call() else { return (None, Some(active.traceparent())) };
    call.http(method, Some(route.prefix.as_str()));
    call.span().set("doorward.route", route.name.clone());
    let traceparent = call.traceparent();
    (Some(call), Some(traceparent))
}

/// Ends the call.
#[cold]
pub(super) fn end(mut call: Call, sent: &PathAndQuery, begun: &Result<Begun, Refusal>) {
    let span = call.span();
    match begun {
        Ok(begun) => {
            let target = begun.in_flight.target();
            span.status(begun.response.status());
            span.set("url.full", telemetry::bounded(&format!("{}{}", target.name(), sent.path())));
            match target.address() {
                UpstreamAddress::Tcp { host, port } => {
                    span.set("server.address", host.clone());
                    span.set("server.port", i64::from(*port));
                }
                UpstreamAddress::Unix(path) => {
                    span.set("server.address", path.display().to_string());
                }
            }
        }
        Err(refusal) => span.failed(refusal.code()),
    }
}
