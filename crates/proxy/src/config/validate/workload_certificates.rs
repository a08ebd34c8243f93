//! Checks of `workload_certificates`: an authority has a name of its own, and its certificates reach the gateway.

use super::{Findings, at};
use crate::config::problem::KeyPath;
use crate::config::{Allow, Config, Requirement};

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
    for (name, route) in &config.routes {
        for (index, rule) in route.access.iter().enumerate() {
            let here = at(&["routes", name, "access"]).item(index).key("allow");
            if let Allow::AnyOf(alternatives) = &rule.allow {
                for (index, one) in alternatives.iter().enumerate() {
                    let alone = alternatives.len() == 1;
                    let here = if alone { here.clone() } else { here.item(index) };
                    requirement(&here, config, one, found);
                }
            }
        }
    }
}

/// A requirement that is about certificates only can ask for their subjects, and for nothing that a token has.
fn requirement(here: &KeyPath, config: &Config, one: &Requirement, found: &mut Findings) {
    let of_certificate = |name: &String| config.workload_certificates.contains_key(name);
    if one.issuers.is_empty() || !one.issuers.iter().all(of_certificate) {
        return;
    }
    for (key, absent) in [
        ("users", one.users.is_empty()),
        ("emails", one.emails.is_empty()),
        ("email_domains", one.email_domains.is_empty()),
        ("roles", one.roles.is_empty()),
        ("groups", one.groups.is_empty()),
        ("scopes", one.scopes.is_empty()),
        ("clients", one.clients.is_empty()),
        ("claims", one.claims.is_empty()),
        ("acr", one.acr.is_empty()),
        ("max_age", one.max_age.is_none()),
    ] {
        if !absent {
            let message = "invalid for certificates: they have none, so no caller meets this; write `subjects` instead";
            found.problem(here.key(key), message);
        }
    }
    if one.subjects.is_empty() {
        let message = "missing `subjects`: this rule lets every holder of a certificate of the authority in; write `subjects: [PATTERN]`";
        found.warning(here.clone(), message);
    }
}
