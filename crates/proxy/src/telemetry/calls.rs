//! Calls to a provider as spans.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_canonical::request_id::TRACEPARENT;
use oidc_core::http::{Http, HttpError};

use super::{Call, Telemetry, active};

/// Records each request to a provider as a call, and names the call to the provider. Its path is in the span: a provider has
/// few. Keys that are fetched ahead, for no request in particular, are traces of their own.
#[derive(Debug)]
pub(crate) struct TracedHttp {
    inner: Arc<dyn Http>,
    telemetry: Telemetry,
    issuer: Arc<str>,
}

impl TracedHttp {
    /// Records the calls to this issuer.
    pub(crate) fn new(inner: Arc<dyn Http>, telemetry: Telemetry, issuer: &str) -> Self {
        Self { inner, telemetry, issuer: issuer.into() }
    }

    fn call(&self, request: &Request<Bytes>) -> Option<Call> {
        let mut call = match active() {
            Some(active) => active.call(),
            None => self.telemetry.call_alone(),
        }?;
        let uri = request.uri();
        call.http(request.method(), Some(uri.path()));
        call.server(uri);
        call.span().set("doorward.issuer", Arc::clone(&self.issuer));
        Some(call)
    }
}

impl Call {
    /// Adds the address of the called server, without user, password and query.
    fn server(&mut self, uri: &Uri) {
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return };
        let (port, path) = (uri.port_u16(), uri.path());
        let place = match port {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let span = self.span();
        span.set("url.full", format!("{scheme}://{place}{path}"));
        span.set("server.address", host.to_owned());
        let default = if scheme == "http" { 80 } else { 443 };
        span.set("server.port", i64::from(port.unwrap_or(default)));
    }
}

// === impl Http ===

#[async_trait]
impl Http for TracedHttp {
    async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let Some(mut call) = self.call(&request) else { return self.inner.send(request).await };
        request.headers_mut().insert(TRACEPARENT, call.traceparent());
        let answer = self.inner.send(request).await;
        match &answer {
            Ok(answer) => call.span().status(answer.status()),
            Err(error) => call.span().failed(error.code()),
        }
        answer
    }
}
