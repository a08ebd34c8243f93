//! Checks of `issuers`.

use std::time::Duration;

use super::{Findings, at, needs_identity, needs_login, profiles};
use crate::config::policy::{Allow, Requirement};
use crate::config::problem::KeyPath;
use crate::config::{ClientAuth, Config, IssuerConfig, Profile, RouteConfig, SignIn};
use provider::{addresses, authorization, unverified_emails, without_refresh};

mod provider;

/// Checks every issuer, and that there is one if a route needs it.
pub(super) fn check(config: &Config, found: &mut Findings) {
    let here = at(&["issuers"]);
    let nameless = config.issuers.is_empty() && config.workload_certificates.is_empty();
    if nameless && config.routes.values().any(needs_identity) {
        let message = "missing issuer: rules require an identity; write \
                       `issuers: { main: { url: …, client_id: … } }`";
        found.problem(here.clone(), message);
    }
    let login = config.routes.values().any(needs_login);
    let for_programs = |issuer: &IssuerConfig| {
        !issuer.offers_login() && matches!(issuer.profile, Profile::Generic | Profile::Workload)
    };
    if login && !config.issuers.is_empty() && config.issuers.values().all(for_programs) {
        let message = "missing login: no issuer has a `client_id`, so no browser can sign in; add one, or write \
                       `sign_in: challenge` on the routes";
        found.problem(here.clone(), message);
    }
    for (index, (name, issuer)) in config.issuers.iter().enumerate() {
        let here = here.key(name);
        found.name(here.clone(), name);
        addresses(&here, issuer, found);
        authorization(&here.key("authorization"), issuer, found);
        without_refresh(&here.key("without_refresh"), issuer, config, found);
        unverified_emails(&here.key("email"), issuer, config, found);
        let twin = config
            .issuers
            .iter()
            .take(index)
            .find(|(_, other)| other.identifier() == issuer.identifier());
        if let Some((twin, _)) = twin {
            let message = format!(
                "invalid URL: `issuers.{twin}` has the same, so a token does not name its issuer; remove one \
                 of them"
            );
            found.problem(here.key("url"), message);
        }
        details(&here, issuer, login, found);
        if issuer.introspection.is_some() {
            introspection(&here, issuer, config, found);
        }
        let asked = config.issuers.iter().take(index).find(|(_, one)| one.introspection.is_some());
        if let (Some((asked, _)), Some(_)) = (asked, &issuer.introspection) {
            let message = format!(
                "invalid `introspection`: `issuers.{asked}` has it too, and an opaque token does not \
                 name its issuer; keep one of them"
            );
            found.problem(here.key("introspection"), message);
        }
    }
    bearer(config, found);
}

fn details(here: &KeyPath, issuer: &IssuerConfig, login: bool, found: &mut Findings) {
    for audience in &issuer.audience {
        if audience.trim().is_empty() {
            found.problem(
                here.key("audience"),
                "invalid audience: it is empty; write the value that `aud` must hold",
            );
        }
    }
    for scope in &issuer.scopes {
        if scope.is_empty() || scope.contains(char::is_whitespace) {
            let message =
                format!("invalid scope `{scope}`; write a list, such as `[openid, email]`");
            found.problem(here.key("scopes"), message);
        }
    }
    if login && issuer.offers_login() && !issuer.scopes.iter().any(|scope| scope.contains("openid"))
    {
        let message =
            "missing scope `openid`: without it a login returns no identity; add it to the list";
        found.problem(here.key("scopes"), message);
    }
    if issuer.leeway > Duration::from_secs(300) {
        let message = "tokens stay valid for more than five minutes after their end; synchronize the clocks \
                       and write less";
        found.warning(here.key("leeway"), message);
    }
    profiles::check(here, issuer, found);
}

/// The provider answers only clients that authenticate, and only about tokens meant for them (RFC 7662 §2.1, §4).
fn introspection(here: &KeyPath, issuer: &IssuerConfig, config: &Config, found: &mut Findings) {
    let here = here.key("introspection");
    if issuer.client_auth == ClientAuth::None {
        let message =
            "missing `client_auth`: the provider refuses introspection by a public client; add it";
        found.problem(here.clone(), message);
    }
    let by_route = config.routes.values().any(|route| !route.audience.is_empty());
    if issuer.audience.is_empty() && !by_route {
        let message = format!(
            "missing `audience`: without it no bearer token is accepted; write `audience: [{}]`",
            issuer.client_id.as_deref().unwrap_or("doorward")
        );
        found.problem(here, message);
    }
}

/// Bearer tokens need an audience; otherwise any token of the issuer would be accepted.
fn bearer(config: &Config, found: &mut Findings) {
    let Some((route, reason)) = config
        .routes
        .iter()
        .filter(|(_, route)| route.audience.is_empty())
        .find_map(|(name, route)| bearer_reason(route).map(|reason| (name, reason)))
    else {
        return;
    };
    if config.issuers.values().any(|issuer| !issuer.audience.is_empty()) {
        return;
    }
    // Those without a client are named elsewhere.
    for (name, issuer) in config.issuers.iter().filter(|(_, issuer)| issuer.offers_login()) {
        let message = format!(
            "missing `audience`: route `{route}` accepts bearer tokens ({reason}); write \
             `audience: [{client}]`, which Keycloak adds to tokens by an audience mapper (client scope → \
             Mappers → Audience → Included Client Audience: {client})",
            client = issuer.client_id.as_deref().unwrap_or("doorward"),
        );
        found.problem(at(&["issuers", name, "audience"]), message);
    }
}

fn bearer_reason(route: &RouteConfig) -> Option<&'static str> {
    let asks = |wanted: fn(&Requirement) -> bool| {
        route.access.iter().any(|rule| match &rule.allow {
            Allow::AnyOf(requirements) => requirements.iter().any(wanted),
            Allow::Anyone | Allow::SignedIn => false,
        })
    };
    if asks(|requirement| !requirement.clients.is_empty()) {
        Some("a rule requires `clients`")
    } else if asks(|requirement| !requirement.scopes.is_empty()) {
        Some("a rule requires `scopes`")
    } else if route.sign_in == SignIn::Challenge && needs_identity(route) {
        Some("`sign_in: challenge`")
    } else {
        None
    }
}
