//! Stage 1, listen: accept, TLS, strict framing, layers around every request, drain.
//!
//! The path of a connection: `accept` takes it, up to a limit, and gives it to one of the [`workers`](crate::workers); a proxy may tell
//! its client (`told`); [`tls`] may secure it; `strict_io` passes on only bytes that [`http_canonical::framing`] has judged; hyper parses them, for HTTP/1 from a whole
//! head until the connection is quiet (`http1`); `every_request` gives each request its id, its span, an answer after a panic and the
//! result of framing, in that order, and calls the service. Nothing here knows routes or identities.

mod accept;
mod answer_body;
mod answers;
mod conn;
mod response_progress;
mod deadline;
mod drain;
mod every_request;
mod extended_connect;
mod glimpse;
mod http1;
mod inherited;
mod limits;
mod open_stream;
mod payload;
mod places;
mod rarely;
mod request_body;
mod serve;
mod strict_io;
pub mod tls;
mod told;
mod unix_file;
mod whole_body;

pub use accept::ListenError;
pub use answers::{Answers, PlainAnswers};
pub use axum::body::Body;
pub use conn::ConnInfo;
pub use drain::{Drain, Drained};
pub use glimpse::Glimpse;
pub use inherited::{InheritError, Inherited};
pub use limits::Limits;
pub use open_stream::{OpenEnded, OpenTunnel};
pub use payload::{CanonicalRequest, Payload, UpgradeAsked, canonical};
pub use tls::{CertificateError, Certificates};
pub use unix_file::{PrivateSocket, set_mode};
pub use whole_body::NotWhole;
pub(crate) use whole_body::whole_body;

pub use crate::config::ListenAddr;

use std::{convert::Infallible, fmt, io, os::fd::OwnedFd, sync::Arc, time::Duration};

use http::{Request, Response};
use tokio::task::JoinSet;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tower::Service;

use crate::workers::Workers;
use http_canonical::Trust;

/// Interval at which the certificate's files are checked.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(5);

/// Bound sockets, ready to serve.
pub struct Listener {
    sockets: Vec<accept::Socket>,
    certificates: Option<Arc<Certificates>>,
    tls: Option<tls::Handshakes>,
    limits: Limits,
    trust: Trust,
    answers: Arc<dyn Answers>,
    workers: Workers,
    proxy_protocol: bool,
}

impl Listener {
    /// Binds all addresses. With certificates, TCP is TLS only; unix sockets are plain.
    ///
    /// # Errors
    ///
    /// See [`ListenError`].
    pub async fn bind(
        addresses: &[ListenAddr],
        certificates: Option<Arc<Certificates>>,
    ) -> Result<Self, ListenError> {
        Self::bind_or_take(addresses, certificates, &mut Inherited::default()).await
    }

    /// Binds an address for programs on this machine; a unix socket gets these permissions, before a program can connect.
    ///
    /// # Errors
    ///
    /// See [`ListenError`].
    pub async fn bind_local(
        address: &ListenAddr,
        mode: u32,
        inherited: &mut Inherited,
    ) -> Result<Self, ListenError> {
        let socket = accept::Socket::bind(address, Some(mode), inherited).await?;
        Ok(Self::of(vec![socket], None, None))
    }

    /// Binds all addresses but those whose sockets were bound by another process.
    ///
    /// # Errors
    ///
    /// See [`ListenError`].
    pub async fn bind_or_take(
        addresses: &[ListenAddr],
        certificates: Option<Arc<Certificates>>,
        inherited: &mut Inherited,
    ) -> Result<Self, ListenError> {
        if addresses.is_empty() {
            return Err(ListenError::NoAddress);
        }
        let tls = match &certificates {
            Some(certificates) => Some(tls::Handshakes::new(certificates)?),
            None => None,
        };
        let mut sockets = Vec::with_capacity(addresses.len());
        for address in addresses {
            sockets.push(accept::Socket::bind(address, None, inherited).await?);
        }
        Ok(Self::of(sockets, certificates, tls))
    }

    fn of(
        sockets: Vec<accept::Socket>,
        certificates: Option<Arc<Certificates>>,
        tls: Option<tls::Handshakes>,
    ) -> Self {
        Self {
            sockets,
            certificates,
            tls,
            limits: Limits::default(),
            trust: Trust::none(),
            answers: Arc::new(PlainAnswers),
            workers: Workers::default(),
            proxy_protocol: false,
        }
    }

    /// With other limits than [`Limits::default`].
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Accepts the request ids of these proxies.
    #[must_use]
    pub fn with_trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// Answers violations and panics with other answers than [`PlainAnswers`].
    #[must_use]
    pub fn with_answers(mut self, answers: Arc<dyn Answers>) -> Self {
        self.answers = answers;
        self
    }

    /// Has these workers serve the connections, and not the runtime that accepts them.
    #[must_use]
    pub fn with_workers(mut self, workers: Workers) -> Self {
        self.workers = workers;
        self
    }

    /// Expects the PROXY protocol at the beginning of each connection, from the trusted proxies alone.
    #[must_use]
    pub fn with_proxy_protocol(mut self, expected: bool) -> Self {
        self.proxy_protocol = expected;
        self
    }

    /// The addresses, with the ports that the system chose for port 0.
    pub fn local_addrs(&self) -> Vec<ListenAddr> {
        self.sockets.iter().map(|socket| socket.address.clone()).collect()
    }

    /// Other descriptors of the same sockets, for a process that takes over.
    ///
    /// # Errors
    ///
    /// The process has too many open files.
    pub fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        self.sockets.iter().map(accept::Socket::descriptor).collect()
    }

    /// Serves until the drain is over: sockets close when it begins, and connections may finish until their time is over.
    ///
    /// The service reads a request with [`canonical`].
    pub async fn serve<S>(self, service: S, drain: Drain) -> Drained
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send + 'static,
    {
        let _watching = self
            .certificates
            .map(|pair| AbortOnDropHandle::new(tokio::spawn(pair.watch(CERTIFICATE_CHECK))));
        let places = Arc::new(places::Places::new(self.limits, self.trust.clone()));
        let told = self
            .proxy_protocol
            .then(|| Arc::new(told::Told::new(self.trust.clone(), Arc::clone(&places))));
        let tracker = TaskTracker::new();
        let shared = Arc::new(every_request::Shared {
            limits: self.limits,
            trust: self.trust,
            answers: self.answers,
            drain: drain.clone(),
        });
        let mut accepting = JoinSet::new();
        for socket in self.sockets {
            let server = serve::Server {
                service: service.clone(),
                shared: Arc::clone(&shared),
                tls: self.tls.clone(),
                told: told.clone(),
                local: socket.address.clone(),
                drain: drain.clone(),
            };
            let handle = move |stream, peer, held: accept::Held| {
                held.runtime().spawn(server.clone().run(stream, peer, held));
            };
            let (places, workers) = (Arc::clone(&places), self.workers.clone());
            let (drain, tracker) = (drain.clone(), tracker.clone());
            accepting.spawn(socket.accept_until(drain, places, tracker, workers, handle));
        }
        drain.accepting_over().await;
        while accepting.join_next().await.is_some() {}
        tracker.close();
        tokio::select! {
            () = tracker.wait() => drain.result(0),
            () = drain.ended() => drain.result(tracker.len()),
        }
    }
}

// === impl Listener ===

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("addresses", &self.local_addrs())
            .field("tls", &self.tls.is_some())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
