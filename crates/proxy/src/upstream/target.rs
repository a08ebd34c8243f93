//! One target of an upstream: its connections, its health and its exchanges.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::HeaderValue;
use http_canonical::Scheme;
use tokio::time::Instant;

use super::{
    absolute_url::AbsoluteUrl,
    balance::{Candidate, Health},
    dial::{ConnectError, Dialer, InvalidUpstream},
    pool::{Http1Pool, Http2Pool, Lease},
    tls::UpstreamTls,
};
use crate::config::{UpstreamAddress, UpstreamHost, UpstreamUrl};

/// One address requests are sent to.
pub(crate) struct Target {
    name: String,
    address: UpstreamAddress,
    /// The host in requests, if it is not the client's.
    host: Option<HeaderValue>,
    dialer: Arc<Dialer>,
    connections: Connections,
    health: Health,
    in_flight: AtomicUsize,
}

enum Connections {
    Http1(Arc<Http1Pool>),
    Http2(Arc<Http2Pool>),
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
        let connections = if dialer.is_http2() {
            Connections::Http2(Arc::new(Http2Pool::new()))
        } else {
            Connections::Http1(Arc::default())
        };
        Ok(Self {
            name: url.to_string(),
            address: url.address().clone(),
            host: None,
            dialer,
            connections,
            health: Health::default(),
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
        let lease = match &self.connections {
            Connections::Http1(pool) => {
                if !fresh && let Some(lease) = pool.take() {
                    return Ok(lease);
                }
                // Connecting is rare, so its future is boxed: otherwise every request's future would be as large.
                Box::pin(async { pool.open(self.dialer.dial(within).await?).await }).await
            }
            Connections::Http2(pool) => match pool.take().filter(|_| !fresh) {
                Some(lease) => return Ok(lease),
                None => Box::pin(pool.lease(&self.dialer, within, fresh)).await,
            },
        };
        match &lease {
            Ok(lease) if lease.is_reused() => {}
            Ok(_) => {
                if self.health.succeeded() {
                    tracing::info!(upstream = %self.name, "upstream target serves requests again");
                }
            }
            Err(error) => {
                if let Some(time) = self.health.failed(Instant::now()) {
                    let time = humantime::format_duration(time);
                    tracing::warn!(upstream = %self.name, cause = %error, "upstream target ejected for {time}");
                }
            }
        }
        lease
    }

    pub(crate) fn status(&self) -> TargetStatus {
        let connections = match &self.connections {
            Connections::Http1(pool) => pool.connections().count(),
            Connections::Http2(pool) => pool.connections().count(),
        };
        TargetStatus {
            target: self.name.clone(),
            good: self.health.is_good(Instant::now()),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            connections,
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
