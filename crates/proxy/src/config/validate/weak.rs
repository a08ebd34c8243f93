//! Warnings about settings that are valid and weak: wide networks, long lifetimes, plain http over public networks.
//!
//! Weak secrets are found in `named_files`, which reads them.

use std::net::IpAddr;
use std::time::Duration;

use super::{Findings, at};
use crate::config::{
    Config, RouteConfig, TrustedProxy, UpstreamAddress, UpstreamProtocol, UpstreamUrl,
};

/// Longest usual lifetime of a session.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Last labels of names that no public resolver answers.
const INSIDE: [&str; 9] =
    ["svc", "local", "internal", "lan", "home.arpa", "localhost", "test", "invalid", "intranet"];

/// Checks everything that one key alone can weaken.
pub(super) fn check(config: &Config, found: &mut Findings) {
    for proxy in &config.trusted_proxies {
        if let TrustedProxy::Network(network) = proxy
            && let Some(message) = wide(network.addr(), network.prefix_len())
        {
            found.warning(at(&["trusted_proxies"]), format!("`{network}` {message}"));
        }
    }
    if config.session.lifetime > DAY {
        let lifetime = humantime::format_duration(config.session.lifetime);
        let message = format!(
            "a session lives for {lifetime}: a stolen cookie is of use for as long; a day or less is usual, such as `12h`"
        );
        found.warning(at(&["session", "lifetime"]), message);
    }
    for (name, route) in &config.routes {
        plain_upstreams(name, route, found);
    }
}

/// Reason a network of proxies is too wide.
fn wide(address: IpAddr, prefix: u8) -> Option<&'static str> {
    // The largest private networks are 10.0.0.0/8 and fc00::/7.
    match (address, prefix) {
        (_, 0) => Some(
            "trusts the `X-Forwarded-*` headers of every client; write the networks of the proxies",
        ),
        (IpAddr::V4(_), 1..8) | (IpAddr::V6(_), 1..7) => Some(
            "trusts the `X-Forwarded-*` headers of more addresses than any private network has; write the networks of the proxies",
        ),
        _ => None,
    }
}

/// Warns of upstreams that are reached by plain http and are not known to be near.
fn plain_upstreams(name: &str, route: &RouteConfig, found: &mut Findings) {
    let here = at(&["routes", name, "upstream"]);
    for upstream in route.upstream.iter().filter(|upstream| is_far(upstream)) {
        let sent = if route.identity.access_token.is_sent() || route.identity.credentials.is_some()
        {
            "requests, and the token or password that this route adds,"
        } else {
            "requests and what they say about the user"
        };
        let message = format!(
            "`{upstream}` is plain http over a network that others may share: {sent} can be read and changed on the way; use `https`"
        );
        found.warning(here.clone(), message);
    }
}

/// Whether an upstream is reached in clear text, at a public address or by a name of the public DNS.
fn is_far(upstream: &UpstreamUrl) -> bool {
    let clear = matches!(upstream.protocol(), UpstreamProtocol::Http | UpstreamProtocol::H2c);
    let UpstreamAddress::Tcp { host, .. } = upstream.address() else { return false };
    clear
        && match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(IpAddr::V4(address)) => {
                let [first, second, ..] = address.octets();
                // 100.64.0.0/10, which carriers and some clusters use (RFC 6598).
                let shared = first == 100 && second & 0xc0 == 64;
                !(address.is_private()
                    || address.is_loopback()
                    || address.is_link_local()
                    || address.is_unspecified()
                    || shared)
            }
            Ok(IpAddr::V6(address)) => {
                !(address.is_loopback()
                    || address.is_unique_local()
                    || address.is_unicast_link_local()
                    || address.is_unspecified())
            }
            // A name without a dot, or below one of those above, is of the network that the gateway is in.
            Err(_) => {
                let name = host.trim_end_matches('.');
                let inside =
                    |end: &str| name.strip_suffix(end).is_some_and(|rest| rest.ends_with('.'));
                // A name of a Service and its namespace has one dot: `churn.models`.
                name.matches('.').count() > 1 && !INSIDE.iter().any(|end| inside(end))
            }
        }
}
