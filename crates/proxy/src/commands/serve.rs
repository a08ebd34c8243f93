//! `doorward serve`: runs the gateway until a signal stops it, then lets requests in progress finish.
//!
//! SIGHUP, and a change of the file or of a secret it names, reload the configuration ([`reload`]). An invalid one is refused with
//! its reasons, and the previous one stays in use.

mod descriptors;
pub mod reload;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Outcome;
use crate::{
    admin::Admin,
    assemble::{self, Lasting},
    commands::serve::reload::Reloader,
    config::{Config, Loaded},
    gateway::Serving,
    listen::{Certificates, Drain, Drained, Limits, Listener},
    log::Log,
    metric,
    respond::OwnAnswers,
};

/// Time that requests in progress have to finish.
const GRACE: Duration = Duration::from_secs(30);

/// Time for the last spans to reach the collector.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// Runs the gateway.
///
/// # Errors
///
/// The configuration has problems or cannot be applied: an address is in use, a store cannot be opened.
pub async fn serve(path: &Path) -> anyhow::Result<Outcome> {
    let loaded = Config::load(path)?;
    let log = Arc::new(Log::start(&loaded.config.log)?);
    for warning in &loaded.warnings {
        tracing::warn!(file = %path.display(), line = warning.line, "{warning}");
    }
    let metrics = recorder()?;
    let drain = Drain::new(GRACE);
    let gateway = Running::start(loaded, metrics, log, drain.clone()).await?;
    let reloads = tokio::spawn(gateway.reloader().watch(path.to_owned()));
    let stopped = tokio::spawn(stop_on_signal(drain));
    let drained = gateway.serve().await;
    reloads.abort();
    stopped.abort();
    if let Drained::Cut { connections } = drained {
        tracing::warn!(connections, "stopped with connections still open after the grace time");
    }
    tracing::info!("stopped");
    Ok(Outcome::Fine)
}

/// Installs the metrics recorder of this process.
///
/// # Errors
///
/// A recorder is installed already.
pub fn recorder() -> anyhow::Result<PrometheusHandle> {
    const SECONDS: &[f64] = &[
        0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0,
        30.0,
    ];
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
        .context("metrics")?
        .install_recorder()
        .context("metrics")?;
    metric::describe();
    let upkeep = handle.clone();
    tokio::spawn(async move {
        let mut every = tokio::time::interval(Duration::from_secs(5));
        loop {
            every.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

/// A gateway whose sockets are bound.
#[derive(Debug)]
pub struct Running {
    listener: Listener,
    serving: Serving,
    drain: Drain,
    lasting: Lasting,
    loaded: Arc<tokio::sync::Mutex<Loaded>>,
    admin: std::net::SocketAddr,
    housekeeping: CancellationToken,
    maintenance: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Applies a configuration.
    ///
    /// # Errors
    ///
    /// The part of the configuration that cannot be applied.
    pub async fn start(
        loaded: Loaded,
        metrics: PrometheusHandle,
        log: Arc<Log>,
        drain: Drain,
    ) -> anyhow::Result<Self> {
        let config = &loaded.config;
        let lasting = {
            let (config, drain) = (config.clone(), drain.clone());
            tokio::task::spawn_blocking(move || Lasting::new(&config, drain)).await??
        };
        let app = assemble::app(config, &lasting, None)?;
        let answers = OwnAnswers::new(Arc::clone(&app.site));
        let trust = app.trust.clone();
        let serving = Serving::new(app);
        let certificates = config
            .tls
            .as_ref()
            .map(|tls| Certificates::load(&tls.certificate, &tls.key))
            .transpose()
            .context("tls")?;
        let listener = Listener::bind(&config.listen, certificates)
            .await?
            .with_limits(descriptors::share(Limits::default()))
            .with_trust(trust)
            .with_answers(Arc::new(answers));
        let admin = Admin {
            serving: serving.clone(),
            sessions: Arc::clone(&lasting.sessions),
            drain: drain.clone(),
            metrics,
            log,
        };
        let (admin, _) = admin
            .bind(config.admin.clone())
            .await
            .with_context(|| format!("cannot bind the admin listener {}", config.admin.listen))?;
        let housekeeping = CancellationToken::new();
        let maintenance =
            tokio::spawn(Arc::clone(&lasting.sessions).maintain(housekeeping.clone()));
        metric::configured(&loaded.hash, None);
        tracing::info!(
            listen = addresses(&listener),
            %admin,
            public_url = %config.public_url,
            routes = config.routes.len(),
            config = loaded.hash,
            "ready to serve"
        );
        let loaded = Arc::new(tokio::sync::Mutex::new(loaded));
        Ok(Self { listener, serving, drain, lasting, loaded, admin, housekeeping, maintenance })
    }

    /// Address of the admin listener.
    pub fn admin(&self) -> std::net::SocketAddr {
        self.admin
    }

    /// The reloader of this gateway.
    pub fn reloader(&self) -> Reloader {
        Reloader::new(self.serving.clone(), self.lasting.clone(), Arc::clone(&self.loaded))
    }

    /// Serves until the drain is over.
    pub async fn serve(self) -> Drained {
        let drained = self.listener.serve(self.serving, self.drain).await;
        self.housekeeping.cancel();
        if let Err(error) = self.maintenance.await {
            tracing::error!(%error, "sessions not flushed");
        }
        if let Some(telemetry) = &self.lasting.telemetry {
            telemetry.stop(LAST_SPANS).await;
        }
        drained
    }
}

/// The addresses as in the configuration.
fn addresses(listener: &Listener) -> String {
    let addresses: Vec<String> = listener.local_addrs().iter().map(ToString::to_string).collect();
    addresses.join(", ")
}

async fn stop_on_signal(drain: Drain) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: no new connections, requests in progress may finish");
    drain.begin();
    Ok(())
}
