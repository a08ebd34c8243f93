//! The client of a connection, as a trusted proxy tells it by the PROXY protocol before the first byte of the client.
//!
//! Every connection must begin with the header, and by the deadline of its first head: a listener on which it may be absent
//! believes a client that writes one. Exactly the bytes of the header are read.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use http_canonical::{
    Peer, Trust,
    proxy_protocol::{ProxyHeaderRefusal, START, Start},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::{Instant, timeout_at},
};

use super::{
    accept::{Held, Stream},
    places::Places,
    rarely::Rarely,
};
use crate::metric;

/// Reads the clients of the connections of one listener.
#[derive(Debug)]
pub(super) struct Told {
    trust: Trust,
    places: Arc<Places>,
    complaints: Mutex<Rarely>,
}

/// Reason a connection has no valid header.
#[derive(Debug, thiserror::Error)]
enum Untold {
    #[error(transparent)]
    Header(#[from] ProxyHeaderRefusal),
    /// Health checks that only connect end so.
    #[error("the connection ended before its header: {0}")]
    Ended(#[from] io::Error),
}

impl Told {
    /// Believes the peers that `trust` names, and counts their clients in `places`.
    pub(super) fn new(trust: Trust, places: Arc<Places>) -> Self {
        Self { trust, places, complaints: Mutex::default() }
    }

    /// The client; the peer itself for a connection of its own. `None`: the connection is to be closed.
    pub(super) async fn client(
        &self,
        stream: &mut Stream,
        peer: Peer,
        held: &mut Held,
        by: Instant,
    ) -> Option<Peer> {
        if !self.trust.trusts(peer) {
            self.complain("untrusted", peer, "the peer is not in `trusted_proxies`");
            return None;
        }
        let source = match stream {
            Stream::Tcp(stream) => timeout_at(by, source(stream)).await,
            Stream::Unix(stream) => timeout_at(by, source(stream)).await,
        };
        match source {
            Ok(Ok(Some(source))) => {
                let client = Peer::Tcp(source);
                let Some(seat) = self.places.seat(client) else {
                    metric::proxy_protocol_refused("crowded");
                    return None;
                };
                held.sit(seat);
                Some(client)
            }
            Ok(Ok(None)) => Some(peer),
            Ok(Err(Untold::Ended(error))) => {
                tracing::debug!(%error, "a connection ended before its header of the PROXY protocol");
                None
            }
            Ok(Err(Untold::Header(refused))) => {
                self.complain("malformed", peer, &refused.to_string());
                None
            }
            Err(_) => {
                metric::limit_reached("first_head");
                self.complain("timeout", peer, "it did not arrive in time");
                None
            }
        }
    }

    fn complain(&self, outcome: &'static str, peer: Peer, reason: &str) {
        metric::proxy_protocol_refused(outcome);
        let due = self.complaints.lock().unwrap_or_else(PoisonError::into_inner).due();
        if let Some(unreported) = due {
            tracing::warn!(
                peer = peer.ip().map(tracing::field::display),
                reason,
                unreported,
                "connection closed: no valid header of the PROXY protocol"
            );
        }
    }
}

/// Reads the header.
async fn source<T: AsyncRead + Unpin>(stream: &mut T) -> Result<Option<SocketAddr>, Untold> {
    let mut start = [0; START];
    stream.read_exact(&mut start).await?;
    let start = Start::read(start)?;
    let mut rest = vec![0; start.rest()];
    stream.read_exact(&mut rest).await?;
    Ok(start.source(&rest)?)
}
