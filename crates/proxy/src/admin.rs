//! The admin listener: health, readiness, metrics, sessions. Never on the public listener.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Deserialize;
use serde_json::json;

use crate::{
    gateway::Serving,
    listen::Drain,
    observe::{self, log::Log},
    session::{SessionId, Sessions, StoreError, Which},
};

/// The most sessions one answer lists.
const LISTED: usize = 1000;

/// What the admin listener speaks about.
#[derive(Debug, Clone)]
pub struct Admin {
    /// The application of now.
    pub serving: Serving,
    /// The sessions.
    pub sessions: Arc<Sessions>,
    /// Whether the gateway is shutting down.
    pub drain: Drain,
    /// The metrics.
    pub metrics: PrometheusHandle,
    /// The log, for what it dropped.
    pub log: Arc<Log>,
}

impl Admin {
    /// Serves until the process ends.
    ///
    /// # Errors
    ///
    /// The address cannot be bound.
    pub async fn bind(
        self,
        addr: SocketAddr,
    ) -> std::io::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
        let listener = tokio::net::TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let router = Router::new()
            .route("/healthz", get(async || "alive\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .route("/sessions", get(sessions).delete(end_sessions_of))
            .route("/sessions/{id}", delete(end_session))
            .with_state(Arc::new(self));
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the admin listener ended");
            }
        });
        Ok((addr, serving))
    }

    /// Everything that is not ready, each with its reason.
    async fn unready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.drain.is_begun() {
            reasons.push("draining: the gateway is shutting down".to_owned());
        }
        for issuer in self.serving.app().endpoints.issuers.iter() {
            if let Err(reason) = issuer.ready() {
                reasons.push(format!("issuer {} ({}): {reason}", issuer.name(), issuer.url()));
            }
        }
        if let Err(error) = self.sessions.ready().await {
            reasons.push(error.to_string());
        }
        reasons
    }
}

async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    let reasons = admin.unready().await;
    if reasons.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", reasons.join("\n"))).into_response()
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let app = admin.serving.app();
    let fetches = app
        .endpoints
        .issuers
        .iter()
        .map(|issuer| (issuer.name().to_owned(), issuer.keys.fetches()));
    observe::sample(admin.sessions.count(), fetches, &app.endpoints.routes, admin.log.dropped());
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (content_type, admin.metrics.render()).into_response()
}

async fn sessions(State(admin): State<Arc<Admin>>) -> Response {
    match admin.sessions.list(LISTED).await {
        Ok(sessions) => Json(json!({ "sessions": sessions })).into_response(),
        Err(error) => unavailable(&error),
    }
}

async fn end_session(State(admin): State<Arc<Admin>>, Path(id): Path<String>) -> Response {
    match admin.sessions.end(&SessionId::from_name(id)).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => unavailable(&error),
    }
}

/// Whose sessions to end.
#[derive(Deserialize)]
struct Whose {
    /// A subject.
    user: String,
}

async fn end_sessions_of(State(admin): State<Arc<Admin>>, Query(whose): Query<Whose>) -> Response {
    let mut ended = Vec::new();
    for issuer in admin.serving.app().endpoints.issuers.iter() {
        let which =
            Which::Subject { issuer: issuer.name().to_owned(), subject: whose.user.clone() };
        match admin.sessions.end_matching(&which).await {
            Ok(ids) => ended.extend(ids),
            Err(error) => return unavailable(&error),
        }
    }
    Json(json!({ "ended": ended })).into_response()
}

fn unavailable(error: &StoreError) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
}
