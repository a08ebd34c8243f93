//! `doorward serve`: runs the gateway until a signal stops it, then lets requests and streams in progress finish.
//!
//! SIGHUP, and a change of the file or of a secret it names, reload the configuration ([`reload`]). An invalid one is refused with
//! its reasons, and the previous one stays in use.

mod descriptors;
mod service_manager;
pub mod reload;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Outcome;
use crate::{
    admin::Admin,
    assemble::{self, Lasting},
    commands::serve::{
        reload::{Applied, Reloader},
        service_manager::ServiceManager,
    },
    config::{Config, Loaded, Shutdown},
    gateway::Serving,
    listen::{Certificates, Drain, Drained, Inherited, Limits, Listener},
    log::Log,
    metric,
    respond::OwnAnswers,
};

/// Time for the last spans to reach the collector.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// Runs the gateway, on the inherited sockets where the configuration names their addresses.
///
/// # Errors
///
/// The configuration has problems or cannot be applied: an address is in use, a store cannot be opened.
pub async fn serve(path: &Path, inherited: Inherited) -> anyhow::Result<Outcome> {
    let loaded = Config::load(path)?;
    let log = Arc::new(Log::start(&loaded.config.log)?);
    for warning in &loaded.warnings {
        tracing::warn!(file = %path.display(), line = warning.line, "{warning}");
    }
    let metrics = recorder()?;
    let drain = Drain::with_times(loaded.config.shutdown);
    let manager = Arc::new(ServiceManager::of_this_process());
    let signals = Signals::new()?;
    let gateway = Running::start(loaded, metrics, log, drain.clone(), inherited).await?;
    let reloads = gateway.reloader().watch(path.to_owned(), Arc::clone(&manager));
    let _reloads = AbortOnDropHandle::new(tokio::spawn(reloads));
    let _stops = AbortOnDropHandle::new(tokio::spawn(signals.stop(drain, Arc::clone(&manager))));
    manager.ready();
    let _alive = AbortOnDropHandle::new(tokio::spawn(async move { manager.keep_alive().await }));
    let drained = gateway.serve().await;
    if let Drained::Cut { connections } = drained {
        tracing::warn!(connections, "stopped with connections still open after their time");
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
    reloader: Reloader,
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
        mut inherited: Inherited,
    ) -> anyhow::Result<Self> {
        let applied = Applied::new(loaded);
        let Loaded { config, hash, .. } = applied.loaded();
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
        let listener = Listener::bind_or_take(&config.listen, certificates, &mut inherited)
            .await?
            .with_limits(descriptors::share(Limits::from(&config.limits)))
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
            .bind(config.admin.clone(), &mut inherited)
            .await
            .with_context(|| format!("cannot bind the admin listener {}", config.admin.listen))?;
        inherited.finish()?;
        let housekeeping = CancellationToken::new();
        let maintenance =
            tokio::spawn(Arc::clone(&lasting.sessions).maintain(housekeeping.clone()));
        metric::configured(hash, None);
        tracing::info!(
            listen = addresses(&listener),
            %admin,
            public_url = %config.public_url,
            routes = config.routes.len(),
            config = hash,
            "ready to serve"
        );
        let reloader = Reloader::new(serving.clone(), lasting.clone(), applied);
        Ok(Self { listener, serving, drain, lasting, reloader, admin, housekeeping, maintenance })
    }

    /// Address of the admin listener.
    pub fn admin(&self) -> std::net::SocketAddr {
        self.admin
    }

    /// The reloader of this gateway.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
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

/// The signals that stop the gateway.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on: a signal that comes while the gateway starts is not lost.
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Begins the drain at the first signal, and ends it at the second.
    async fn stop(mut self, drain: Drain, manager: Arc<ServiceManager>) {
        let by_a_person = self.next().await;
        let Shutdown { lame_duck, grace, streams } = drain.times();
        let seconds = |time: Duration| format!("{}s", time.as_secs_f64());
        if by_a_person {
            tracing::info!(
                grace = seconds(grace),
                "stopping: no new connections, requests in progress may finish, streams end"
            );
            drain.begin_at_once();
        } else {
            tracing::info!(
                lame_duck = seconds(lame_duck),
                grace = seconds(grace),
                streams = seconds(streams),
                "stopping: not ready; after the lame-duck time no new connections, requests and streams in progress may finish"
            );
            drain.begin();
        }
        manager.stopping(lame_duck + grace.max(streams) + Duration::from_secs(5));
        self.next().await;
        tracing::warn!("stopping at once: a second signal came");
        drain.end();
    }

    /// Waits for a signal; `true` for SIGINT, which a person sends from a terminal.
    async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => true,
        }
    }
}
