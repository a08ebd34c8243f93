//! Changes as resources of Terraform's provider `keycloak/keycloak`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::finding::{Change, NewMapper, Setting, Terraform};
use super::Changes;

/// A literal: JSON, in which `${` and `%{` would begin a template.
fn literal(value: &Value) -> String {
    value.to_string().replace("${", "$${").replace("%{", "%%{")
}

/// A name in Terraform: letters, digits and underscores.
fn label(name: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let label: String = name.chars().map(plain).collect();
    match label.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => label,
        _ => format!("_{label}"),
    }
}

/// A resource with its arguments.
struct Resource {
    head: String,
    lines: Vec<String>,
}

impl Resource {
    fn new(kind: &str, name: &str) -> Self {
        Self { head: format!("resource \"{kind}\" \"{}\" {{", label(name)), lines: Vec::new() }
    }

    fn with(mut self, argument: &str, value: impl Into<Value>) -> Self {
        self.lines.push(format!("{argument} = {}", literal(&value.into())));
        self
    }

    fn with_reference(mut self, argument: &str, reference: String) -> Self {
        self.lines.push(format!("{argument} = {reference}"));
        self
    }

    fn with_settings<'a>(mut self, settings: impl IntoIterator<Item = &'a Setting>) -> Self {
        let mut arguments: BTreeMap<&str, String> = BTreeMap::new();
        let (mut extra, mut blocks) = (BTreeMap::new(), Vec::new());
        for setting in settings {
            match &setting.terraform {
                Terraform::Argument(name, value) => drop(arguments.insert(name, literal(value))),
                Terraform::Extra(name, value) => drop(extra.insert(*name, literal(value))),
                Terraform::Lines(lines) => blocks.push((*lines).to_owned()),
            }
        }
        let written = arguments.into_iter().map(|(name, value)| format!("{name} = {value}"));
        self.lines.extend(written);
        if !extra.is_empty() {
            let members: String = extra
                .iter()
                .map(|(name, value)| format!("    {} = {value}\n", json!(name)))
                .collect();
            self.lines.push(format!("extra_config = {{\n{members}  }}"));
        }
        self.lines.extend(blocks);
        self
    }

    fn write(self, to: &mut String) {
        // Writing to a string does not fail.
        let _ = writeln!(to, "\n{}", self.head);
        for line in self.lines {
            let _ = writeln!(to, "  {line}");
        }
        to.push_str("}\n");
    }
}

/// The resources.
pub(super) fn resources(changes: &Changes<'_>) -> String {
    let mut text =
        "# Provider keycloak/keycloak. Merge these arguments into the resources that you have.\n"
            .to_owned();
    let of_realm = changes.of_realm();
    if !of_realm.is_empty() {
        Resource::new("keycloak_realm", changes.realm)
            .with("realm", changes.realm)
            .with_settings(of_realm)
            .write(&mut text);
    }
    let realm = format!("keycloak_realm.{}.id", label(changes.realm));
    let client_id = |client: &str| format!("keycloak_openid_client.{}.id", label(client));
    for client in changes.clients() {
        let settings = changes.all.iter().filter_map(|change| match change {
            Change::Client { client: of, setting } if of == client => Some(setting),
            _ => None,
        });
        Resource::new("keycloak_openid_client", client)
            .with_reference("realm_id", realm.clone())
            .with("client_id", client)
            .with_settings(settings)
            .write(&mut text);
    }
    for change in &changes.all {
        match change {
            Change::Realm(_) | Change::Client { .. } => {}
            Change::NewMapper { client, mapper } => {
                let own = ("client_id", client_id(client));
                new_mapper(mapper, &realm, own, &mut text);
            }
            Change::Mapper { name, setting, .. } => {
                let line = match &setting.terraform {
                    Terraform::Argument(argument, value) => {
                        format!("{argument} = {}", literal(value))
                    }
                    Terraform::Extra(..) | Terraform::Lines(_) => continue,
                };
                let _ = writeln!(
                    text,
                    "\n# In the resource of the mapper {}:\n#   {line}",
                    json!(name)
                );
            }
            Change::NewScope { name, mapper } => {
                Resource::new("keycloak_openid_client_scope", name)
                    .with_reference("realm_id", realm.clone())
                    .with("name", name.as_str())
                    .with("include_in_token_scope", false)
                    .write(&mut text);
                let scope = format!("keycloak_openid_client_scope.{}.id", label(name));
                new_mapper(mapper, &realm, ("client_scope_id", scope), &mut text);
                let _ = writeln!(
                    text,
                    "# Name the scope {} in keycloak_openid_client_default_scopes of the clients that request tokens for this audience.",
                    json!(name)
                );
            }
            Change::ScopeTaken { client, default, rest, .. } => {
                let kind = if *default { "default" } else { "optional" };
                Resource::new(&format!("keycloak_openid_client_{kind}_scopes"), client)
                    .with_reference("realm_id", realm.clone())
                    .with_reference("client_id", client_id(client))
                    .with(&format!("{kind}_scopes"), json!(rest))
                    .write(&mut text);
            }
            Change::RoleInScope { client, role } => {
                let name = format!("{client}_{role}");
                let _ = writeln!(
                    text,
                    "\n# The resource of the role {} may have another name in your files:",
                    json!(role)
                );
                let role = format!("keycloak_role.{}.id", label(role));
                Resource::new("keycloak_generic_role_mapper", &name)
                    .with_reference("realm_id", realm.clone())
                    .with_reference("client_id", client_id(client))
                    .with_reference("role_id", role)
                    .write(&mut text);
            }
        }
    }
    text
}

fn new_mapper(mapper: &NewMapper, realm: &str, place: (&str, String), text: &mut String) {
    let kind = match mapper {
        NewMapper::Audience(_) | NewMapper::CustomAudience(_) => "audience",
        NewMapper::Groups { .. } => "group_membership",
        NewMapper::RealmRoles(_) => "user_realm_role",
        NewMapper::ClientRoles(_) => "user_client_role",
    };
    let resource =
        Resource::new(&format!("keycloak_openid_{kind}_protocol_mapper"), &mapper.name())
            .with_reference("realm_id", realm.to_owned())
            .with_reference(place.0, place.1)
            .with("name", mapper.name());
    let resource = match mapper {
        NewMapper::Audience(audience) => {
            resource.with("included_client_audience", audience.as_str())
        }
        NewMapper::CustomAudience(audience) => {
            resource.with("included_custom_audience", audience.as_str())
        }
        NewMapper::Groups { claim, full_path } => {
            resource.with("claim_name", claim.as_str()).with("full_path", *full_path)
        }
        NewMapper::RealmRoles(claim) | NewMapper::ClientRoles(claim) => {
            resource.with("claim_name", claim.as_str()).with("multivalued", true)
        }
    };
    resource.with("add_to_access_token", true).write(text);
}
