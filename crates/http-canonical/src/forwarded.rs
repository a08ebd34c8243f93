//! Origin of a request behind proxies ([RFC 7239], and the `X-Forwarded-*` it replaces).
//!
//! The fields are ignored unless the peer is a trusted proxy. Then the chain is read from its near end: every trusted address
//! is a proxy, and the first that is not trusted is the client. The rest of the chain was written by the client and is ignored.
//!
//! [RFC 7239]: https://www.rfc-editor.org/rfc/rfc7239

mod origin_fields;

pub use origin_fields::OriginFields;

use std::{net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, header::FORWARDED};
use ipnet::IpNet;

use crate::{
    connection::{Peer, Scheme},
    host::HostRefusal,
    refusal::RequestRefusal,
};

/// `x-forwarded-for`
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `x-forwarded-proto`
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `x-forwarded-host`
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The trusted proxies. A clone is the same list: [`Trust::replace`] reaches all of them.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    proxies: Arc<ArcSwap<Proxies>>,
}

#[derive(Debug, Default)]
struct Proxies {
    networks: Vec<IpNet>,
    unix: bool,
    certificates: bool,
}

impl Trust {
    /// Trusts no proxy: the default.
    pub fn none() -> Self {
        Self::default()
    }

    /// Trusts peers in these networks.
    pub fn new(proxies: Vec<IpNet>) -> Self {
        let trust = Self::default();
        trust.replace(proxies, false);
        trust
    }

    /// Replaces the list, for a new configuration. With `unix`, peers on the gateway's own unix sockets are trusted, whose files
    /// only their users can open.
    pub fn replace(&self, networks: Vec<IpNet>, unix: bool) {
        self.replace_all(networks, unix, false);
    }

    /// The same. With `certificates`, all these proxies write `Client-Cert` (RFC 9440) or remove it: one that passes on what its
    /// client wrote would let the client choose its certificate.
    pub fn replace_all(&self, networks: Vec<IpNet>, unix: bool, certificates: bool) {
        self.proxies.store(Arc::new(Proxies { networks, unix, certificates }));
    }

    /// Whether trusted peers state the certificates of their clients.
    pub(crate) fn takes_certificates(&self) -> bool {
        self.proxies.load().certificates
    }

    /// Whether a peer is trusted.
    pub fn trusts(&self, peer: Peer) -> bool {
        match peer {
            Peer::Unix => self.proxies.load().unix,
            Peer::Tcp(_) => peer.ip().is_some_and(|address| self.trusts_address(address)),
        }
    }

    fn trusts_address(&self, address: IpAddr) -> bool {
        self.proxies.load().networks.iter().any(|network| network.contains(&address))
    }
}

/// Origin of a request, as far as trusted proxies state it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// The client first, the peer last; empty for a peer without an address.
    pub(super) chain: Vec<IpAddr>,
    pub(super) scheme: Option<Scheme>,
    /// The host, unparsed.
    pub(super) host: Option<String>,
}

impl Origin {
    /// Reads the forwarding fields of a request from `peer`.
    ///
    /// # Errors
    ///
    /// [`RequestRefusal::TwoForwardedHosts`], [`RequestRefusal::ForwardedHost`] and [`RequestRefusal::Forwarded`]: the host
    /// chooses the route, and a client must not be able to have the proxy's statement ignored.
    pub(super) fn of(
        headers: &HeaderMap,
        peer: Peer,
        trust: &Trust,
    ) -> Result<Self, RequestRefusal> {
        let own: Vec<IpAddr> = peer.ip().into_iter().collect();
        if !trust.trusts(peer) {
            return Ok(Self { chain: own, scheme: None, host: None });
        }
        let elements = Element::all(headers)?;
        let legacy = trusted_end(&own, addresses(headers), trust);
        let standard =
            trusted_end(&own, elements.iter().map(|element| element.node.as_deref()), trust);
        let chain = match (headers.contains_key(X_FORWARDED_FOR), elements.is_empty()) {
            (true, true) => legacy,
            (false, _) => standard,
            (true, false) if legacy == standard => legacy,
            // One of them was not written by the proxy; which one is unknown.
            (true, false) => own,
        };
        let nearest = elements.last();
        let of_nearest =
            |read: fn(&Element) -> &Option<String>| nearest.and_then(|n| read(n).clone());
        let proto = agreed(last(headers, &X_FORWARDED_PROTO), of_nearest(|element| &element.proto));
        let legacy = last(headers, &X_FORWARDED_HOST);
        if legacy.is_none() && headers.contains_key(X_FORWARDED_HOST) {
            return Err(RequestRefusal::ForwardedHost(HostRefusal::Name));
        }
        let host = match (legacy, of_nearest(|element| &element.host)) {
            (Some(one), Some(other)) if !one.eq_ignore_ascii_case(&other) => {
                return Err(RequestRefusal::TwoForwardedHosts);
            }
            (one, other) => one.or(other),
        };
        Ok(Self { chain, scheme: proto.and_then(|proto| scheme(&proto)), host })
    }
}

/// The value that two fields agree on. Where they differ, one was not written by the proxy, and which one is unknown.
fn agreed(legacy: Option<String>, standard: Option<String>) -> Option<String> {
    match (legacy, standard) {
        (Some(one), Some(other)) if !one.eq_ignore_ascii_case(&other) => None,
        (one, other) => one.or(other),
    }
}

/// The chain from its near end up to and including the first address that is not trusted.
fn trusted_end<'a>(
    own: &[IpAddr],
    given: impl DoubleEndedIterator<Item = Option<&'a str>>,
    trust: &Trust,
) -> Vec<IpAddr> {
    let mut chain = own.to_vec();
    for node in given.rev() {
        let Some(address) = node.and_then(address) else { break };
        chain.push(address);
        if !trust.trusts_address(address) {
            break;
        }
    }
    chain.reverse();
    chain
}

/// An address, with or without brackets and port.
fn address(node: &str) -> Option<IpAddr> {
    let bare = match node.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None if node.matches(':').count() == 1 => node.split_once(':')?.0,
        None => node,
    };
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn addresses(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = Option<&str>> {
    let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
    let nodes: Vec<Option<&str>> = lines
        .into_iter()
        .flat_map(|line| line.to_str().unwrap_or_default().split(','))
        .map(|node| Some(node.trim()))
        .collect();
    nodes.into_iter()
}

/// The nearest proxy's value: the last member of the last line; `None` too if that line is not text.
fn last(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let line = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    line.rsplit(',').next().map(|word| word.trim().to_owned())
}

fn scheme(proto: &str) -> Option<Scheme> {
    match proto.to_ascii_lowercase().as_str() {
        "https" | "wss" => Some(Scheme::Https),
        "http" | "ws" => Some(Scheme::Http),
        _ => None,
    }
}

/// One hop of `Forwarded`.
#[derive(Debug, Default)]
pub(super) struct Element {
    node: Option<String>,
    proto: Option<String>,
    pub(super) host: Option<String>,
}

impl Element {
    /// Every hop, the nearest last. Proxies append to the line that a client began, so that a quote the client left open would
    /// swallow the proxy's part. Such a line is refused, and so is a parameter that occurs twice (RFC 7239 §4).
    pub(super) fn all(headers: &HeaderMap) -> Result<Vec<Self>, RequestRefusal> {
        let mut elements = Vec::new();
        for line in headers.get_all(FORWARDED) {
            let line = line.to_str().map_err(|_| RequestRefusal::Forwarded)?;
            for element in unquoted(line, ',').ok_or(RequestRefusal::Forwarded)? {
                // RFC 9110 §5.6.1.2: empty list members are ignored.
                if !element.trim().is_empty() {
                    elements.push(Self::parse(element).ok_or(RequestRefusal::Forwarded)?);
                }
            }
        }
        Ok(elements)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut element = Self::default();
        for pair in unquoted(text, ';')? {
            let Some((name, value)) = pair.split_once('=') else { continue };
            let field = match name.trim().to_ascii_lowercase().as_str() {
                "for" => &mut element.node,
                "proto" => &mut element.proto,
                "host" => &mut element.host,
                _ => continue,
            };
            if field.replace(plain(value.trim())?).is_some() {
                return None;
            }
        }
        Some(element)
    }
}

/// A token, or the content of a quoted string (RFC 9110 §5.6.4).
fn plain(value: &str) -> Option<String> {
    let Some(quoted) = value.strip_prefix('"') else {
        return (!value.contains('"')).then(|| value.to_owned());
    };
    let mut text = String::with_capacity(quoted.len());
    let mut rest = quoted.chars();
    loop {
        match rest.next()? {
            '"' => return rest.as_str().is_empty().then_some(text),
            '\\' => text.push(rest.next()?),
            character => text.push(character),
        }
    }
}

/// Splits at a separator outside quotes; `None` if a quote is left open.
fn unquoted(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text
        .split(|character| {
            let literal = escaped;
            escaped = quoted && !literal && character == '\\';
            quoted ^= character == '"' && !literal;
            character == separator && !quoted
        })
        .collect();
    (!quoted).then_some(parts)
}

#[cfg(test)]
mod tests;
