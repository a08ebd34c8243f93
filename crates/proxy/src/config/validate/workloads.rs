//! Checks of rules about workloads. A job has its subject and its claims: it signs in with no browser, and has no names of a person.

use super::{Findings, at, needs_identity};
use crate::config::problem::KeyPath;
use crate::config::{
    AccessRule, Allow, Config, IssuerConfig, Profile, Requirement, RouteConfig, SignIn,
};

/// Checks that the rules of a route about workloads can match one, and that no browser signs in for them.
pub(super) fn check(
    route_at: &KeyPath,
    config: &Config,
    route: &RouteConfig,
    found: &mut Findings,
) {
    for (index, rule) in route.access.iter().enumerate() {
        let here = route_at.key("access").item(index).key("allow");
        match &rule.allow {
            Allow::Anyone => {}
            // With several issuers there is a warning already.
            Allow::SignedIn => {
                if let Some((name, _)) = only_workloads(config, &Requirement::default()) {
                    found.warning(here, every_job(name));
                }
            }
            Allow::AnyOf(requirements) => {
                for (index, one) in requirements.iter().enumerate() {
                    let here =
                        if requirements.len() == 1 { here.clone() } else { here.item(index) };
                    requirement(&here, config, one, found);
                }
            }
        }
    }
    sign_in(&route_at.key("sign_in"), config, route, found);
}

/// Checks that a token without `iss` names one issuer: by the trust domain of its subject.
pub(super) fn trust_domains(config: &Config, found: &mut Findings) {
    for (index, (name, issuer)) in config.issuers.iter().enumerate() {
        let Some(own) = &issuer.trust_domain else { continue };
        let mut earlier = config.issuers.iter().take(index);
        if let Some((twin, _)) = earlier.find(|(_, other)| other.trust_domain.as_ref() == Some(own))
        {
            let message = format!(
                "invalid trust domain `{own}`: `issuers.{twin}` has it too, so a token without `iss` does not name \
                 its issuer; remove one of them"
            );
            found.problem(at(&["issuers", name, "trust_domain"]), message);
        }
    }
}

/// The first of the workload issuers that a requirement is about, if it is about no other.
fn only_workloads<'c>(
    config: &'c Config,
    requirement: &Requirement,
) -> Option<(&'c str, &'c IssuerConfig)> {
    let named =
        |name: &String| requirement.issuers.is_empty() || requirement.issuers.contains(name);
    let mut about = config.issuers.iter().filter(|(name, _)| named(name));
    let alone = !requirement.issuers.is_empty() || config.issuers.len() == 1;
    let workloads = about.clone().all(|(_, issuer)| issuer.profile == Profile::Workload);
    about.next().filter(|_| alone && workloads).map(|(name, issuer)| (name.as_str(), issuer))
}

fn requirement(here: &KeyPath, config: &Config, requirement: &Requirement, found: &mut Findings) {
    let Some((name, _)) = only_workloads(config, requirement) else { return };
    let of = |issuer: &String| config.issuers.get(issuer);
    let issuers: Vec<&IssuerConfig> = match requirement.issuers.as_slice() {
        [] => config.issuers.values().collect(),
        named => named.iter().filter_map(of).collect(),
    };
    let read = |has: fn(&IssuerConfig) -> bool| issuers.iter().any(|issuer| has(issuer));
    let names = [
        (
            "users",
            requirement.users.is_empty(),
            read(|it| it.claims.user_name.is_some()),
            "user_name",
        ),
        ("emails", requirement.emails.is_empty(), read(|it| it.claims.email.is_some()), "email"),
        (
            "email_domains",
            requirement.email_domains.is_empty(),
            read(|it| it.claims.email.is_some()),
            "email",
        ),
        ("roles", requirement.roles.is_empty(), read(reads_roles), "roles"),
        ("groups", requirement.groups.is_empty(), read(|it| it.claims.groups.is_some()), "groups"),
        ("scopes", requirement.scopes.is_empty(), read(|it| it.claims.scopes.is_some()), "scopes"),
    ];
    for (key, absent, read, path) in names {
        if !absent && !read {
            let message = format!(
                "invalid for workloads: the jobs of `{name}` have none, so no caller meets this; write `subjects` or \
                 `claims` instead, or the claim that holds them in `issuers.{name}.claims.{path}`"
            );
            found.problem(here.key(key), message);
        }
    }
    for (key, absent) in [
        ("clients", requirement.clients.is_empty()),
        ("acr", requirement.acr.is_empty()),
        ("max_age", requirement.max_age.is_none()),
    ] {
        if !absent {
            let message = format!(
                "invalid for workloads: the jobs of `{name}` neither sign in nor use a client, so no caller meets \
                 this; write `subjects` or `claims` instead"
            );
            found.problem(here.key(key), message);
        }
    }
    if requirement.subjects.is_empty()
        && requirement.claims.is_empty()
        && requirement.when.is_none()
        && names.iter().all(|(_, absent, ..)| *absent)
        && *requirement != Requirement::default()
    {
        found.warning(here.clone(), every_job(name));
    }
}

fn reads_roles(issuer: &IssuerConfig) -> bool {
    issuer.claims.roles.is_some() || matches!(issuer.claims.client_roles, Some(Some(_)))
}

fn every_job(issuer: &str) -> String {
    format!(
        "missing `subjects`: this rule lets every job of `{issuer}` in, on a shared platform those of its other \
         customers too; write `subjects: [PATTERN]`"
    )
}

/// A sign-in leads to no identity that such a route lets in.
fn sign_in(here: &KeyPath, config: &Config, route: &RouteConfig, found: &mut Findings) {
    let of_workloads = |rule: &AccessRule| match &rule.allow {
        Allow::Anyone => true,
        Allow::SignedIn => only_workloads(config, &Requirement::default()).is_some(),
        Allow::AnyOf(all) => all.iter().all(|one| only_workloads(config, one).is_some()),
    };
    let mut rules = route.access.iter().filter(|rule| !rule.shadow);
    if !needs_identity(route) || !rules.all(of_workloads) {
        return;
    }
    let reason = "the rules of this route let workloads in only, and they sign in with no browser";
    match route.sign_in {
        SignIn::Redirect => {
            found.problem(here.clone(), format!("invalid: {reason}; write `challenge`"));
        }
        SignIn::Auto => {
            found.warning(here.clone(), format!("{reason}; write `sign_in: challenge`"))
        }
        SignIn::Challenge => {}
    }
}
