//! The caller of a request, as rules know it.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

/// The caller, as rules know it.
#[derive(Debug, Clone)]
pub enum Caller {
    /// The caller presented no credential that counts.
    Anonymous,
    /// A caller whose identity an issuer has confirmed.
    Known(Arc<Known>),
}

impl Caller {
    /// Whether both are known and the same: one subject of one issuer.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Known(one), Self::Known(other)) => {
                !one.subject.is_empty() && one.subject == other.subject && one.iss == other.iss
            }
            _ => false,
        }
    }
}

/// A caller whose identity an issuer has confirmed: verified claims, read by the issuer's configured paths.
///
/// Realm roles and client roles are separate: a role of one client never counts as a role of the realm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// The issuer's name in the configuration, as rules write it.
    pub issuer: String,
    /// `iss`: the issuer's identifier. Empty in a session of a version that did not store it, until the session is used.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub iss: String,
    /// `sub`, unique within the issuer: identifies a person or program only together with `iss`.
    pub subject: String,
    /// The name a person signs in with.
    pub preferred_username: Option<String>,
    /// The e-mail address, if the issuer states one.
    pub email: Option<String>,
    /// Whether the address counts as verified: the issuer says so, or is trusted with all its addresses.
    pub email_verified: bool,
    /// The name to show.
    pub name: Option<String>,
    /// Roles that hold for the whole realm.
    pub roles: Vec<String>,
    /// Roles that hold for one client, by client.
    pub client_roles: BTreeMap<String, Vec<String>>,
    /// Groups, as the issuer writes them (Keycloak: full paths).
    pub groups: Vec<String>,
    /// Scopes the token was granted.
    pub scopes: Vec<String>,
    /// The client the token was issued to (`azp` or `client_id`).
    pub client: Option<String>,
    /// Whether this is a job of a platform, which its subject alone names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub workload: bool,
    /// Every verified claim, for rules on claims.
    pub claims: serde_json::Map<String, serde_json::Value>,
}

impl Known {
    /// Name of this person or program on pages and in log lines.
    pub fn display_name(&self) -> &str {
        self.name
            .as_deref()
            .or(self.preferred_username.as_deref())
            .or(self.client.as_deref())
            .unwrap_or(&self.subject)
    }

    /// Whether this is the user name. E-mail address and subject are not compared: they look like user names, but others choose
    /// them.
    pub fn is_user(&self, name: &str) -> bool {
        self.preferred_username.as_deref() == Some(name)
    }

    /// The verified e-mail address, if it is unambiguous: a mailbox, one `@`, a domain.
    fn verified_email(&self) -> Option<(&str, &str)> {
        let email = self.email.as_deref().filter(|_| self.email_verified)?;
        let (mailbox, domain) = email.split_once('@')?;
        let plain = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@')
        };
        (plain(mailbox) && plain(domain)).then_some((mailbox, domain))
    }

    /// Whether this is the verified e-mail address; letter case matters before the `@` only (RFC 5321 §2.4).
    pub fn has_email(&self, address: &str) -> bool {
        self.verified_email().zip(address.split_once('@')).is_some_and(
            |((mailbox, domain), (wanted, wanted_domain))| {
                mailbox == wanted && domain.eq_ignore_ascii_case(wanted_domain)
            },
        )
    }

    /// Whether the verified e-mail address is of exactly this domain.
    pub fn has_email_domain(&self, wanted: &str) -> bool {
        self.verified_email().is_some_and(|(_, domain)| domain.eq_ignore_ascii_case(wanted))
    }

    /// Whether a role was granted: `name` asks for a realm role, `client:name` for a role of that client. Neither matches the
    /// other, whatever characters the names hold.
    pub fn has_role(&self, role: &str) -> bool {
        match role.split_once(':') {
            None => self.roles.iter().any(|has| has == role),
            Some((client, role)) => self
                .client_roles
                .get(client)
                .is_some_and(|roles| roles.iter().any(|has| has == role)),
        }
    }

    /// The claim at a path: its exact name, or names joined by dots, those that hold dots in quotation marks
    /// (`"https://acme.example/app".tier`).
    pub fn claim(&self, path: &str) -> Option<&serde_json::Value> {
        if let Some(value) = self.claims.get(path) {
            return Some(value);
        }
        let (mut members, mut rest) = (&self.claims, path);
        loop {
            let (name, after) = match rest.strip_prefix('"') {
                Some(open) => open.split_once('"')?,
                None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
            };
            let value = members.get(name)?;
            match after.strip_prefix('.') {
                Some(more) => (members, rest) = (value.as_object()?, more),
                None => return after.is_empty().then_some(value),
            }
        }
    }
}
