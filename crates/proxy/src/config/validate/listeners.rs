//! Checks of the listeners: none shares an address with another, and each is as open as its purpose allows.

use std::net::SocketAddr;

use super::{Findings, KeyPath, at};
use crate::config::{Config, ListenAddr};

pub(super) fn check(config: &Config, found: &mut Findings) {
    redirect(config, found);
    ext_authz(config, found);
    if config.proxy_protocol && config.trusted_proxies.is_empty() {
        let message = "missing `trusted_proxies`: the header is taken from no peer, so every connection would be closed; name the \
                       networks of the proxies, such as `trusted_proxies: [10.0.0.0/8]`";
        found.problem(at(&["proxy_protocol"]), message);
    }
}

fn redirect(config: &Config, found: &mut Findings) {
    let here = at(&["redirect"]);
    if !config.redirect.is_empty() && config.public_url.scheme() != "https" {
        let message = "no address to redirect to: `public_url` is plain http; write an https URL there, or omit `redirect`";
        found.problem(here.clone(), message);
    }
    for (index, address) in config.redirect.iter().enumerate() {
        let earlier = config.redirect.iter().take(index);
        let others = earlier
            .map(|other| ("redirect", other))
            .chain(config.listen.iter().map(|other| ("listen", other)));
        taken(&here, address, others, config, found);
    }
}

fn ext_authz(config: &Config, found: &mut Findings) {
    let Some(own) = &config.ext_authz else { return };
    let here = at(&["ext_authz", "listen"]);
    let others = config.listen.iter().map(|other| ("listen", other));
    let others = others.chain(config.redirect.iter().map(|other| ("redirect", other)));
    taken(&here, &own.listen, others, config, found);
    match (&own.listen, &own.tls) {
        (ListenAddr::Tcp(address), None) if !address.ip().to_canonical().is_loopback() => {
            let message = format!(
                "invalid address `{address}`: other machines reach it, and the program that asks chooses the request that the rules see; \
                 listen on loopback or on a unix socket, or write \
                 `tls: {{ certificate: …, key: …, client_ca: … }}`"
            );
            found.problem(here, message);
        }
        (ListenAddr::Unix(_), Some(_)) => {
            let message =
                "unsupported `tls` on a unix socket: its file decides who may ask; omit `tls`";
            found.problem(at(&["ext_authz", "tls"]), message);
        }
        _ => {}
    }
}

/// Adds a problem for an address that another listener has.
fn taken<'a>(
    here: &KeyPath,
    address: &ListenAddr,
    others: impl Iterator<Item = (&'static str, &'a ListenAddr)>,
    config: &Config,
    found: &mut Findings,
) {
    let mut complain = |key: &str, other: &ListenAddr| {
        if collide(address, other) {
            let message = format!(
                "invalid address `{address}`: `{key}` uses it (`{other}`); choose another one"
            );
            found.problem(here.clone(), message);
        }
    };
    others.for_each(|(key, other)| complain(key, other));
    complain("admin", &ListenAddr::Tcp(config.admin.listen));
}

fn collide(one: &ListenAddr, other: &ListenAddr) -> bool {
    match (one, other) {
        (ListenAddr::Tcp(one), ListenAddr::Tcp(other)) => share_port(*one, *other),
        (one, other) => one == other,
    }
}

/// Whether two addresses cannot both be listened on.
pub(super) fn share_port(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && one.port() != 0
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}
