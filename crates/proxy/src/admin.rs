//! The admin listener: health, readiness, metrics, sessions, activity. It is never part of the public listener.
//!
//! Probes and metrics are open; everything else needs the admin token, or a listener on a loopback address.

mod activity;
mod guard;
mod keys;
mod query;
mod readiness;
mod serve;
mod sessions;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Extension, Router,
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use self::{guard::Guard, readiness::Start};
use crate::{
    config::AdminConfig,
    gateway::Serving,
    listen::{Drain, Inherited},
    log::Log,
    metric::{self, UpstreamLoad},
    respond::pages::shown,
    upstream::{TargetStatus, Upstream},
    workers::Workers,
};
use web_sessions::{ApiKeys, Sessions};

/// State that the admin listener reports and changes.
#[derive(Debug, Clone)]
pub struct Admin {
    /// The current application.
    pub serving: Serving,
    /// The sessions.
    pub sessions: Arc<Sessions>,
    /// The API keys.
    pub api_keys: Arc<ApiKeys>,
    /// Whether the gateway is shutting down.
    pub drain: Drain,
    /// The metrics.
    pub metrics: PrometheusHandle,
    /// The log, for the number of lines that it dropped.
    pub log: Arc<Log>,
    /// The workers, for their load.
    pub workers: Workers,
}

impl Admin {
    /// The socket of the admin listener: the one that another process bound to the address, or a new one.
    ///
    /// # Errors
    ///
    /// The address cannot be bound.
    pub async fn bind(
        config: &AdminConfig,
        inherited: &mut Inherited,
    ) -> std::io::Result<TcpListener> {
        match inherited.take_tcp(config.listen) {
            Some(taken) => TcpListener::from_std(taken),
            None => TcpListener::bind(config.listen).await,
        }
    }

    /// Serves until the process ends, or another process has taken over.
    ///
    /// # Errors
    ///
    /// The socket has no address.
    pub fn serve(
        self,
        config: AdminConfig,
        listener: TcpListener,
    ) -> std::io::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
        let drain = self.drain.clone();
        let addr = listener.local_addr()?;
        let router = Router::new()
            .route("/healthz", get(async || "alive\n"))
            .route("/readyz", get(readiness::readyz))
            .route("/metrics", get(metrics))
            .route("/sessions", get(sessions::list).delete(sessions::end_all_of))
            .route("/sessions/{id}", delete(sessions::end))
            .route("/activity", get(activity::list))
            .route("/keys", get(keys::list).post(keys::create).delete(keys::revoke_all_of))
            .route("/keys/{id}", delete(keys::revoke))
            .with_state(Arc::new(self))
            .layer(Extension(Arc::new(Start::now())))
            .layer(middleware::from_fn_with_state(Arc::new(Guard::new(config, addr)), guarded));
        let task = tokio::spawn(async move {
            tokio::select! {
                () = drain.replaced() => {}
                () = serve::serve(listener, router) => {}
            }
        });
        Ok((addr, task))
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let sessions = admin.sessions.total().await;
    metric::store_available(admin.sessions.ready().await.is_ok());
    for (name, (_, state)) in admin.issuers() {
        metric::issuer_available(&name, state.is_ok());
    }
    let app = admin.serving.app();
    let fetches = app.endpoints.issuers.iter().filter_map(|issuer| {
        Some((issuer.name().to_owned(), issuer.remote_keys.as_ref()?.fetches()))
    });
    let upstreams =
        app.endpoints.routes.iter().filter_map(|route| {
            Some((route.name.as_str(), load(&route.upstream.as_ref()?.status())))
        });
    for route in app.endpoints.routes.iter() {
        for target in route.upstream.iter().flat_map(Upstream::status) {
            metric::upstream_healthy(&route.name, &target.target, target.good);
        }
    }
    for (worker, load) in admin.workers.loads().into_iter().enumerate() {
        metric::worker(worker, load.connections, load.busy);
    }
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
