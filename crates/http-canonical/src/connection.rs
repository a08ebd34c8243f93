//! The connection that a request arrived on.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;

use crate::{certificate::ClientCertificate, request_id::RequestId};

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A TCP peer.
    Tcp(SocketAddr),
    /// A unix socket, which has no address.
    Unix,
}

impl Peer {
    /// Its address; one that is IPv4 mapped into IPv6 is IPv4.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip().to_canonical()),
            Self::Unix => None,
        }
    }
}

/// The network of an address that one customer of an access provider has: an IPv4 address, or an IPv6 /64. Bounds for each client
/// count by it.
pub fn customer_network(address: IpAddr) -> IpNet {
    match address.to_canonical() {
        IpAddr::V4(address) => IpNet::from(IpAddr::V4(address)),
        IpAddr::V6(address) => {
            let address = IpAddr::V6(address);
            IpNet::new(address, 64).map_or(IpNet::from(address), |network| network.trunc())
        }
    }
}

/// `http` or `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// The scheme as in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The scheme's default port.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The way a request arrived: facts that its bytes do not show.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The other end of the connection.
    pub peer: Peer,
    /// The scheme of the connection.
    pub scheme: Scheme,
    /// The reference number of the request.
    pub request_id: RequestId,
    /// Whether framing saw the head ask for a WebSocket ([`Framing::is_paused`](crate::framing::Framing::is_paused)), so that 101 is a possible answer.
    pub asks_websocket: bool,
    /// The certificate whose key the peer proved to hold in the TLS handshake.
    pub certificate: Option<Arc<ClientCertificate>>,
}
