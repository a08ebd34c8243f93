//! Proxies whose forwarding fields are trusted.

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;

use super::text::written_as_text;

/// A network of proxies, or the peers on the gateway's own unix sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedProxy {
    /// Peers in a network.
    Network(IpNet),
    /// `unix`: peers on unix sockets. The permissions of the socket's file decide about them.
    Unix,
}

/// Reason a text is not a trusted proxy.
#[derive(Debug, thiserror::Error)]
#[error(
    "invalid value `{text}`; write a network, such as `10.0.0.0/8`, or `10.0.0.7/32` for one address, or `unix`"
)]
pub struct TrustedProxyError {
    text: String,
}

impl TrustedProxy {
    /// The networks among them, and whether `unix` is.
    pub(crate) fn split(all: &[Self]) -> (Vec<IpNet>, bool) {
        let network = |one: &Self| match one {
            Self::Network(network) => Some(*network),
            Self::Unix => None,
        };
        (all.iter().filter_map(network).collect(), all.contains(&Self::Unix))
    }
}

impl FromStr for TrustedProxy {
    type Err = TrustedProxyError;

    fn from_str(text: &str) -> Result<Self, TrustedProxyError> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        let network = text.parse().map(Self::Network);
        network.map_err(|_| TrustedProxyError { text: text.to_owned() })
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

written_as_text!(TrustedProxy, "a network of proxies, or `unix`", "10.0.0.0/8");
