//! Converts claims to an identity, by configured paths.
//!
//! Issuers differ in where they put roles and groups, so the paths are configuration and not code. A pure function: claims in,
//! [`Known`] out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use access_policy::Known;
use oidc_core::Claims;
use serde_json::Value;

use crate::config::ClaimPaths;

const EMAIL_VERIFIED: &str = "email_verified";

/// Claims that say how a token may be used: UserInfo never adds one to an ID token.
const OF_THE_PROTOCOL: [&str; 19] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "azp",
    "client_id",
    "nonce",
    "at_hash",
    "c_hash",
    "sid",
    "acr",
    "amr",
    "auth_time",
    "typ",
    "scope",
    "cnf",
];

/// Reads identities from one issuer's claims.
#[derive(Debug, Clone)]
pub struct ClaimReader {
    issuer: String,
    iss: String,
    paths: ClaimPaths,
    /// Whether only addresses that the issuer marks as verified count as verified.
    verified_emails_only: bool,
}

/// Claims that rules read, besides user name and e-mail address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// A rule reads roles.
    pub roles: bool,
    /// A rule reads groups.
    pub groups: bool,
    /// Paths of the other claims.
    pub claims: BTreeSet<String>,
}

impl ClaimReader {
    /// Reads claims of the issuer with this name in the configuration and this identifier, by these paths.
    pub fn new(issuer: impl Into<String>, iss: impl Into<String>, paths: ClaimPaths) -> Self {
        Self { issuer: issuer.into(), iss: iss.into(), paths, verified_emails_only: true }
    }

    /// Counts every e-mail address as verified.
    #[must_use]
    pub fn with_unverified_emails(self) -> Self {
        Self { verified_emails_only: false, ..self }
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
            email_verified: claims.email_verified() || !self.verified_emails_only,
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

    /// Whether both lack the user name, the e-mail address, or a claim that rules read.
    pub fn lacks(&self, wanted: &Wanted, id_token: &Claims, access: Option<&Claims>) -> bool {
        let absent = |path: &str| {
            id_token.get(path).is_none() && access.is_none_or(|claims| claims.get(path).is_none())
        };
        let roles = || self.paths.roles.iter().chain(&self.paths.client_roles);
        absent(&self.paths.user_name)
            || absent(&self.paths.email)
            || wanted.groups && absent(&self.paths.groups)
            || wanted.roles && roles().all(|path| absent(path))
            || wanted.claims.iter().any(|path| absent(path))
    }

    /// The claims of an ID token, and those that only UserInfo has. The e-mail address and its verification are of one source.
    pub fn with_user_info(&self, id_token: &Claims, info: &Claims) -> Claims {
        let mut members = id_token.members().clone();
        let address = |claims: &Claims| claims.get(&self.paths.email).cloned();
        let own = address(id_token);
        if own.is_none() {
            members.remove(EMAIL_VERIFIED);
        }
        let of_another_address = own.is_some() && own != address(info);
        for (name, value) in info.members() {
            let foreign = OF_THE_PROTOCOL.contains(&name.as_str())
                || of_another_address && name == EMAIL_VERIFIED;
            if !foreign {
                members.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        // Both were read before, so that no member is of the wrong type.
        Claims::from_members(members).unwrap_or_else(|_| id_token.clone())
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
