//! Checks of `routes`, except their rules.

use std::collections::{BTreeMap, BTreeSet};

use super::{Findings, access, at};
use crate::config::problem::KeyPath;
use crate::config::{Config, RouteConfig};
use http_canonical::CanonicalPath;

/// Checks every route, and that no two routes match the same requests.
pub(super) fn check(config: &Config, issuers: &BTreeSet<String>, found: &mut Findings) {
    let here = at(&["routes"]);
    if config.routes.is_empty() {
        let message = "no route, so nothing would be served: write `routes: { app: { match: { path: \
                       / }, upstream: http://app:8000, access: [ { allow: signed_in } ] } }`";
        found.problem(here.clone(), message);
    }
    let mut taken: BTreeMap<(String, String), &str> = BTreeMap::new();
    for (name, route) in &config.routes {
        let here = here.key(name);
        found.name(here.clone(), name);
        matching(&here.key("match"), config, route, found);
        let host = host_of(config, route);
        let place = format!("{host}{}", route.matches.path);
        if let Some(other) = taken.insert((host, compared(&route.matches.path)), name) {
            let message = format!(
                "the same requests as `routes.{other}` ({place}): give one of them \
                                   another `path` or `host`"
            );
            found.problem(here.key("match"), message);
        }
        upstream(&here, config, route, found);
        limits(&here, route, found);
        access::check(&here, route, issuers, found);
    }
}

/// Host of a route; that of `public_url` unless the route names another.
fn host_of(config: &Config, route: &RouteConfig) -> String {
    match &route.matches.host {
        Some(host) => host.to_string(),
        None => config.public_url.host_str().unwrap_or_default().to_owned(),
    }
}

fn matching(here: &KeyPath, config: &Config, route: &RouteConfig, found: &mut Findings) {
    let path = route.matches.path.as_str();
    if found.canonical(here.key("path"), path) && below(path, &config.endpoints) {
        let message = format!(
            "`{path}` belongs to the gateway itself (`endpoints: {}`): choose another path, or move \
             `endpoints`",
            config.endpoints
        );
        found.problem(here.key("path"), message);
    }
}

/// The text that a path is compared as; a path with another fault stays as it is.
fn compared(path: &str) -> String {
    let canonical = CanonicalPath::from_written(path);
    canonical.map_or_else(|_| path.to_owned(), |path| path.compared().to_owned())
}

/// Whether a path is `prefix` or below it, by whole segments.
pub(super) fn below(path: &str, prefix: &str) -> bool {
    let (path, prefix) = (compared(path), compared(prefix));
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn upstream(here: &KeyPath, config: &Config, route: &RouteConfig, found: &mut Findings) {
    if route.upstream.is_empty() && config.trusted_proxies.is_empty() {
        let message = "no `upstream`: write one, such as `http://app:8000`; a route for forward-auth \
                       only needs `trusted_proxies` instead, to know whose questions to answer";
        found.problem(here.key("upstream"), message);
    }
    for (index, upstream) in route.upstream.iter().enumerate() {
        if route.upstream.iter().take(index).any(|earlier| earlier == upstream) {
            found.problem(here.key("upstream"), format!("`{upstream}` is listed twice"));
        }
        if upstream.is_tls() != route.upstream.first().is_some_and(|first| first.is_tls()) {
            let message = format!("`{upstream}`: all upstreams of a route use TLS, or none does");
            found.problem(here.key("upstream"), message);
        }
    }
    let here = here.key("rewrite");
    if let Some(prefix) = &route.rewrite.strip_prefix
        && found.canonical(here.key("strip_prefix"), prefix)
        && !below(&route.matches.path, prefix)
    {
        let path = &route.matches.path;
        let message = format!(
            "not every path of this route begins with `{prefix}`: write `{path}` or a part of it"
        );
        found.problem(here.key("strip_prefix"), message);
    }
    if let Some(prefix) = &route.rewrite.add_prefix {
        found.canonical(here.key("add_prefix"), prefix);
    }
}

fn limits(here: &KeyPath, route: &RouteConfig, found: &mut Findings) {
    let timeouts = here.key("timeouts");
    found.duration(timeouts.key("connect"), route.timeouts.connect);
    found.duration(timeouts.key("response_head"), route.timeouts.response_head);
    found.duration(timeouts.key("idle"), route.timeouts.idle);
    let limits = here.key("limits");
    if route.limits.body.is_some_and(|size| size.0 == 0) {
        let message =
            "zero would refuse every body: write a size, or leave the key out for no bound";
        found.problem(limits.key("body"), message);
    }
    if route.limits.per_user.is_some() {
        let instead = "leave it out; `limits.body` is served";
        found.not_yet(limits.key("per_user"), "limits.per_user", instead);
    }
}
