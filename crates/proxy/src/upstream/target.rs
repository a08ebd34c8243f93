//! One target of an upstream: its connections, its health and its exchanges.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::HeaderValue;
use http_canonical::Scheme;
use metrics::Counter;
use tokio::time::Instant;

use super::{
    absolute_url::AbsoluteUrl,
    balance::Candidate,
    dial::{ConnectError, Dialer, InvalidUpstream},
    health::{Ejected, Health},
    pool::{Http1Pool, Http2Pool, Lease},
    tls::UpstreamTls,
};
use crate::{
    config::{UpstreamAddress, UpstreamHost, UpstreamUrl},
    metric,
    workers::PerWorker,
};

/// One address requests are sent to.
pub(crate) struct Target {
    name: String,
    address: UpstreamAddress,
    /// The host in requests, if it is not the client's.
    host: Option<HeaderValue>,
    pub(super) dialer: Arc<Dialer>,
    pub(super) connections: Connections,
    /// Whether a task follows the name.
    pub(super) following: Arc<AtomicBool>,
    pub(super) health: Arc<Health>,
    ejections: Counter,
    checking: AtomicBool,
    in_flight: AtomicUsize,
}

/// The connections to one target: a pool for each worker. A clone has the same pools.
#[derive(Clone)]
pub(super) struct Connections(Arc<PerWorker<Pool>>);

enum Pool {
    Http1(Arc<Http1Pool>),
    Http2(Arc<Http2Pool>),
}

impl Connections {
    fn new(dialer: &Dialer, workers: usize) -> Self {
        let pool = || match dialer.is_http2() {
            true => Pool::Http2(Arc::new(Http2Pool::new())),
            false => Pool::Http1(Arc::new(Http1Pool::new(dialer.name().cloned()))),
        };
        Self(Arc::new(PerWorker::new(workers, pool)))
    }

    /// Open connections.
    pub(super) fn count(&self) -> usize {
        let count = |pool: &Pool| match pool {
            Pool::Http1(pool) => pool.connections().count(),
            Pool::Http2(pool) => pool.connections().count(),
        };
        self.0.iter().map(count).sum()
    }

    /// Takes connections to addresses for which `keep` is false out of service; exchanges in progress finish.
    pub(super) fn drain_except(&self, keep: impl Fn(SocketAddr) -> bool) {
        for pool in self.0.iter() {
            match pool {
                Pool::Http1(pool) => pool.drain_except(&keep),
                Pool::Http2(pool) => pool.drain_except(&keep),
            }
        }
    }

    /// The pool of this worker.
    fn own(&self) -> &Pool {
        self.0.own()
    }
}

/// Status of a target, for metrics and the admin listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetStatus {
    /// The target as configured.
    pub target: String,
    /// Whether requests go there; an ejected target gets requests again after a while.
    pub good: bool,
    /// Exchanges in progress, open WebSockets among them.
    pub in_flight: usize,
    /// Open HTTP connections, including those that wait; a connection that became a WebSocket no longer counts.
    pub connections: usize,
}

/// Counts one exchange, until dropped.
pub(crate) struct InFlight(Arc<Target>);

impl Target {
    pub(crate) fn new(url: &UpstreamUrl, tls: &UpstreamTls) -> Result<Self, InvalidUpstream> {
        let dialer = Arc::new(Dialer::new(url, tls)?);
        let connections = Connections::new(&dialer, 0);
        Ok(Self {
            name: url.to_string(),
            address: url.address().clone(),
            host: None,
            dialer,
            connections,
            following: Arc::default(),
            health: Arc::default(),
            ejections: Counter::noop(),
            checking: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
        })
    }

    /// The target as configured.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub(crate) fn address(&self) -> &UpstreamAddress {
        &self.address
    }

    /// Sets the host in requests.
    pub(super) fn set_host(&mut self, host: &UpstreamHost) {
        let text = match (host, &self.address) {
            (UpstreamHost::Client, _) => None,
            (UpstreamHost::Named(host), _) => Some(host.to_string()),
            (UpstreamHost::Upstream, UpstreamAddress::Unix(_)) => Some("localhost".to_owned()),
            (UpstreamHost::Upstream, UpstreamAddress::Tcp { host, port }) => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                let default = *port == self.scheme().default_port();
                Some(if default { host } else { format!("{host}:{port}") })
            }
        };
        // Hosts of the configuration are visible ASCII.
        self.host = text.and_then(|text| HeaderValue::try_from(text).ok());
    }

    /// Makes a pool for each of so many workers.
    pub(super) fn set_workers(&mut self, workers: usize) {
        self.connections = Connections::new(&self.dialer, workers);
    }

    /// Counts its ejections under the name of a route.
    pub(super) fn set_meters(&mut self, route: &str) {
        self.ejections = metric::ejections(route, &self.name);
    }

    /// Whether its health check is to begin.
    pub(super) fn first_check(&self) -> bool {
        !self.checking.swap(true, Ordering::Relaxed)
    }

    /// Notes the outcome of a health check.
    pub(super) fn checked(&self, path: &str, outcome: Result<(), String>) {
        let cause = outcome.err();
        match self.health.checked(cause.is_none()) {
            Some(true) => {
                tracing::info!(upstream = %self.name, path, "upstream target passes its health check again");
            }
            Some(false) => {
                self.ejections.increment(1);
                tracing::warn!(upstream = %self.name, path, cause, "upstream target fails its health check and gets no requests");
            }
            None => {}
        }
    }

    /// The host in requests, if it is not the client's.
    pub(crate) fn host(&self) -> Option<&HeaderValue> {
        self.host.as_ref()
    }

    /// Whether a URL is one of this target: by its address, or by the host in requests.
    pub(super) fn is_named_by(&self, url: &AbsoluteUrl<'_>) -> bool {
        let address = match &self.address {
            UpstreamAddress::Tcp { host, port } => url.names(self.scheme(), host, *port),
            UpstreamAddress::Unix(_) => false,
        };
        let host = self.host.as_ref().and_then(|host| host.to_str().ok()?.parse().ok());
        address || host.is_some_and(|host| url.is_of(&host))
    }

    fn scheme(&self) -> Scheme {
        if self.is_tls() { Scheme::Https } else { Scheme::Http }
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.dialer.is_http2()
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.dialer.is_tls()
    }

    /// A connection for one exchange: a waiting one or, with `fresh` or when none waits, a new one.
    pub(crate) async fn lease(&self, within: Duration, fresh: bool) -> Result<Lease, ConnectError> {
        let waiting = match self.connections.own() {
            _ if fresh => None,
            Pool::Http1(pool) => pool.take(),
            Pool::Http2(pool) => pool.take(),
        };
        match waiting {
            Some(lease) => Ok(lease),
            // Connecting is rare, so its future is boxed: otherwise every request's future would be as large.
            None => Box::pin(self.connect(within, fresh)).await,
        }
    }

    async fn connect(&self, within: Duration, fresh: bool) -> Result<Lease, ConnectError> {
        let _attempt = self.health.may_connect().await.map_err(|Ejected| ConnectError::Ejected)?;
        let lease = match self.connections.own() {
            Pool::Http1(pool) => match self.dialer.dial(within).await {
                Ok(io) => pool.open(io).await,
                Err(error) => Err(error),
            },
            Pool::Http2(pool) => pool.lease(&self.dialer, within, fresh).await,
        };
        match &lease {
            Ok(lease) if lease.is_reused() => {}
            Ok(_) => {
                self.restored(self.health.connected());
                self.follow_name();
            }
            Err(error) if error.is_the_targets() => {
                self.ejected(self.health.connect_failed(Instant::now()), error);
            }
            Err(_) => {}
        }
        lease
    }

    /// Notes a response.
    pub(crate) fn answered(&self) {
        self.restored(self.health.answered());
    }

    /// Notes a new connection that was closed before a response.
    pub(crate) fn hung_up(&self, cause: &str) {
        self.ejected(self.health.hung_up(Instant::now()), &cause);
    }

    fn ejected(&self, time: Option<Duration>, cause: &dyn std::fmt::Display) {
        let Some(time) = time else { return };
        self.ejections.increment(1);
        self.readmit();
        let time = humantime::format_duration(Duration::from_millis(
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        ));
        tracing::warn!(upstream = %self.name, %cause, "upstream target ejected for {time}");
    }

    fn restored(&self, restored: bool) {
        if restored {
            tracing::info!(upstream = %self.name, "upstream target serves requests again");
        }
    }

    pub(crate) fn status(&self) -> TargetStatus {
        TargetStatus {
            target: self.name.clone(),
            good: self.health.is_good(Instant::now()),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            connections: self.connections.count(),
        }
    }

    /// Counts an exchange.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }
}

impl InFlight {
    /// The target of the exchange.
    pub(crate) fn target(&self) -> &Arc<Target> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Candidate for Arc<Target> {
    fn is_good(&self, now: Instant) -> bool {
        self.health.is_good(now)
    }

    fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}
