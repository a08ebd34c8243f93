//! Converts claims to an identity, by configured paths.
//!
//! Issuers differ in where they put roles and groups, so the paths are configuration and not code. A pure function: claims in,
//! [`Known`] out.

use std::{collections::BTreeSet, sync::Arc};

use access_policy::Known;
use oidc_core::Claims;
use oidc_core::token::{ClaimPaths, Names};

use crate::config::{IssuerConfig, Profile};

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
    /// Whether `iss` names the tenant, and the issuer is a template of the tenants' identifiers.
    tenants: bool,
    /// Whether the callers are workloads: no client stands for them.
    workloads: bool,
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
    /// Reads claims of the issuer with this name in the configuration.
    pub fn new(name: impl Into<String>, issuer: &IssuerConfig) -> Self {
        Self {
            issuer: name.into(),
            iss: issuer.url.clone(),
            paths: issuer.claim_paths(),
            tenants: !issuer.tenants.is_empty(),
            workloads: issuer.profile == Profile::Workload,
            verified_emails_only: issuer.email.require_verified,
        }
    }

    /// The identity in these claims.
    pub fn read(&self, claims: &Claims) -> Arc<Known> {
        let Names {
            subject, user_name, email, name, mut roles, client_roles, groups, scopes, ..
        } = self.paths.read(claims);
        if self.paths.client_roles.is_some() {
            // `client:role` asks for a client's role; a realm role of that name must not match.
            roles.retain(|role| !role.contains(':'));
        }
        let iss = claims.issuer.as_ref().filter(|_| self.tenants).unwrap_or(&self.iss);
        Arc::new(Known {
            issuer: self.issuer.clone(),
            iss: iss.clone(),
            subject: subject.unwrap_or_default(),
            preferred_username: user_name,
            email,
            email_verified: claims.email_verified() || !self.verified_emails_only,
            name,
            roles,
            client_roles,
            groups,
            scopes: scopes.iter().map(str::to_owned).collect(),
            client: claims.client().filter(|_| !self.workloads).map(str::to_owned),
            workload: self.workloads,
            claims: claims.to_map(),
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
        let absent = |path: &String| {
            id_token.get(path).is_none() && access.is_none_or(|claims| claims.get(path).is_none())
        };
        let roles = || self.paths.roles.iter().chain(&self.paths.client_roles);
        self.paths.user_name.as_ref().is_some_and(absent)
            || self.paths.email.as_ref().is_some_and(absent)
            || wanted.groups && self.paths.groups.iter().all(absent)
            || wanted.roles && roles().all(absent)
            || wanted.claims.iter().any(absent)
    }

    /// The claims of an ID token, and those that only UserInfo has. The e-mail address and its verification are of one source.
    pub fn with_user_info(&self, id_token: &Claims, info: &Claims) -> Claims {
        let mut members = id_token.to_map();
        let path = self.paths.email.as_deref();
        let address =
            |claims: &Claims| path.and_then(|path| claims.get(path)).map(|value| value.to_value());
        let own = address(id_token);
        if own.is_none() {
            members.remove(EMAIL_VERIFIED);
        }
        let of_another_address = own.is_some() && own != address(info);
        for (name, value) in info {
            let foreign =
                OF_THE_PROTOCOL.contains(&name) || of_another_address && name == EMAIL_VERIFIED;
            if !foreign {
                members.entry(name).or_insert_with(|| value.to_value());
            }
        }
        // Both were read before, so that no member is of the wrong type.
        Claims::from_members(members).unwrap_or_else(|_| id_token.clone())
    }
}

fn union(mut own: Vec<String>, more: &[String]) -> Vec<String> {
    for value in more {
        if !own.contains(value) {
            own.push(value.clone());
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use oidc_core::Claims;

    use super::ClaimReader;
    use crate::config::IssuerConfig;

    fn reader(yaml: &str) -> ClaimReader {
        let issuer: IssuerConfig = serde_json::from_str(yaml).unwrap();
        ClaimReader::new("other", &issuer)
    }

    #[test]
    fn subjects_of_two_tenants_are_kept_apart() {
        let entra = reader(
            r#"{"url":"https://id.example/{tenantid}/v2.0","tenants":["a","b"],"profile":"generic"}"#,
        );
        let read = |tenant: &str| {
            let claims =
                format!(r#"{{"iss":"https://id.example/{tenant}/v2.0","sub":"1","oid":"2"}}"#);
            entra.read(&Claims::parse(claims.as_bytes()).unwrap())
        };
        assert_eq!(read("a").iss, "https://id.example/a/v2.0");
        assert_eq!(read("b").iss, "https://id.example/b/v2.0");
        assert_eq!((&*read("a").issuer, &*read("a").subject), ("other", "1"));
    }

    #[test]
    fn a_workload_is_named_by_its_subject_alone() {
        let google = reader(r#"{"url":"https://id.example","profile":"workload"}"#);
        let claims = Claims::parse(
            br#"{"sub":"robot","azp":"12","email":"a@b.example","email_verified":true,"name":"A","scope":"s",
                "groups":["g"],"realm_access":{"roles":["admin"]},"resource_access":{"hub":{"roles":["x"]}}}"#,
        );
        let known = google.read(&claims.unwrap());
        assert_eq!((known.display_name(), known.client.as_ref()), ("robot", None));
        assert!(known.workload);
        assert_eq!(known.iss, "https://id.example");
        assert!(known.roles.is_empty() && known.groups.is_empty() && known.scopes.is_empty());
        assert!(known.client_roles.is_empty() && known.email.is_none() && known.name.is_none());
    }
}
