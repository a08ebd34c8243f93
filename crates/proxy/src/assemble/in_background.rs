//! Requests to providers, made in the background.
//!
//! A handshake with a provider takes longer than many requests of clients, and its connections serve every worker.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use oidc_core::http::{Http, HttpError};
use tokio_util::task::AbortOnDropHandle;

use crate::workers;

/// Sends requests in the background. Dropping the caller's future ends a request.
#[derive(Debug)]
pub(super) struct InBackground(pub(super) Arc<dyn Http>);

#[async_trait]
impl Http for InBackground {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        if !workers::on_worker() {
            return self.0.send(request).await;
        }
        let (http, uri) = (Arc::clone(&self.0), request.uri().clone());
        let task = async move { http.send(request).await };
        let sent = AbortOnDropHandle::new(workers::in_background(task)).await;
        sent.unwrap_or_else(|ended| {
            let host = uri.authority().map(ToString::to_string).unwrap_or_default();
            let reason = "the gateway stops".to_owned();
            Err(HttpError::Exchange { host, reason, source: Some(Arc::new(ended)) })
        })
    }
}
