//! Claims of tokens: audiences, roles and groups.

use std::collections::BTreeSet;

use serde_json::json;

use super::super::facts::{Administration, Client, Placed};
use super::super::finding::{Change, Check, NewMapper, Problem, Reads, Setting, Severity};
use super::super::needs::Needs;
use super::{own_client, quoted};

pub(super) const AUDIENCE_MISSING: Check = Check {
    name: "audience_missing",
    severity: Severity::Fails,
    summary: "No client's tokens carry an audience that the configuration accepts.",
    effect: "bearer tokens are refused with `wrong_audience`",
    setting: "mapper Audience (Included Client Audience, Add to access token)",
    place: "Client scopes → Create client scope → Mappers → Configure a new mapper; then Clients → each client that requests tokens → Client scopes → Add client scope",
    reads: Reads::Both,
    judge: |needs, facts| {
        let own = facts.own_token.as_ref();
        let own_carries = |name: &String| own.is_some_and(|own| own.audience.contains(name));
        let missing = needs.audiences.iter().filter(|(_, accepted)| match &facts.administration {
            Some(all) => !accepted.iter().any(|name| all.can_carry(name) || own_carries(name)),
            None => own.is_some() && !accepted.iter().any(own_carries),
        });
        let problem = |(key, accepted): (&String, &Vec<String>)| {
            let wanted = accepted.first().cloned().unwrap_or_default();
            let carriers = match facts.administration {
                Some(_) => "no client's access tokens carry".to_owned(),
                None => format!("access tokens of the client `{}` do not carry", needs.client),
            };
            let text = format!("{carriers} {}, which `{key}` asks for", quoted(accepted));
            let known = facts.administration.as_ref().filter(|all| all.client(&wanted).is_some());
            let mapper = match known {
                Some(_) => NewMapper::Audience(wanted.clone()),
                None => NewMapper::CustomAudience(wanted.clone()),
            };
            let scope = Change::NewScope { name: format!("{wanted}-audience"), mapper };
            let changes = facts.administration.as_ref().map(|_| scope);
            Problem::new(text, wanted).with(changes)
        };
        missing.map(problem).collect()
    },
};

pub(super) const MCP_AUDIENCE_MISSING: Check = Check {
    name: "mcp_audience_missing",
    severity: Severity::Fails,
    summary: "No client's tokens carry the resource of a route with `mcp`.",
    effect: "agents sign in, and every request of theirs is refused with `wrong_audience`",
    setting: "mapper Audience (Included Custom Audience, Add to access token)",
    place: "Client scopes → the scope that agents ask for → Mappers → Configure a new mapper",
    reads: Reads::Administration,
    judge: |needs, facts| {
        let Some(all) = &facts.administration else { return Vec::new() };
        let missing = needs.resources.iter().filter(|(_, resource)| !all.can_carry(resource));
        let problem = |(route, resource): (&String, &String)| {
            let text = format!(
                "no client's access tokens carry `{resource}`, the resource of the route `{route}`"
            );
            let scope = Change::NewScope {
                name: format!("{route}-audience"),
                mapper: NewMapper::CustomAudience(resource.clone()),
            };
            Problem::new(text, resource.clone()).with([scope])
        };
        missing.map(problem).collect()
    },
};

/// The mappers that act on logins of the gateway.
fn mappers<'a>(needs: &'a Needs, all: &'a Administration, client: &'a Client) -> Vec<Placed<'a>> {
    all.mappers(client, &needs.scopes).collect()
}

/// Whether a rule names a client's role, as the configuration reads roles.
fn is_of_client(needs: &Needs, role: &str) -> bool {
    needs.paths.client_roles.is_some() && role.contains(':')
}

pub(super) const ROLES_MISSING: Check = Check {
    name: "roles_missing",
    severity: Severity::Fails,
    summary: "Rules name roles, and tokens of the client do not hold them.",
    effect: "users with the role are refused with 403",
    setting: "client scope `roles` among the defaults, or mappers User Realm Role and User Client Role with these claim names",
    place: "Clients → {client} → Client scopes",
    reads: Reads::Administration,
    judge: |needs, facts| {
        let Some((all, client)) = own_client(needs, facts) else { return Vec::new() };
        let mappers = mappers(needs, all, client);
        let (of_client, of_realm): (Vec<&String>, Vec<&String>) =
            needs.roles.iter().partition(|role| is_of_client(needs, role));
        let written = |path: &String| mappers.iter().any(|placed| placed.mapper.writes(path));
        let mut problems = Vec::new();
        if let Some(path) = needs.paths.roles.first()
            && !of_realm.is_empty()
            && !needs.paths.roles.iter().any(written)
        {
            let text =
                format!("rules name {}, and tokens have no claim `{path}`", quoted(of_realm));
            let mapper = NewMapper::RealmRoles(path.clone());
            let change = Change::NewMapper { client: needs.client.clone(), mapper };
            problems.push(Problem::new(text, path.clone()).with([change]));
        }
        if let Some(path) = &needs.paths.client_roles
            && !of_client.is_empty()
        {
            let claims = ["${client_id}"]
                .into_iter()
                .chain(of_client.iter().filter_map(|role| Some(role.split_once(':')?.0)));
            let names: Vec<String> =
                claims.map(|client| format!("{path}.{client}.roles")).collect();
            if !names.iter().any(written) {
                let text =
                    format!("rules name {}, and tokens have no claim `{path}`", quoted(of_client));
                let value = format!("{path}.${{client_id}}.roles");
                let mapper = NewMapper::ClientRoles(value.clone());
                let change = Change::NewMapper { client: needs.client.clone(), mapper };
                problems.push(Problem::new(text, value).with([change]));
            }
        }
        problems
    },
};

/// The roles that rules name, and tokens of a client without full scope cannot hold.
fn outside_scope<'a>(needs: &'a Needs, all: &Administration) -> Vec<&'a String> {
    needs.roles.iter().filter(|role| !all.granted_roles.contains(*role)).collect()
}

fn role_changes<'a>(
    needs: &'a Needs,
    roles: impl IntoIterator<Item = &'a String> + 'a,
) -> impl Iterator<Item = Change> + 'a {
    let client = needs.client.clone();
    roles
        .into_iter()
        .map(move |role| Change::RoleInScope { client: client.clone(), role: role.clone() })
}

pub(super) const ROLES_OUTSIDE_SCOPE: Check = Check {
    name: "roles_outside_scope",
    severity: Severity::Fails,
    summary: "Rules name roles that are not in the scope of the client, whose full scope is off.",
    effect: "users with the role are refused with 403",
    setting: "Assign role",
    place: "Clients → {client} → Client scopes → {client}-dedicated → Scope",
    reads: Reads::Administration,
    judge: |needs, facts| {
        let Some((all, client)) = own_client(needs, facts) else { return Vec::new() };
        let outside = outside_scope(needs, all);
        if client.full_scope_allowed || outside.is_empty() {
            return Vec::new();
        }
        let names = quoted(&outside);
        let text = format!(
            "rules name {names}, and tokens of the client `{}` never hold it",
            needs.client
        );
        vec![Problem::new(text, names).with(role_changes(needs, outside))]
    },
};

pub(super) const FULL_SCOPE_ALLOWED: Check = Check {
    name: "full_scope_allowed",
    severity: Severity::Weakens,
    summary: "Tokens of the client hold every role of the user, and name `account` and other clients as audience.",
    effect: "an application that receives the user's token can use it at Keycloak's account API and at other services",
    setting: "Full scope allowed",
    place: "Clients → {client} → Client scopes → {client}-dedicated → Scope",
    reads: Reads::Both,
    judge: |needs, facts| {
        let Some((_, client)) = own_client(needs, facts) else {
            let exposes = facts
                .own_token
                .as_ref()
                .is_some_and(|token| token.audience.iter().any(|name| name == "account"));
            let text =
                format!("tokens of the client `{}` name `account` as audience", needs.client);
            return exposes.then(|| Problem::new(text, "off")).into_iter().collect();
        };
        if !client.full_scope_allowed {
            return Vec::new();
        }
        let text = format!("tokens of the client `{}` hold every role of the user", needs.client);
        let setting = Setting::new("fullScopeAllowed", "full_scope_allowed", false);
        let off = Change::Client { client: needs.client.clone(), setting };
        let value = match needs.roles.is_empty() {
            true => "off".to_owned(),
            false => format!("off, with the assigned roles {}", quoted(&needs.roles)),
        };
        vec![Problem::new(text, value).with([off]).with(role_changes(needs, &needs.roles))]
    },
};

/// Mappers that write a claim in which the configuration reads groups.
fn group_mappers<'a>(needs: &Needs, mappers: &[Placed<'a>]) -> Vec<Placed<'a>> {
    let writes =
        |placed: &&Placed<'a>| needs.paths.groups.iter().any(|path| placed.mapper.writes(path));
    mappers.iter().filter(writes).copied().collect()
}

pub(super) const GROUPS_MISSING: Check = Check {
    name: "groups_missing",
    severity: Severity::Fails,
    summary: "Rules name groups, and tokens of the client do not hold them.",
    effect: "users of the group are refused with 403",
    setting: "mapper Group Membership (Token Claim Name, Add to ID token, Add to access token)",
    place: "Clients → {client} → Client scopes → {client}-dedicated → Mappers → Configure a new mapper",
    reads: Reads::Administration,
    judge: |needs, facts| {
        let Some((all, client)) = own_client(needs, facts) else { return Vec::new() };
        let found = group_mappers(needs, &mappers(needs, all, client));
        let Some(claim) = needs.paths.groups.first() else { return Vec::new() };
        if needs.groups.is_empty() || !found.is_empty() {
            return Vec::new();
        }
        let text =
            format!("rules name {}, and tokens have no claim `{claim}`", quoted(&needs.groups));
        let full_path = needs.groups.iter().any(|group| group.starts_with('/'));
        let mapper = NewMapper::Groups { claim: claim.clone(), full_path };
        let change = Change::NewMapper { client: needs.client.clone(), mapper };
        let form = if full_path { "on" } else { "off" };
        vec![Problem::new(text, format!("{claim}, Full group path {form}")).with([change])]
    },
};

pub(super) const GROUPS_PATH_FORM: Check = Check {
    name: "groups_path_form",
    severity: Severity::Fails,
    summary: "Rules name groups with their path and tokens without, or the other way round.",
    effect: "users of the group are refused with 403",
    setting: "Full group path of the mapper Group Membership",
    place: "Clients → {client} → Client scopes → the scope of the mapper → Mappers",
    reads: Reads::Administration,
    judge: |needs, facts| {
        let Some((all, client)) = own_client(needs, facts) else { return Vec::new() };
        let found = group_mappers(needs, &mappers(needs, all, client));
        let memberships: Vec<Placed<'_>> = found
            .iter()
            .copied()
            .filter(|placed| placed.mapper.protocol_mapper == "oidc-group-membership-mapper")
            .collect();
        // Another mapper may write any form.
        if memberships.is_empty() || memberships.len() < found.len() {
            return Vec::new();
        }
        let forms: BTreeSet<bool> =
            memberships.iter().map(|placed| placed.mapper.is_on("full.path")).collect();
        let unmatched: Vec<&String> =
            needs.groups.iter().filter(|group| !forms.contains(&group.starts_with('/'))).collect();
        if unmatched.is_empty() {
            return Vec::new();
        }
        let full = forms.contains(&true);
        let (has, wanted) = if full { ("with", false) } else { ("without", true) };
        let text =
            format!("rules name {}, and tokens hold groups {has} their path", quoted(&unmatched));
        let value = if wanted { "on" } else { "off" };
        let problem = Problem::new(text, format!("{value}, or the other spelling in the rules"));
        // With both spellings in rules, no form fits them all.
        if unmatched.len() < needs.groups.len() {
            return vec![problem];
        }
        let setting = Setting::new("config.\"full.path\"", "full_path", json!(wanted.to_string()));
        let change = |placed: Placed<'_>| {
            let place = match placed.scope {
                Some(scope) => format!("client-scopes/{}", scope.id),
                None => format!("clients/{}", client.id),
            };
            Change::Mapper {
                path: format!("{place}/protocol-mappers/models/{}", placed.mapper.id),
                name: placed.mapper.name.clone(),
                setting: setting.clone(),
            }
        };
        vec![problem.with(memberships.into_iter().map(change))]
    },
};
