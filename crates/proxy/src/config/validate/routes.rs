//! Checks of `routes`, except their rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Findings, access, answers, at, callers, exchange, identity, mcp, upstream_tls, workloads,
};
use crate::config::problem::KeyPath;
use crate::config::{Config, PerUserLimits, RouteConfig};
use http_canonical::CanonicalPath;

/// Checks every route, and that no two routes match the same requests.
pub(super) fn check(config: &Config, issuers: &BTreeSet<String>, found: &mut Findings) {
    let here = at(&["routes"]);
    if config.routes.is_empty() {
        let message = "missing route; write `routes: { app: { match: { path: / }, upstream: http://app:8000, \
                       access: [ { allow: signed_in } ] } }`";
        found.problem(here.clone(), message);
    }
    let mut taken: BTreeMap<(String, String), &str> = BTreeMap::new();
    for (name, route) in &config.routes {
        let here = here.key(name);
        found.name(here.clone(), name);
        matching(&here.key("match"), config, route, found);
        let host = host_of(config, route);
        let requests = format!("{host}{}", route.matches.path);
        if let Some(other) = taken.insert((host, compared(&route.matches.path)), name) {
            let message = format!(
                "invalid match: `routes.{other}` has the same requests ({requests}); give one of them \
                 another `path` or `host`"
            );
            found.problem(here.key("match"), message);
        }
        upstream(&here, config, route, found);
        upstream_tls::check(&here, route, found);
        limits(&here, route, found);
        health(&here, route, found);
        callers::check(&here, config, route, found);
        identity::check(&here, route, found);
        exchange::route(&here, config, route, found);
        answers::check(&here, route, found);
        access::check(&here, route, issuers, found);
        mcp::check(&here, config, route, found);
        workloads::check(&here, config, route, found);
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
            "invalid path `{path}`: the gateway's own URLs are there (`endpoints: {}`); choose another \
             path, or move `endpoints`",
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
    let asked = !config.trusted_proxies.is_empty() || config.ext_authz.is_some();
    if route.upstream.is_empty() && !asked {
        let message = "missing `upstream`; write one, such as `http://app:8000`, or, for a route that \
                       serves forward-auth only, name the proxies that ask in `trusted_proxies`, or open `ext_authz` for Envoy";
        found.problem(here.key("upstream"), message);
    }
    for (index, upstream) in route.upstream.iter().enumerate() {
        if route.upstream.iter().take(index).any(|earlier| earlier == upstream) {
            found.problem(
                here.key("upstream"),
                format!("invalid list: `{upstream}` occurs twice; remove one"),
            );
        }
        if upstream.is_tls() != route.upstream.first().is_some_and(|first| first.is_tls()) {
            let message = format!(
                "invalid list: `{upstream}` and the first upstream differ in TLS; use it for all of them or \
                 for none"
            );
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
            "invalid prefix `{prefix}`: not every path of this route begins with it; write `{path}` or a part of it"
        );
        found.problem(here.key("strip_prefix"), message);
    }
    if let Some(prefix) = &route.rewrite.add_prefix {
        found.canonical(here.key("add_prefix"), prefix);
    }
}

fn health(here: &KeyPath, route: &RouteConfig, found: &mut Findings) {
    let Some(health) = &route.health else { return };
    let here = here.key("health");
    found.canonical(here.key("path"), &health.path);
    if health.interval < Duration::from_secs(1) {
        let message = "invalid interval: shorter than a second; write a duration such as `10s`";
        found.problem(here.key("interval"), message);
    } else {
        found.duration(here.key("interval"), health.interval);
    }
    if route.upstream.is_empty() {
        let message = "invalid `health`: the route has no `upstream` to check; omit it";
        found.problem(here, message);
    }
}

fn limits(here: &KeyPath, route: &RouteConfig, found: &mut Findings) {
    let timeouts = here.key("timeouts");
    found.duration(timeouts.key("connect"), route.timeouts.connect);
    found.duration(timeouts.key("response_head"), route.timeouts.response_head);
    found.duration(timeouts.key("idle"), route.timeouts.idle);
    if route.websocket.ping.every().is_some_and(|interval| interval < Duration::from_secs(1)) {
        let message =
            "invalid interval: shorter than a second; write a duration such as `30s`, or `never`";
        found.problem(here.key("websocket").key("ping"), message);
    }
    let limits = here.key("limits");
    if route.limits.body.is_some_and(|size| size.0 == 0) {
        let message =
            "invalid size: zero refuses every body; write a size, or omit the key for no limit";
        found.problem(limits.key("body"), message);
    }
    if let Some(per_user) = route.limits.per_user {
        per_user_limits(per_user, &limits.key("per_user"), found);
        if per_user.tokens_per_day.is_some() && route.usage.is_none() {
            let message = "invalid `tokens_per_day`: without `usage` the gateway does not know the tokens of an answer; write `usage: openai` on the route";
            found.problem(limits.key("per_user").key("tokens_per_day"), message);
        }
    }
}

fn per_user_limits(limits: PerUserLimits, here: &KeyPath, found: &mut Findings) {
    let bounds = [
        ("requests_per_second", limits.requests_per_second.map(u64::from)),
        ("concurrent_requests", limits.concurrent_requests.map(u64::from)),
        ("concurrent_streams", limits.concurrent_streams.map(u64::from)),
        ("tokens_per_day", limits.tokens_per_day),
    ];
    if bounds.iter().all(|(_, most)| most.is_none()) {
        let message = "missing bound; write `requests_per_second`, `concurrent_requests` or `concurrent_streams`, or omit `per_user`";
        found.problem(here.clone(), message);
    }
    for (name, _) in bounds.iter().filter(|(_, most)| *most == Some(0)) {
        let message = "invalid number: zero refuses every user; write a number from 1, or omit the key for no limit";
        found.problem(here.key(name), message);
    }
}
