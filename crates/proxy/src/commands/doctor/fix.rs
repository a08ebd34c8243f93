//! `--fix`: the changes as text, for an administrator to read and run. Nothing here performs one.

use std::collections::BTreeSet;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::finding::{Change, Finding, NewMapper, Setting};
use super::needs::Needs;

mod kcadm;
mod terraform;

#[cfg(test)]
mod tests;

/// Form of the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Commands of Keycloak's own `kcadm.sh`
    Kcadm,
    /// Resources of Terraform's provider `keycloak/keycloak`
    Terraform,
}

/// The changes of the findings, each once, in order; a later value of the same setting takes the place of the former.
struct Changes<'a> {
    /// Address of the server.
    server: &'a str,
    realm: &'a str,
    all: Vec<&'a Change>,
}

impl Form {
    /// The text; `None` if no finding has a change that can be written down.
    pub(super) fn write(self, needs: &Needs, findings: &[Finding]) -> Option<String> {
        let (server, realm) = needs.url.rsplit_once("/realms/")?;
        let mut all: Vec<&Change> = Vec::new();
        for change in findings.iter().flat_map(|finding| &finding.problem.changes) {
            if !all.contains(&change) {
                all.push(change);
            }
        }
        let changes = Changes { server, realm, all };
        (!changes.all.is_empty()).then(|| match self {
            Self::Kcadm => kcadm::script(&changes),
            Self::Terraform => terraform::resources(&changes),
        })
    }
}

impl<'a> Changes<'a> {
    /// Settings of the realm.
    fn of_realm(&self) -> Vec<&'a Setting> {
        let of = |change: &&'a Change| match *change {
            Change::Realm(setting) => Some(setting),
            _ => None,
        };
        self.all.iter().filter_map(of).collect()
    }

    /// Clients with changed settings.
    fn clients(&self) -> BTreeSet<&'a str> {
        let of = |change: &&'a Change| match *change {
            Change::Client { client, .. } => Some(client.as_str()),
            _ => None,
        };
        self.all.iter().filter_map(of).collect()
    }
}

impl NewMapper {
    fn name(&self) -> String {
        match self {
            Self::Audience(audience) | Self::CustomAudience(audience) => {
                format!("audience {audience}")
            }
            Self::Groups { claim, .. } => claim.clone(),
            Self::RealmRoles(_) => "realm roles".to_owned(),
            Self::ClientRoles(_) => "client roles".to_owned(),
        }
    }

    /// As the admin API takes it.
    fn representation(&self) -> Value {
        let (kind, own) = match self {
            Self::Audience(audience) => {
                ("oidc-audience-mapper", json!({ "included.client.audience": audience }))
            }
            Self::CustomAudience(audience) => {
                ("oidc-audience-mapper", json!({ "included.custom.audience": audience }))
            }
            Self::Groups { claim, full_path } => (
                "oidc-group-membership-mapper",
                json!({
                    "claim.name": claim, "full.path": full_path.to_string(), "id.token.claim": "true",
                }),
            ),
            Self::RealmRoles(claim) => (
                "oidc-usermodel-realm-role-mapper",
                json!({ "claim.name": claim, "multivalued": "true", "jsonType.label": "String" }),
            ),
            Self::ClientRoles(claim) => (
                "oidc-usermodel-client-role-mapper",
                json!({ "claim.name": claim, "multivalued": "true", "jsonType.label": "String" }),
            ),
        };
        let mut config =
            json!({ "access.token.claim": "true", "introspection.token.claim": "true" });
        if let (Some(config), Value::Object(own)) = (config.as_object_mut(), own) {
            config.extend(own);
        }
        json!({
            "name": self.name(),
            "protocol": "openid-connect",
            "protocolMapper": kind,
            "config": config,
        })
    }
}
