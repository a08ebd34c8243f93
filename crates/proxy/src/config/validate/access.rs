//! Checks of a route's rules: each must be reachable and able to match a caller.

use std::collections::BTreeSet;

use super::{Findings, names};
use crate::config::problem::{KeyPath, nearest, one_of};
use crate::config::{AccessRule, Allow, Requirement, RouteConfig};
use http_canonical::CanonicalMethod;

/// Checks the rules of one route.
pub(super) fn check(
    route_at: &KeyPath,
    route: &RouteConfig,
    issuers: &BTreeSet<String>,
    found: &mut Findings,
) {
    let here = route_at.key("access");
    if route.access.is_empty() {
        let message = "no rule, so everybody is refused: write `access: [ { allow: signed_in } ]`";
        found.problem(here.clone(), message);
    } else if route.access.iter().all(|rule| rule.shadow) {
        let message = "only shadow rules, so everybody is refused: add one without `shadow`";
        found.problem(here.clone(), message);
    }
    for (index, rule) in route.access.iter().enumerate() {
        let here = here.item(index);
        let earlier = route.access.get(..index).unwrap_or_default();
        reachable(&here, route, rule, earlier, found);
        methods(&here.key("methods"), rule, found);
        allow(&here.key("allow"), &rule.allow, issuers, found);
        if issuers.len() > 1 {
            of_which_issuer(&here.key("allow"), &rule.allow, found);
        }
    }
}

fn reachable(
    here: &KeyPath,
    route: &RouteConfig,
    rule: &AccessRule,
    earlier: &[AccessRule],
    found: &mut Findings,
) {
    let prefix = &route.matches.path;
    if let Some(path) = &rule.path
        && !path.0.can_match_below(prefix)
    {
        let message = format!(
            "this rule can never match: the route's paths begin with `{prefix}`; paths in rules are \
             whole, as the client sends them"
        );
        return found.problem(here.key("path"), message);
    }
    let covers = |other: &AccessRule| {
        let all_paths = match (&other.path, &rule.path) {
            (None, _) => true,
            (Some(other), Some(own)) if other == own => true,
            (Some(other), _) => other.0.covers_all_below(prefix),
        };
        let all_methods = other.methods.is_empty()
            || (!rule.methods.is_empty()
                && rule.methods.iter().all(|method| covers_method(&other.methods, method)));
        !other.shadow && all_paths && all_methods
    };
    if !rule.shadow
        && let Some(winner) = earlier.iter().position(covers)
    {
        let message = format!(
            "this rule is never reached: rule {} takes all its requests before; put this one first",
            winner + 1
        );
        found.problem(here.clone(), message);
    }
}

/// Whether a rule for these methods applies to `method`: GET includes HEAD.
fn covers_method(methods: &[String], method: &str) -> bool {
    methods.iter().any(|own| own == method || (own == "GET" && method == "HEAD"))
}

fn methods(here: &KeyPath, rule: &AccessRule, found: &mut Findings) {
    for method in &rule.methods {
        let upper = method.to_uppercase();
        let message = if matches!(upper.as_str(), "*" | "ANY" | "ALL") {
            "leave `methods` out: without it a rule is for all of them".to_owned()
        } else if *method != upper {
            format!("methods are compared letter by letter: write `{upper}`")
        } else if let Err(refusal) = method.parse::<CanonicalMethod>() {
            format!("`{method}`: {refusal}: write a list, such as `[GET, POST]`")
        } else {
            continue;
        };
        found.problem(here.clone(), message);
    }
}

fn allow(here: &KeyPath, allow: &Allow, issuers: &BTreeSet<String>, found: &mut Findings) {
    let Allow::AnyOf(requirements) = allow else { return };
    if requirements.is_empty() {
        let message = "an empty list lets nobody through: write `signed_in`, or a requirement";
        found.problem(here.clone(), message);
    }
    for (index, requirement) in requirements.iter().enumerate() {
        // One requirement may be written without a list; its path then has no number.
        let here = if requirements.len() == 1 { here.clone() } else { here.item(index) };
        if *requirement == Requirement::default() {
            let message = "a requirement that asks for nothing: write `signed_in` or `anyone`, or say \
                           who, such as `{ roles: [admin] }`";
            found.problem(here.clone(), message);
        }
        values(&here, requirement, found);
        names::check(&here, requirement, found);
        named_issuers(&here.key("issuers"), requirement, issuers, found);
        not_served(&here, requirement, found);
    }
}

/// With several issuers, each of them can assert a role, a group or a user name, also the least
/// trusted.
fn of_which_issuer(here: &KeyPath, allow: &Allow, found: &mut Findings) {
    let open = match allow {
        Allow::Anyone => false,
        Allow::SignedIn => true,
        Allow::AnyOf(requirements) => {
            requirements.iter().any(|requirement| requirement.issuers.is_empty())
        }
    };
    if open {
        let message = "several issuers are configured, and this rule takes the word of each: write `issuers: \
                       [NAME]` in the requirement";
        found.warning(here.clone(), message);
    }
}

fn values(here: &KeyPath, requirement: &Requirement, found: &mut Findings) {
    let lists = [
        ("users", &requirement.users),
        ("emails", &requirement.emails),
        ("email_domains", &requirement.email_domains),
        ("subjects", &requirement.subjects),
        ("roles", &requirement.roles),
        ("groups", &requirement.groups),
        ("scopes", &requirement.scopes),
        ("clients", &requirement.clients),
    ];
    for (key, list) in lists {
        if list.iter().any(|value| value.trim().is_empty()) {
            found.problem(here.key(key), "an empty name: nobody has it, remove it");
        }
    }
    for role in &requirement.roles {
        if role.starts_with(':') || role.ends_with(':') {
            let message = format!(
                "`{role}`: write `ROLE` for a realm role, `CLIENT:ROLE` for a role of one client"
            );
            found.problem(here.key("roles"), message);
        }
    }
    for scope in &requirement.scopes {
        if scope.trim().contains(char::is_whitespace) {
            let message =
                format!("`{scope}` is several scopes: write a list (any of them will do)");
            found.problem(here.key("scopes"), message);
        }
    }
}

fn named_issuers(
    here: &KeyPath,
    requirement: &Requirement,
    known: &BTreeSet<String>,
    found: &mut Findings,
) {
    for name in requirement.issuers.iter().filter(|name| !known.contains(*name)) {
        let known = known.iter().map(String::as_str);
        let message = match nearest(name, known.clone()) {
            Some(meant) => format!("no issuer is called `{name}`; did you mean `{meant}`?"),
            None => format!("no issuer is called `{name}`; there is {}", one_of(known)),
        };
        found.problem(here.clone(), message);
    }
}

fn not_served(here: &KeyPath, requirement: &Requirement, found: &mut Findings) {
    if !requirement.acr.is_empty() {
        let instead =
            "leave it out and ask for a role that the provider gives after a strong login";
        found.not_yet(here.key("acr"), "acr", instead);
    }
    if requirement.max_age.is_some() {
        let instead = "leave it out and shorten `session.lifetime`";
        found.not_yet(here.key("max_age"), "max_age", instead);
    }
    if requirement.hours.is_some() {
        let instead = "leave it out and let the provider take the role away outside of hours";
        found.not_yet(here.key("hours"), "hours", instead);
    }
    if requirement.when.is_some() {
        let instead = "leave it out; compare claims with `claims: { NAME: [VALUE] }`";
        found.not_yet(here.key("when"), "when", instead);
    }
}
