//! Checks of `workload_certificates`: an authority has a name of its own, and its certificates reach the gateway.

use super::{Findings, at};
use crate::config::Config;

pub(super) fn check(config: &Config, found: &mut Findings) {
    let here = at(&["workload_certificates"]);
    let asked = config.tls.iter().any(|pair| pair.client_ca.is_some());
    if !config.workload_certificates.is_empty() && !asked && !config.client_cert_header {
        let message = "missing `client_ca`: no client is asked for a certificate; write it in `tls`, or `client_cert_header: true` behind a proxy that ends TLS";
        found.problem(here.clone(), message);
    }
    for name in config.workload_certificates.keys() {
        found.name(here.key(name), name);
        if config.issuers.contains_key(name) {
            let message = format!(
                "invalid name `{name}`: `issuers.{name}` has it too, so that a rule does not name one of them; choose another"
            );
            found.problem(here.key(name), message);
        }
    }
}
