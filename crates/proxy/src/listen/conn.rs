//! Facts about a connection, and the state that its reading half and the service share.
//!
//! The reading half counts heads and marks the one that breaks the rules; the service counts requests and answers the marked
//! one. HTTP/1 answers in order, so the count identifies the request, whatever the request contains.

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::time::{Instant, sleep};

use http::header::InvalidHeaderValue;
use http_canonical::{
    CanonicalHost, ClientCertificate, OriginFields, Peer, Scheme, framing::Violation,
};

use super::{Glimpse, ListenAddr, tls::ClientsOf};

/// A connection, as an extension of its requests.
#[derive(Debug)]
pub struct ConnInfo {
    /// The other end.
    pub peer: Peer,
    /// The address it was accepted at.
    pub local: ListenAddr,
    /// The scheme of this hop.
    pub scheme: Scheme,
    /// The certificate whose key the peer proved to hold in the TLS handshake.
    pub(super) certificate: Option<Arc<ClientCertificate>>,
    /// The clients that the connection was made for, where some host asks for certificates.
    pub(super) clients: Option<ClientsOf>,
    pub(super) state: ConnState,
    /// Whether the one request of this connection asks for a WebSocket, of which another proxy has both ends.
    pub(super) websocket_elsewhere: bool,
    origin: OnceLock<Box<Origin>>,
}

/// Origin of a request, and the fields that tell an upstream.
#[derive(Debug)]
struct Origin {
    host: CanonicalHost,
    scheme: Scheme,
    chain: Vec<IpAddr>,
    fields: OriginFields,
}

impl ConnInfo {
    /// A connection that was accepted.
    pub fn new(peer: Peer, local: ListenAddr, scheme: Scheme) -> Self {
        Self {
            peer,
            local,
            scheme,
            certificate: None,
            clients: None,
            state: ConnState::default(),
            websocket_elsewhere: false,
            origin: OnceLock::new(),
        }
    }

    /// The same, of a peer that proved to hold the key of this certificate.
    #[must_use]
    pub fn with_certificate(mut self, certificate: Option<Arc<ClientCertificate>>) -> Self {
        self.certificate = certificate;
        self
    }

    /// The same, made for these clients.
    #[must_use]
    pub(super) fn with_clients(mut self, clients: Option<ClientsOf>) -> Self {
        self.clients = clients;
        self
    }

    /// Whether the certificate that the peer showed is not revoked, by the present lists.
    pub(crate) fn certificate_counts(&self) -> bool {
        match (&self.clients, &self.certificate) {
            (Some(clients), Some(certificate)) => clients.count(certificate),
            _ => true,
        }
    }

    /// The connection of one request that a proxy holds: from the proxy's client, to the proxy.
    pub fn elsewhere(peer: Peer, local: ListenAddr, scheme: Scheme, websocket: bool) -> Self {
        Self { websocket_elsewhere: websocket, ..Self::new(peer, local, scheme) }
    }

    /// The fields about the origin of a request on this connection. They are made for the first request; the others have the same,
    /// unless a proxy in front sends the requests of several clients or for several hosts.
    ///
    /// # Errors
    ///
    /// Those of [`OriginFields::new`].
    pub(crate) fn origin(
        &self,
        host: &CanonicalHost,
        scheme: Scheme,
        chain: &[IpAddr],
    ) -> Result<OriginFields, InvalidHeaderValue> {
        if let Some(origin) = self.origin.get()
            && (&origin.host, origin.scheme, origin.chain.as_slice()) == (host, scheme, chain)
        {
            return Ok(origin.fields.clone());
        }
        let fields = OriginFields::new(host, scheme, chain)?;
        self.origin.get_or_init(|| {
            let (host, chain, fields) = (host.clone(), chain.to_vec(), fields.clone());
            Box::new(Origin { host, scheme, chain, fields })
        });
        Ok(fields)
    }
}

/// State shared by the reading half and the service.
#[derive(Debug, Default)]
pub(super) struct ConnState {
    /// Requests handed to the service so far.
    served: AtomicU64,
    /// Exchanges that are open, and the number of those that ended.
    open: AtomicU64,
    ended: AtomicU64,
    /// Responses without an end of their own.
    unending: AtomicU64,
    /// Whether HTTP/1 reads, and no byte of the next head has arrived.
    awaits_head: AtomicBool,
    /// Whether the byte stream outlives the HTTP/1 parser that has it.
    handed_back: AtomicBool,
    /// The request at which reading stopped, the violation, and what is known of a request without a head.
    stopped: OnceLock<(u64, Violation, Option<Box<Glimpse>>)>,
    /// The request whose answer decides about an upgrade; 0 when none does.
    asks_upgrade: AtomicU64,
    decision: AtomicU8,
    reader: AtomicWaker,
}

/// Answer to a request to upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// Not answered yet.
    Undecided,
    /// Answered with another status than 101: the next bytes are a request.
    Declined,
    /// Answered with 101: the next bytes belong to the tunnel.
    Accepted,
}

impl ConnState {
    /// Counts a request; the first is 1.
    pub(super) fn next_request(&self) -> u64 {
        self.served.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Number of requests handed to the service so far.
    pub(super) fn requests(&self) -> u64 {
        self.served.load(Ordering::Acquire)
    }

    /// Counts an open exchange.
    pub(super) fn stream_opened(&self) {
        self.open.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts the end of an exchange.
    pub(super) fn stream_ended(&self) {
        self.ended.fetch_add(1, Ordering::AcqRel);
        self.open.fetch_sub(1, Ordering::AcqRel);
    }

    /// Counts a response without an end of its own.
    pub(super) fn unending_begun(&self) {
        self.unending.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts the end of such a response.
    pub(super) fn unending_ended(&self) {
        self.unending.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether a response without an end of its own is in progress.
    pub(super) fn has_unending(&self) -> bool {
        self.unending.load(Ordering::Acquire) > 0
    }

    /// A number that changes whenever an exchange begins or ends; `None` while one is open.
    pub(super) fn idle_mark(&self) -> Option<u64> {
        let mark = self.requests() + self.ended.load(Ordering::Acquire);
        (self.open.load(Ordering::Acquire) == 0).then_some(mark)
    }

    /// Notes whether reading waits for the first byte of a head.
    pub(super) fn set_awaits_head(&self, awaits: bool) {
        self.awaits_head.store(awaits, Ordering::Relaxed);
    }

    /// Keeps the byte stream open although its parser ends, or no longer does.
    pub(super) fn hand_back(&self, back: bool) {
        self.handed_back.store(back, Ordering::Relaxed);
    }

    /// Whether the byte stream stays open when its parser ends.
    pub(super) fn is_handed_back(&self) -> bool {
        self.handed_back.load(Ordering::Relaxed)
    }

    /// Waits until HTTP/1 was quiet for one to two of these intervals: no exchange is open, and no byte of a head has arrived.
    /// Returns a time since which that holds.
    pub(super) async fn quiet(&self, interval: Duration) -> Instant {
        let (mut since, mut before) = (Instant::now(), None);
        loop {
            let now = self.idle_mark().filter(|_| self.awaits_head.load(Ordering::Relaxed));
            if now.is_some() && now == before {
                return since;
            }
            (since, before) = (Instant::now(), now);
            sleep(interval).await;
        }
    }

    /// Records that reading stopped at a request. Only the first call counts.
    pub(super) fn stop(&self, request: u64, violation: Violation, glimpse: Option<Glimpse>) {
        let _ = self.stopped.set((request, violation, glimpse.map(Box::new)));
    }

    /// The violation in a request's head or body.
    pub(super) fn violation(&self, request: u64) -> Option<(Violation, Option<&Glimpse>)> {
        let (stopped, violation, glimpse) = self.stopped.get()?;
        (*stopped == request).then_some((*violation, glimpse.as_deref()))
    }

    /// Records that reading waits for the answer to a request.
    pub(super) fn ask_upgrade(&self, request: u64) {
        self.decision.store(Upgrade::Undecided as u8, Ordering::Release);
        self.asks_upgrade.store(request, Ordering::Release);
    }

    /// Whether the answer to this request decides about an upgrade.
    pub(super) fn asks(&self, request: u64) -> bool {
        self.asks_upgrade.load(Ordering::Acquire) == request
    }

    /// Sets the service's answer and wakes the reader.
    pub(super) fn decide(&self, upgrade: Upgrade) {
        self.decision.store(upgrade as u8, Ordering::Release);
        self.reader.wake();
    }

    /// The current answer, for the reader. The reader is woken when it changes.
    pub(super) fn decision(&self, reader: &Waker) -> Upgrade {
        self.reader.register(reader);
        match self.decision.load(Ordering::Acquire) {
            accepted if accepted == Upgrade::Accepted as u8 => Upgrade::Accepted,
            declined if declined == Upgrade::Declined as u8 => Upgrade::Declined,
            _ => Upgrade::Undecided,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_gets_the_fields_of_its_own_origin() {
        let local = ListenAddr::Tcp("127.0.0.1:443".parse().unwrap());
        let connection = ConnInfo::new(Peer::Unix, local, Scheme::Http);
        let (one, other) = ("a.example".parse().unwrap(), "b.example".parse().unwrap());
        let chain = |last| [IpAddr::from([203, 0, 113, last])];
        for (host, scheme, last) in [
            (&one, Scheme::Https, 1),
            (&one, Scheme::Https, 1),
            (&other, Scheme::Https, 1),
            (&one, Scheme::Http, 1),
            (&one, Scheme::Https, 2),
            (&one, Scheme::Https, 1),
        ] {
            let fields = connection.origin(host, scheme, &chain(last)).unwrap();
            assert_eq!(fields, OriginFields::new(host, scheme, &chain(last)).unwrap());
        }
        let nowhere = connection.origin(&one, Scheme::Https, &[]).unwrap();
        assert_eq!(nowhere.forwarded_for, None);
    }
}
