//! Checks of the route keys about callers: `bearer`, `basic`, `portal`, and `registry_tokens`.

use super::Findings;
use super::routes::below;
use crate::config::problem::KeyPath;
use crate::config::{AudienceClaim, BearerTokens, Config, Profile, RouteConfig};

/// Checks one route.
pub(super) fn check(here: &KeyPath, config: &Config, route: &RouteConfig, found: &mut Findings) {
    if route.bearer == BearerTokens::Application && route.identity.access_token.is_sent() {
        let message = "invalid value: with `identity.access_token` the gateway writes `Authorization`, so no token of \
                       the application passes; remove one of the two";
        found.problem(here.key("bearer"), message);
    }
    audience(&here.key("audience"), config, route, found);
    if route.basic
        && route.audience.is_empty()
        && config.issuers.values().all(|issuer| issuer.audience.is_empty())
    {
        let message = "missing `audience`: the password is a token, and no issuer accepts tokens; write \
                       `issuers.NAME.audience`";
        found.problem(here.key("basic"), message);
    }
    if route.registry_tokens && !below("/v2", &route.matches.path) {
        let message = format!(
            "invalid path `{}`: clients of a registry ask for `/v2` at the root of a host; write `/v2`",
            route.matches.path
        );
        found.problem(here.key("match").key("path"), message);
    }
    if let Some(start) = &route.portal.start
        && start != "/"
        && found.canonical(here.key("portal").key("start"), start)
        && route.matches.path != "/"
        && below(start, &route.matches.path)
    {
        let rest = start.strip_prefix(&route.matches.path).filter(|rest| !rest.is_empty());
        let message = format!(
            "`{start}` is below `match.path`, so the card leads to `{}{start}`; write `{}`",
            route.matches.path,
            rest.unwrap_or("/")
        );
        found.warning(here.key("portal").key("start"), message);
    }
}

/// An ID token must not pass for an access token, whatever the route.
fn audience(here: &KeyPath, config: &Config, route: &RouteConfig, found: &mut Findings) {
    if route.audience.iter().any(|audience| audience.trim().is_empty()) {
        let message = "invalid audience: it is empty; write the value that `aud` must hold";
        found.problem(here.clone(), message);
    }
    for (name, issuer) in &config.issuers {
        let own = issuer.client_id.as_ref().filter(|id| route.audience.contains(id));
        let by_client = issuer.audience_claim == AudienceClaim::ClientId;
        if let (Profile::Generic, Some(id), false) = (issuer.profile, own, by_client) {
            let message = format!(
                "invalid audience `{id}`: it is the `client_id` of `issuers.{name}`, so an ID token of a login would \
                 pass for an access token; have the provider issue access tokens for another audience, and write that"
            );
            found.problem(here.clone(), message);
        }
    }
}
