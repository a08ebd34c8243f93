//! Checks of `mcp` and of rules about messages.

use access_policy::NamePattern;
use url::Url;

use super::{Findings, is_loopback};
use crate::config::problem::KeyPath;
use crate::config::{BearerTokens, Config, HostPattern, Profile, RouteConfig, SentAccessToken};

/// Checks one route.
pub(super) fn check(here: &KeyPath, config: &Config, route: &RouteConfig, found: &mut Findings) {
    messages(&here.key("access"), route, found);
    let Some(mcp) = &route.mcp else { return };
    let at = here.key("mcp");
    resource(&at.key("resource"), &mcp.resource, config, route, found);
    for scope in &mcp.scopes {
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        if scope.is_empty() || !scope.bytes().all(plain) {
            let message = format!(
                "invalid scope {scope:?}: a scope has no space, quote or backslash (RFC 6749 §3.3); write each as an item of the list"
            );
            found.problem(at.key("scopes"), message);
        }
    }
    if config.issuers.values().all(|issuer| issuer.profile == Profile::Workload) {
        let message = "invalid `mcp`: no issuer is left at which a client could ask for a token; add one to `issuers`, other than `profile: workload`";
        found.problem(at.clone(), message);
    }
    if route.upstream.is_empty() {
        let message = "invalid `mcp`: without `upstream` the gateway sees no message; write the server, such as `http://warehouse-mcp:9000`";
        found.problem(at, message);
    }
    let others = [
        ("audience", !route.audience.is_empty(), "tokens are for `mcp.resource` alone"),
        (
            "bearer",
            route.bearer != BearerTokens::Gateway,
            "tokens are for the gateway, which verifies them",
        ),
        ("basic", route.basic, "clients of MCP send `Bearer`"),
    ];
    for (key, is_set, reason) in others {
        if is_set {
            found
                .problem(here.key(key), format!("invalid `{key}` beside `mcp`: {reason}; omit it"));
        }
    }
    if route.identity.access_token == SentAccessToken::Own {
        let message = "invalid `access_token` beside `mcp`: a server must not receive the token that a client sent (MCP, token passthrough); write `assertion: true`";
        found.problem(here.key("identity").key("access_token"), message);
    }
}

fn resource(
    here: &KeyPath,
    resource: &Url,
    config: &Config,
    route: &RouteConfig,
    found: &mut Findings,
) {
    let is_plain =
        resource.scheme() == "https" || (resource.scheme() == "http" && is_loopback(resource));
    if !is_plain {
        found.problem(
            here.clone(),
            format!("unsupported scheme `{}`; use `https`", resource.scheme()),
        );
        return;
    }
    if resource.query().is_some()
        || resource.fragment().is_some()
        || !resource.username().is_empty()
    {
        let message =
            "invalid resource: it has a query, a fragment or a user; write origin and path alone";
        found.problem(here.clone(), message);
        return;
    }
    let host = match &route.matches.host {
        Some(HostPattern::Exact(host)) => Some(host.as_str()),
        Some(HostPattern::Below(_)) => None,
        None => config.public_url.host_str(),
    };
    let own_path = route.matches.path.trim_end_matches('/');
    if host != resource.host_str() || resource.path().trim_end_matches('/') != own_path {
        let shown = host.unwrap_or("HOST");
        let message = format!(
            "invalid resource `{resource}`: it is not the URL of this route, where clients look for it; write `{}://{shown}{own_path}`, with the port if there is one",
            resource.scheme()
        );
        found.problem(here.clone(), message);
    }
}

/// Rules that speak of messages.
fn messages(here: &KeyPath, route: &RouteConfig, found: &mut Findings) {
    for (index, rule) in route.access.iter().enumerate() {
        let here = here.item(index);
        for (key, patterns) in [("mcp_methods", &rule.mcp_methods), ("tools", &rule.tools)] {
            if !patterns.is_empty() && route.mcp.is_none() {
                let message = format!(
                    "invalid `{key}`: the route has no `mcp`; write `mcp: {{ resource: https://HOST{} }}` on it",
                    route.matches.path
                );
                found.problem(here.key(key), message);
            }
            for pattern in patterns {
                if let Err(error) = pattern.parse::<NamePattern>() {
                    found.problem(here.key(key), format!("{error}; write such as `query_*`"));
                }
            }
        }
        let calls = |method: &String| {
            method.parse::<NamePattern>().is_ok_and(|method| method.matches("tools/call"))
        };
        if !rule.tools.is_empty()
            && !rule.mcp_methods.is_empty()
            && !rule.mcp_methods.iter().any(calls)
        {
            let message = "invalid rule: `tools` are called by `tools/call`, which is not among its `mcp_methods`, so that it applies to no message; omit `mcp_methods`";
            found.problem(here.key("mcp_methods"), message);
        }
    }
}
