//! Checks of `admin`: it shares no port with a public listener; without a token other machines get only probes and metrics.

use std::net::SocketAddr;

use super::{Findings, at};
use crate::config::{Config, ListenAddr};

pub(super) fn check(config: &Config, found: &mut Findings) {
    let listen = config.admin.listen;
    for address in &config.listen {
        if let ListenAddr::Tcp(address) = address
            && collide(*address, listen)
        {
            let message = format!(
                "invalid address `{listen}`: the public listener uses it (`{address}`); choose another port"
            );
            found.problem(at(&["admin"]), message);
        }
    }
    // An open listener that serves only probes and metrics is a valid configuration: only a warning.
    if !listen.ip().to_canonical().is_loopback() && config.admin.token.is_none() {
        let message = format!(
            "missing `admin.token`: other machines reach `{listen}`, so only `/healthz`, `/readyz` and \
             `/metrics` are served there; for the sessions write \
             `admin: {{ listen: \"{listen}\", token: {{ file: PATH }} }}`"
        );
        found.warning(at(&["admin"]), message);
    }
}

fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && one.port() != 0
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}
