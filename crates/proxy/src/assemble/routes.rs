//! Builds the routes of the application from the configured routes. Needs no network.

use crate::{
    config::{self, Config, HostPattern, ListenAddr, RouteConfig, SentGroups, TokenExchange},
    endpoints::browser_scheme,
    mcp::Resource,
    metric::{self, RouteMeters},
    route::{Route, Routes},
    upstream::{HealthCheck, Rewrite, Upstream, UpstreamTls},
};
use std::{collections::BTreeSet, sync::Arc};

use access_policy::{Messages, NamePattern, Policy};
use http_canonical::{CanonicalPath, Keep};
use m2m::Exchange;
use web_sessions::OwnNames;

use super::{AssembleError, Before, at, fields};

/// Makes one route.
///
/// # Errors
///
/// The key of the route that cannot be applied, and the reason.
pub fn route(name: &str, route: &RouteConfig, config: &Config) -> Result<Route, AssembleError> {
    route_after(name, route, config, 0, None)
}

/// Makes one route that keeps the targets of an earlier one, with their connections and their health, if they are reached in
/// the same way.
fn route_after(
    name: &str,
    route: &RouteConfig,
    config: &Config,
    workers: usize,
    before: Option<Before<'_>>,
) -> Result<Route, AssembleError> {
    let place = |key: &str| format!("routes.{name}.{key}");
    let own_host = config.public_url.host_str().unwrap_or_default();
    let path = |text: &Option<String>, key: &str| {
        text.as_deref()
            .map(|text| CanonicalPath::parse(text, Keep::ALL).map_err(at(place(key))))
            .transpose()
    };
    let upstream = if route.upstream.is_empty() {
        None
    } else {
        let rewrite = Rewrite {
            strip_prefix: path(&route.rewrite.strip_prefix, "rewrite.strip_prefix")?,
            add_prefix: path(&route.rewrite.add_prefix, "rewrite.add_prefix")?,
            own_urls: Some(
                CanonicalPath::parse(&config.endpoints, Keep::default())
                    .map_err(at("endpoints"))?,
            ),
            prefix_is_resource: route.access.iter().any(|rule| {
                let path = rule.path.as_ref().map(|path| path.0.as_str());
                path.is_some() && path == route.rewrite.strip_prefix.as_deref()
            }),
        };
        let tls =
            UpstreamTls::configured(&route.upstream_tls).map_err(at(place("upstream_tls")))?;
        let kept = before.and_then(|before| same_way(name, route, config, before));
        let kept = kept.and_then(|kept| kept.upstream.as_ref());
        let upstream = Upstream::after(kept, &route.upstream, &tls)
            .map_err(at(place("upstream")))?
            .with_workers(workers)
            .with_host(&route.upstream_host)
            .with_meters(name)
            .with_check(check(route, config))
            .with_own_cookies(OwnNames::new(&config.session.cookie_name))
            .with_rewrite(rewrite);
        Some(upstream)
    };
    let policy = policy(name, route)?;
    let here = format!("routes.{name}");
    Ok(Route {
        name: name.to_owned(),
        meters: RouteMeters::new(name).with_workloads(name, &policy),
        underscores: route.headers.underscores,
        underscored: metric::underscored(name),
        title: route.title.clone().unwrap_or_else(|| name.to_owned()),
        host: route
            .matches
            .host
            .clone()
            .unwrap_or_else(|| HostPattern::Exact(own_host.to_ascii_lowercase())),
        prefix: CanonicalPath::parse(&route.matches.path, Keep::default())
            .map_err(at(place("match.path")))?,
        browser_scheme: browser_scheme(&config.public_url),
        keep: Keep {
            encoded_slash: route.paths.encoded_slash == config::Keep::Keep,
            double_slash: route.paths.double_slash == config::Keep::Keep,
            double_encoded: route.paths.double_encoded == config::Keep::Keep,
        },
        sign_in: route.sign_in,
        bearer: route.bearer,
        basic: route.basic,
        registry: route
            .registry_tokens
            .then(|| format!("{}/registry_token", config.endpoints.trim_end_matches('/'))),
        audience: audience(route),
        origins: route.origins.clone(),
        cors: fields::cors(&here, route)?,
        portal: route.portal.clone(),
        groups: (route.identity.groups == SentGroups::Matching).then(|| Arc::new(groups(route))),
        policy,
        identity: route.identity.clone(),
        exchange: route.identity.access_token.exchange().map(|wanted| Arc::new(exchange(wanted))),
        set: fields::set(&here, route)?,
        reserved: fields::reserved(&here, route, config)?,
        credentials: fields::credentials(&here, route)?,
        response: fields::response(&here, &route.headers.response, config)?,
        timeouts: route.timeouts,
        streams: route.streams,
        ping: route.websocket.ping,
        signed_out: route.signed_out,
        body_limit: route.limits.body.map(|size| size.0),
        per_user: route.limits.per_user,
        usage: route.usage,
        mcp: resource(route, config),
        upstream,
    })
}

/// The exchange that a route asks for.
pub(super) fn exchange(wanted: &TokenExchange) -> Exchange {
    let exchange = Exchange::new().with_audience(&wanted.audience);
    match wanted.scopes.as_slice() {
        [] => exchange,
        scopes => exchange.with_scope(&scopes.join(" ")),
    }
}

/// The health check of a route, with a host that its requests ask for.
fn check(route: &RouteConfig, config: &Config) -> Option<HealthCheck> {
    let health = route.health.as_ref()?;
    let host = match &route.matches.host {
        Some(HostPattern::Exact(host)) => host.clone(),
        Some(HostPattern::Below(parent)) => format!("health.{parent}"),
        None => config.public_url.host_str().unwrap_or_default().to_owned(),
    };
    Some(HealthCheck { path: health.path.clone(), host, interval: health.interval })
}

/// The route as it was before, if its targets are reached in the same way now.
fn same_way<'a>(
    name: &str,
    route: &RouteConfig,
    config: &Config,
    before: Before<'a>,
) -> Option<&'a Arc<Route>> {
    let earlier = before.config.routes.get(name)?;
    let same = earlier.upstream_tls == route.upstream_tls
        && earlier.upstream_host == route.upstream_host
        && check(earlier, before.config) == check(route, config)
        && before.has_same(route.upstream_tls.files());
    let mut routes = before.app.endpoints.routes.iter();
    routes.find(|kept| same && kept.name == name)
}

/// The accepted `aud` of a route, in one order.
pub(super) fn audience(route: &RouteConfig) -> Vec<String> {
    if let Some(mcp) = &route.mcp {
        return vec![mcp.resource.as_str().to_owned()];
    }
    let sorted: BTreeSet<&String> = route.audience.iter().collect();
    sorted.into_iter().cloned().collect()
}

/// The protected resource that a route is. Clients ask for tokens at every issuer that serves them; jobs of platforms have theirs.
fn resource(route: &RouteConfig, config: &Config) -> Option<Resource> {
    let mcp = route.mcp.as_ref()?;
    let serves = |issuer: &&config::IssuerConfig| {
        issuer.profile != config::Profile::Workload && matches!(issuer.template(), Ok(None))
    };
    let issuers: Vec<String> =
        config.issuers.values().filter(serves).map(|issuer| issuer.url.clone()).collect();
    let title = route.title.as_deref().unwrap_or("MCP server");
    Some(Resource::new(&mcp.resource, title, &issuers, &mcp.scopes))
}

/// The groups that rules of a route name.
fn groups(route: &RouteConfig) -> BTreeSet<String> {
    let requirements = route.access.iter().flat_map(|rule| match &rule.allow {
        config::Allow::AnyOf(all) => all.as_slice(),
        config::Allow::Anyone | config::Allow::SignedIn => &[],
    });
    requirements.flat_map(|requirement| requirement.groups.iter().cloned()).collect()
}

fn policy(name: &str, route: &RouteConfig) -> Result<Policy, AssembleError> {
    let mut rules = Vec::with_capacity(route.access.len());
    for (place, rule) in route.access.iter().enumerate() {
        let place = format!("routes.{name}.access#{}", place + 1);
        let methods = rule
            .methods
            .iter()
            .map(|method| method.parse().map_err(at(format!("{place}.methods"))))
            .collect::<Result<Vec<_>, _>>()?;
        let allow = match &rule.allow {
            config::Allow::Anyone => access_policy::Allow::Anyone,
            config::Allow::SignedIn => access_policy::Allow::SignedIn,
            config::Allow::AnyOf(all) => {
                let all = all.iter().map(|one| requirement(&format!("{place}.allow"), one));
                access_policy::Allow::AnyOf(all.collect::<Result<_, _>>()?)
            }
        };
        rules.push(access_policy::Rule {
            path: rule.path.as_ref().map(|path| path.0.clone()),
            methods,
            messages: messages(&place, rule)?,
            allow,
            shadow: rule.shadow,
        });
    }
    Ok(Policy::new(rules))
}

fn messages(place: &str, rule: &config::AccessRule) -> Result<Option<Messages>, AssembleError> {
    let read = |patterns: &[String], key: &str| {
        let patterns = patterns.iter().map(|pattern| pattern.parse::<NamePattern>());
        patterns.collect::<Result<Vec<_>, _>>().map_err(at(format!("{place}.{key}")))
    };
    let methods = read(&rule.mcp_methods, "mcp_methods")?;
    let tools = read(&rule.tools, "tools")?;
    let some = !methods.is_empty() || !tools.is_empty();
    Ok(some.then_some(Messages { methods, tools }))
}

fn requirement(
    place: &str,
    config: &config::Requirement,
) -> Result<access_policy::Requirement, AssembleError> {
    let hours = config.hours.as_ref().map(config::Hours::read).transpose();
    let when = config.when.as_deref().map(access_policy::Condition::compile).transpose();
    let subjects = config.subjects.iter().map(|pattern| pattern.parse()).collect::<Result<_, _>>();
    Ok(access_policy::Requirement {
        users: config.users.clone(),
        emails: config.emails.clone(),
        email_domains: config.email_domains.clone(),
        subjects: subjects.map_err(at(format!("{place}.subjects")))?,
        roles: config.roles.clone(),
        groups: config.groups.clone(),
        scopes: config.scopes.clone(),
        clients: config.clients.clone(),
        issuers: config.issuers.clone(),
        claims: config
            .claims
            .iter()
            .map(|(path, values)| (path.clone(), values.0.clone()))
            .collect(),
        acr: config.acr.clone(),
        max_age: config.max_age,
        hours: hours.map_err(at(format!("{place}.hours")))?,
        when: when.map_err(at(format!("{place}.when")))?,
    })
}

/// Makes all routes; needs no network, so that `doorward explain` uses the same rules as `serve`.
///
/// # Errors
///
/// Those of [`route`].
pub fn routes(config: &Config) -> Result<Routes, AssembleError> {
    after(config, 0, None)
}

/// Makes all routes for so many workers; those whose targets are reached as before keep their connections.
///
/// # Errors
///
/// Those of [`route`].
pub(super) fn after(
    config: &Config,
    workers: usize,
    before: Option<Before<'_>>,
) -> Result<Routes, AssembleError> {
    let ports = config.listen.iter().filter_map(|address| match address {
        ListenAddr::Tcp(address) => Some(address.port()),
        ListenAddr::Unix(_) => None,
    });
    let routes = config
        .routes
        .iter()
        .map(|(name, route)| route_after(name, route, config, workers, before))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Routes::new(routes, &config.public_url, ports))
}
