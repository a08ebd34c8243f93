//! Converts claims to an identity, by configured paths.
//!
//! Issuers differ in where they put roles and groups, so the paths are configuration and not code. A pure function: claims in,
//! [`Known`] out.

use std::{collections::BTreeMap, sync::Arc};

use access_policy::Known;
use oidc_core::Claims;
use serde_json::Value;

use crate::config::ClaimPaths;

/// Reads identities from one issuer's claims.
#[derive(Debug, Clone)]
pub struct ClaimReader {
    issuer: String,
    iss: String,
    paths: ClaimPaths,
}

impl ClaimReader {
    /// Reads claims of the issuer with this name in the configuration and this identifier, by these paths.
    pub fn new(issuer: impl Into<String>, iss: impl Into<String>, paths: ClaimPaths) -> Self {
        Self { issuer: issuer.into(), iss: iss.into(), paths }
    }

    /// The identity in these claims.
    pub fn read(&self, claims: &Claims) -> Arc<Known> {
        let text = |path: &str| claims.get(path).and_then(Value::as_str).map(str::to_owned);
        let client_roles = self.client_roles(claims);
        let mut roles: Vec<String> =
            self.paths.roles.iter().flat_map(|path| texts(claims.get(path))).collect();
        if self.paths.client_roles.is_some() {
            // `client:role` asks for a client's role; a realm role of that name must not match.
            roles.retain(|role| !role.contains(':'));
        }
        Arc::new(Known {
            issuer: self.issuer.clone(),
            iss: self.iss.clone(),
            subject: claims.subject.clone().unwrap_or_default(),
            preferred_username: text(&self.paths.user_name),
            email: text(&self.paths.email),
            email_verified: claims.email_verified(),
            name: text(&self.paths.name),
            roles,
            client_roles,
            groups: texts(claims.get(&self.paths.groups)).collect(),
            scopes: claims.scope.iter().map(str::to_owned).collect(),
            client: claims.client().map(str::to_owned),
            claims: claims.members().clone(),
        })
    }

    /// The identity of a session: the person from the ID token, the roles also from the access token (Keycloak puts roles only
    /// there).
    pub fn read_session(&self, id_token: &Claims, access_token: Option<&Claims>) -> Arc<Known> {
        let from_id = self.read(id_token);
        let Some(from_access) = access_token.map(|claims| self.read(claims)) else {
            return from_id;
        };
        let mut known = Known::clone(&from_id);
        let access = &*from_access;
        known.preferred_username =
            known.preferred_username.or_else(|| access.preferred_username.clone());
        if known.email.is_none() {
            known.email.clone_from(&access.email);
            known.email_verified = access.email_verified;
        }
        known.name = known.name.or_else(|| access.name.clone());
        known.roles = union(known.roles, &access.roles);
        known.groups = union(known.groups, &access.groups);
        known.scopes = union(known.scopes, &access.scopes);
        for (client, roles) in &access.client_roles {
            let own = known.client_roles.entry(client.clone()).or_default();
            *own = union(std::mem::take(own), roles);
        }
        known.client = access.client.clone().or(known.client);
        for (name, value) in &access.claims {
            known.claims.entry(name.clone()).or_insert_with(|| value.clone());
        }
        Arc::new(known)
    }

    fn client_roles(&self, claims: &Claims) -> BTreeMap<String, Vec<String>> {
        let Some(Value::Object(clients)) =
            self.paths.client_roles.as_deref().and_then(|path| claims.get(path))
        else {
            return BTreeMap::new();
        };
        clients
            .iter()
            .map(|(client, access)| (client.clone(), texts(access.get("roles")).collect()))
            .collect()
    }
}

/// The texts of a claim: a list or a single text. Values of other types are ignored.
fn texts(value: Option<&Value>) -> impl Iterator<Item = String> {
    let list: &[Value] = match value {
        Some(Value::Array(values)) => values,
        Some(one @ Value::String(_)) => std::slice::from_ref(one),
        _ => &[],
    };
    list.iter().filter_map(Value::as_str).map(str::to_owned)
}

fn union(mut own: Vec<String>, more: &[String]) -> Vec<String> {
    for value in more {
        if !own.contains(value) {
            own.push(value.clone());
        }
    }
    own
}
