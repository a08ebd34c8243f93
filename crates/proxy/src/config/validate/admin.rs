//! Checks of `admin`: it shares no port with a public listener; without a token other machines get only probes and metrics.

use super::{Findings, at, listeners::share_port};
use crate::config::{Config, ListenAddr};

pub(super) fn check(config: &Config, found: &mut Findings) {
    let listen = config.admin.listen;
    for address in &config.listen {
        if let ListenAddr::Tcp(address) = address
            && share_port(*address, listen)
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
