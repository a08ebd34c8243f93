//! `doorward serve`: runs the gateway until a signal stops it, then lets requests and streams in progress finish.
//!
//! SIGHUP, and a change of the file or of a secret it names, reload the configuration ([`reload`]). An invalid one is refused with
//! its reasons, and the previous one stays in use.

mod beside;
mod descriptors;
mod hand_over;
mod housekeeping;
mod service_manager;
pub mod reload;

use std::{
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use futures_util::future::OptionFuture;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use oidc_core::{Clock, SystemClock};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::Outcome;
use crate::{
    admin::Admin,
    assemble::{self, Lasting},
    commands::serve::{
        beside::Beside,
        hand_over::{Offer, Predecessor},
        housekeeping::Housekeeping,
        reload::{Applied, Reloader},
        service_manager::ServiceManager,
    },
    config::{Config, Loaded, Shutdown},
    gateway::Serving,
    listen::{
        Answers, Certificates, Drain, Drained, Inherited, Limits, ListenAddr, Listener,
        PrivateSocket, set_mode,
    },
    log::Log,
    metric,
    outbound::Local,
    respond::OwnAnswers,
    workers::Workers,
};

pub use hand_over::Start;

/// Time for the last spans to reach the collector.
const LAST_SPANS: Duration = Duration::from_secs(3);
/// Permissions of the local listener's socket: the gateway's own user.
const OWN_USER: u32 = 0o600;
/// Most connections of programs to the local listener.
const PROGRAMS: usize = 1000;
/// Time for the end of a hand-over once no connection is left.
const HAND_OVER: Duration = Duration::from_secs(60);

/// Runs the gateway, on the inherited sockets where the configuration names their addresses. With `take_over` it gets the sockets of
/// the running gateway, if there is one, and has it end.
///
/// # Errors
///
/// The configuration has problems or cannot be applied: an address is in use, a store cannot be opened.
pub async fn serve(path: &Path, inherited: Inherited, take_over: bool) -> anyhow::Result<Outcome> {
    let loaded = Config::load(path)?;
    let log = Arc::new(Log::start(&loaded.config.log)?);
    for warning in &loaded.warnings {
        tracing::warn!(file = %warning.file, line = warning.line, "{warning}");
    }
    let metrics = recorder()?;
    let drain = Drain::with_times(loaded.config.shutdown);
    let manager = Arc::new(ServiceManager::of_this_process());
    let signals = Signals::new()?;
    // From here on a SIGHUP that comes early waits, and does not end the process.
    let hangup = signal(SignalKind::hangup())?;
    let hand_over = loaded.config.hand_over.clone();
    let start = Start::find(hand_over.as_deref(), inherited, take_over).await?;
    let mut gateway =
        Running::start(loaded, metrics, Arc::clone(&log), drain.clone(), start).await?;
    let offer = gateway.take_over(hand_over.as_deref()).await?;
    let reloads = gateway.reloader().watch(path.to_owned(), hangup, Arc::clone(&manager));
    let _reloads = AbortOnDropHandle::new(tokio::spawn(reloads));
    let stops = signals.stop(drain.clone(), Arc::clone(&manager));
    let _stops = AbortOnDropHandle::new(tokio::spawn(stops));
    manager.ready();
    let _alive = AbortOnDropHandle::new(tokio::spawn(async move { manager.keep_alive().await }));
    let drained = gateway.serve().await;
    if let Some(offer) = offer.filter(|_| drain.is_replaced()) {
        // Without a connection left, the next process may still wait for the session file.
        let _ = timeout(HAND_OVER, offer).await;
    }
    if let Drained::Cut { connections } = drained {
        tracing::warn!(connections, "stopped with connections still open after their time");
    }
    tracing::info!("stopped");
    // The admin listener may have ended before: the log ends here.
    drop(log);
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
    beside: Beside,
    serving: Serving,
    drain: Drain,
    lasting: Lasting,
    reloader: Reloader,
    admin: std::net::SocketAddr,
    /// The listener for programs on this machine.
    outbound: Option<Listener>,
    descriptors: Vec<OwnedFd>,
    predecessor: Option<Predecessor>,
    housekeeping: Housekeeping,
    workers: Workers,
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
        start: Start,
    ) -> anyhow::Result<Self> {
        let Start { mut inherited, mut predecessor } = start;
        let applied = Applied::new(loaded);
        let Loaded { config, hash, .. } = applied.loaded();
        let certificates = match config.tls.as_slice() {
            [] => None,
            pairs => Some(Certificates::load(pairs).context("tls")?),
        };
        let workers = Workers::start(config.runtime.workers)
            .context("runtime: the workers cannot be started")?;
        let beside = Beside::bind(config, &mut inherited).await?;
        let limits = Limits::from(&config.limits);
        let limits = descriptors::share(limits, workers.count(), beside.connections());
        metric::connections_limit(limits.connections);
        let listener = Listener::bind_or_take(&config.listen, certificates, &mut inherited)
            .await?
            .with_limits(limits)
            .with_proxy_protocol(config.proxy_protocol)
            .with_workers(workers.clone());
        let admin_socket = Admin::bind(&config.admin, &mut inherited)
            .await
            .with_context(|| format!("cannot bind the admin listener {}", config.admin.listen))?;
        let outbound = outbound(config, &workers, &mut inherited).await?;
        inherited.finish()?;
        let mut descriptors = listener.descriptors()?;
        descriptors.extend(beside.descriptors()?);
        if let Some(outbound) = &outbound {
            descriptors.extend(outbound.descriptors()?);
        }
        descriptors.push(admin_socket.as_fd().try_clone_to_owned()?);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let telemetry = assemble::telemetry(config)?;
        let issuers = assemble::issuers(config, &clock, telemetry.as_ref(), None)?;
        // All that may fail comes before the running process gives up its session file.
        if let Some(predecessor) = &mut predecessor {
            predecessor.prepare(config, &issuers).await?;
            permit(config)?;
        }
        let lasting = {
            let (config, drain) = (config.clone(), drain.clone());
            tokio::task::spawn_blocking(move || Lasting::with_telemetry(&config, drain, telemetry))
                .await??
                .with_workers(workers.count())
        };
        let app = assemble::app_with(config, &lasting, issuers, None)?;
        let answers: Arc<dyn Answers> = Arc::new(OwnAnswers::new(Arc::clone(&app.site)));
        let beside = beside.with(&limits, &app.trust, &answers, &workers);
        let listener = listener.with_trust(app.trust.clone()).with_answers(answers);
        let serving = Serving::new(app);
        let admin = Admin {
            serving: serving.clone(),
            sessions: Arc::clone(&lasting.sessions),
            api_keys: Arc::clone(&lasting.api_keys),
            drain: drain.clone(),
            metrics,
            log,
            workers: workers.clone(),
        };
        let (admin, _) = admin.serve(config.admin.clone(), admin_socket)?;
        let housekeeping = Housekeeping::begin(&lasting);
        metric::configured(hash, None);
        tracing::info!(
            listen = addresses(&listener),
            beside = %beside,
            %admin,
            outbound = outbound.as_ref().map(addresses),
            public_url = %config.public_url,
            routes = config.routes.len(),
            workers = workers.count(),
            config = hash,
            "ready to serve"
        );
        let reloader = Reloader::new(serving.clone(), lasting.clone(), applied);
        Ok(Self {
            listener,
            beside,
            serving,
            drain,
            lasting,
            reloader,
            admin,
            outbound,
            descriptors,
            predecessor,
            housekeeping,
            workers,
        })
    }

    /// Address of the admin listener.
    pub fn admin(&self) -> std::net::SocketAddr {
        self.admin
    }

    /// The reloader of this gateway.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Has the process that ran before end, and offers the sockets to the next one while the guard lives.
    ///
    /// # Errors
    ///
    /// The socket of the hand-over cannot be bound.
    async fn take_over(
        &mut self,
        hand_over: Option<&Path>,
    ) -> anyhow::Result<Option<AbortOnDropHandle<()>>> {
        let predecessor = self.predecessor.take();
        let took_over = predecessor.is_some();
        let replaces = match predecessor {
            Some(predecessor) => predecessor.end().await,
            None => false,
        };
        let descriptors = std::mem::take(&mut self.descriptors);
        let Some(path) = hand_over else { return Ok(None) };
        let socket = match PrivateSocket::bind(path, replaces).await {
            Ok(socket) => socket,
            // The clients of the process before this one are here now.
            Err(error) if took_over => {
                tracing::error!(%error, path = %path.display(), "no further hand-over: cannot listen on this socket");
                return Ok(None);
            }
            Err(error) => {
                let context = format!("hand_over: cannot listen on {}", path.display());
                return Err(error).context(context);
            }
        };
        let offer = Offer {
            socket,
            descriptors,
            lasting: self.lasting.clone(),
            housekeeping: self.housekeeping.clone(),
        };
        Ok(Some(AbortOnDropHandle::new(tokio::spawn(offer.serve()))))
    }

    /// Serves until the drain is over.
    pub async fn serve(self) -> Drained {
        let local = self.outbound.map(|listener| {
            let service = Local(Arc::clone(&self.lasting.outbound));
            listener.serve(service, self.drain.clone())
        });
        let beside = self.beside.serve(self.serving.clone(), self.drain.clone());
        let public = self.listener.serve(self.serving, self.drain);
        let (drained, (), _) = tokio::join!(public, beside, OptionFuture::from(local));
        self.workers.stop().await;
        self.housekeeping.finish().await;
        if let Some(telemetry) = &self.lasting.telemetry {
            telemetry.stop(LAST_SPANS).await;
        }
        drained
    }
}

/// The listener for programs on this machine, if there is one.
async fn outbound(
    config: &Config,
    workers: &Workers,
    inherited: &mut Inherited,
) -> anyhow::Result<Option<Listener>> {
    let Some(outbound) = &config.outbound else { return Ok(None) };
    let mode = outbound.mode.map_or(OWN_USER, |mode| mode.0);
    let listener = Listener::bind_local(&outbound.listen, mode, inherited)
        .await
        .context("outbound.listen")?
        .with_limits(Limits { connections: PROGRAMS, ..Limits::from(&config.limits) })
        .with_workers(workers.clone());
    Ok(Some(listener))
}

/// Gives the local listener's socket the permissions of this configuration: one that was taken over has those of the process before.
fn permit(config: &Config) -> anyhow::Result<()> {
    let Some(outbound) = &config.outbound else { return Ok(()) };
    let ListenAddr::Unix(path) = &outbound.listen else { return Ok(()) };
    let mode = outbound.mode.map_or(OWN_USER, |mode| mode.0);
    set_mode(path, mode).context("outbound.mode: the permissions of the socket cannot be set")
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
