//! Checks of `upstream_tls` and `upstream_host`.

use rustls_pki_types::ServerName;

use super::Findings;
use crate::config::problem::KeyPath;
use crate::config::{RouteConfig, UpstreamHost, UpstreamTlsConfig};

/// Checks that the keys fit each other and the upstream.
pub(super) fn check(here: &KeyPath, route: &RouteConfig, found: &mut Findings) {
    if route.upstream.is_empty() && route.upstream_host != UpstreamHost::Client {
        let message =
            "missing `upstream`: this route sends no request; write one, or omit `upstream_host`";
        found.problem(here.key("upstream_host"), message);
    }
    let tls = &route.upstream_tls;
    let is_tls = route.upstream.iter().any(crate::config::UpstreamUrl::is_tls);
    if *tls != UpstreamTlsConfig::default() && !is_tls {
        let message =
            "invalid `upstream_tls`: the upstream does not use TLS; write it as `https:` or `h2:`";
        found.problem(here.key("upstream_tls"), message);
    }
    keys(&here.key("upstream_tls"), tls, found);
}

/// Checks that the keys fit each other.
pub(super) fn keys(here: &KeyPath, tls: &UpstreamTlsConfig, found: &mut Findings) {
    if !tls.pin.is_empty() && tls.ca_file.is_some() {
        let message = "invalid `pin`: it is trusted instead of `ca_file`; omit one of them";
        found.problem(here.key("pin"), message);
    }
    if tls.client_certificate.is_some() != tls.client_key.is_some() {
        let (has, lacks) = match tls.client_key {
            None => ("client_certificate", "client_key"),
            Some(_) => ("client_key", "client_certificate"),
        };
        let message = format!("missing `{lacks}`: write it beside `{has}`, or omit both");
        found.problem(here.key(has), message);
    }
    if let Some(name) = &tls.server_name
        && ServerName::try_from(name.as_str()).is_err()
    {
        let message = format!(
            "invalid name `{name}`: no certificate can have it; write a host name without a port, such as `console.internal`"
        );
        found.problem(here.key("server_name"), message);
    }
}
