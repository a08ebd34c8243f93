//! Checks of a route's rules: each must be reachable and able to match a caller.

use std::{collections::BTreeSet, time::Duration};

use access_policy::{Condition, HoursError};

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
        let message =
            "missing rule: every request is refused; write `access: [ { allow: signed_in } ]`";
        found.problem(here.clone(), message);
    } else if route.access.iter().all(|rule| rule.shadow) {
        let message = "missing rule: shadow rules do not decide, so every request is refused; add one without \
                       `shadow`";
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
            "invalid path: no request of this route matches it; write the whole path as the client \
             sends it, beginning with `{prefix}`"
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
        let about_messages = !other.mcp_methods.is_empty() || !other.tools.is_empty();
        let all_messages =
            !about_messages || (other.mcp_methods == rule.mcp_methods && other.tools == rule.tools);
        !other.shadow && all_paths && all_methods && all_messages
    };
    if !rule.shadow
        && let Some(winner) = earlier.iter().position(covers)
    {
        let message = format!(
            "invalid order: rule {} decides all requests of this rule; put this rule first",
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
            format!("invalid method `{method}`; omit `methods` for a rule about all methods")
        } else if *method != upper {
            format!("invalid method `{method}`: letter case matters; write `{upper}`")
        } else if let Err(refusal) = method.parse::<CanonicalMethod>() {
            format!("invalid method `{method}`: {refusal}; write a list, such as `[GET, POST]`")
        } else {
            continue;
        };
        found.problem(here.clone(), message);
    }
}

fn allow(here: &KeyPath, allow: &Allow, issuers: &BTreeSet<String>, found: &mut Findings) {
    let Allow::AnyOf(requirements) = allow else { return };
    if requirements.is_empty() {
        let message = "invalid list: an empty one lets no caller through; write `signed_in`, or a requirement";
        found.problem(here.clone(), message);
    }
    self::requirements(here, requirements, issuers, found);
}

/// Checks requirements of which any suffices.
pub(super) fn requirements(
    here: &KeyPath,
    requirements: &[Requirement],
    issuers: &BTreeSet<String>,
    found: &mut Findings,
) {
    for (index, requirement) in requirements.iter().enumerate() {
        // One requirement may be written without a list; its path then has no number.
        let here = if requirements.len() == 1 { here.clone() } else { here.item(index) };
        if *requirement == Requirement::default() {
            let message = "invalid requirement: it has no condition; write `signed_in`, `anyone`, or a \
                           condition, such as `{ roles: [admin] }`";
            found.problem(here.clone(), message);
        }
        values(&here, requirement, found);
        names::check(&here, requirement, found);
        named_issuers(&here.key("issuers"), requirement, issuers, found);
        circumstances(&here, requirement, found);
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
        let message = "missing `issuers`: this rule trusts each of the configured issuers; write `issuers: \
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
            found.problem(
                here.key(key),
                "invalid value: an empty name matches no caller; remove it",
            );
        }
    }
    for role in &requirement.roles {
        if role.starts_with(':') || role.ends_with(':') {
            let message = format!(
                "invalid role `{role}`; write `ROLE` for a realm role, `CLIENT:ROLE` for a role of one client"
            );
            found.problem(here.key("roles"), message);
        }
    }
    for scope in &requirement.scopes {
        if scope.trim().contains(char::is_whitespace) {
            let message = format!(
                "invalid scope `{scope}`: it holds several; write a list, of which any suffices"
            );
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
            Some(meant) => format!("unknown issuer `{name}`; did you mean `{meant}`?"),
            None => format!("unknown issuer `{name}`; write {}", one_of(known)),
        };
        found.problem(here.clone(), message);
    }
}

/// Values whose form only the rules know.
fn circumstances(here: &KeyPath, requirement: &Requirement, found: &mut Findings) {
    if requirement.acr.iter().any(|level| level.is_empty() || level.contains(char::is_whitespace)) {
        let message = "invalid level: one text without spaces each; write `acr: [\"2\", \"3\"]`";
        found.problem(here.key("acr"), message);
    }
    if requirement.max_age.is_some_and(|age| age < Duration::from_secs(1)) {
        let message = "invalid duration: no sign-in is that recent; write a time such as `1h`";
        found.problem(here.key("max_age"), message);
    }
    if let Some(hours) = &requirement.hours
        && let Err(error) = hours.read()
    {
        let here = here.key("hours");
        let place = match &error {
            HoursError::Time { text } if *text == hours.from => here.key("from"),
            HoursError::Time { .. } => here.key("to"),
            HoursError::Zone { .. } => here.key("zone"),
            HoursError::Date { .. } => here.key("except"),
            HoursError::Empty => here,
        };
        found.problem(place, error.to_string());
    }
    if let Some(when) = &requirement.when
        && let Err(error) = Condition::compile(when)
    {
        found.problem(here.key("when"), error.to_string());
    }
}
