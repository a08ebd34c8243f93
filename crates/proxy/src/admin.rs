//! The admin listener: health, readiness, metrics, sessions. It is never part of the public listener.
//!
//! Probes and metrics are open; everything else needs the admin token, or a listener on a loopback address.

mod guard;
mod serve;
mod sessions;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use metrics_exporter_prometheus::PrometheusHandle;

use self::guard::Guard;
use crate::{
    config::AdminConfig,
    gateway::Serving,
    listen::{Drain, Inherited},
    log::Log,
    metric::{self, UpstreamLoad},
    respond::pages::shown,
    upstream::TargetStatus,
};
use web_sessions::Sessions;

/// State that the admin listener reports and changes.
#[derive(Debug, Clone)]
pub struct Admin {
    /// The current application.
    pub serving: Serving,
    /// The sessions.
    pub sessions: Arc<Sessions>,
    /// Whether the gateway is shutting down.
    pub drain: Drain,
    /// The metrics.
    pub metrics: PrometheusHandle,
    /// The log, for the number of lines that it dropped.
    pub log: Arc<Log>,
}

impl Admin {
    /// Serves until the process ends, on the socket that another process bound to the address if there is one.
    ///
    /// # Errors
    ///
    /// The address cannot be bound.
    pub async fn bind(
        self,
        config: AdminConfig,
        inherited: &mut Inherited,
    ) -> std::io::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
        let listener = match inherited.take_tcp(config.listen) {
            Some(taken) => tokio::net::TcpListener::from_std(taken)?,
            None => tokio::net::TcpListener::bind(config.listen).await?,
        };
        let addr = listener.local_addr()?;
        let router = Router::new()
            .route("/healthz", get(async || "alive\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .route("/sessions", get(sessions::list).delete(sessions::end_all_of))
            .route("/sessions/{id}", delete(sessions::end))
            .with_state(Arc::new(self))
            .layer(middleware::from_fn_with_state(Arc::new(Guard::new(config, addr)), guarded));
        Ok((addr, tokio::spawn(serve::serve(listener, router))))
    }

    /// Everything that is not ready, each with its reason.
    async fn unready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.drain.is_announced() {
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
    let sessions = admin.sessions.total().await;
    let app = admin.serving.app();
    let fetches = app.endpoints.issuers.iter().filter_map(|issuer| {
        Some((issuer.name().to_owned(), issuer.remote_keys.as_ref()?.fetches()))
    });
    let upstreams =
        app.endpoints.routes.iter().filter_map(|route| {
            Some((route.name.as_str(), load(&route.upstream.as_ref()?.status())))
        });
    metric::sample(sessions, fetches, upstreams, admin.log.dropped());
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (content_type, admin.metrics.render()).into_response()
}

/// Sums over the targets of one upstream.
fn load(targets: &[TargetStatus]) -> UpstreamLoad {
    let sum = |of: fn(&TargetStatus) -> usize| targets.iter().map(of).sum();
    UpstreamLoad {
        connections: sum(|target| target.connections),
        in_flight: sum(|target| target.in_flight),
        ejected: sum(|target| usize::from(!target.good)),
    }
}

/// Serves requests that the guard admits. Caches must not keep an answer of this listener.
async fn guarded(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let mut answer = match guard.admit(&parts).await {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(denied) => {
            let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
            tracing::info!(
                target: "doorward::audit",
                action = "refuse_admin",
                method = parts.method.as_str(),
                path = shown(parts.uri.path(), 200),
                address = peer.map(|ConnectInfo(peer)| tracing::field::display(peer.ip())),
                reason = %denied,
                "request to the admin listener refused"
            );
            denied.into_response()
        }
    };
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
