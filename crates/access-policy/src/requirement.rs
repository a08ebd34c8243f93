//! Requirements of a rule, and the parts that a caller lacks.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use crate::{caller::Known, subject};

/// A requirement on the caller. Every key must match; within a key one value is enough.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Requirement {
    /// User names.
    pub users: Vec<String>,
    /// Verified e-mail addresses.
    pub emails: Vec<String>,
    /// Domains of verified e-mail addresses.
    pub email_domains: Vec<String>,
    /// Subjects; `*` matches any text without `:` and `/`.
    pub subjects: Vec<String>,
    /// Realm roles, or `client:role`.
    pub roles: Vec<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// Granted scopes.
    pub scopes: Vec<String>,
    /// Clients the token was issued to.
    pub clients: Vec<String>,
    /// Issuers, by their names in the configuration.
    pub issuers: Vec<String>,
    /// Claims, by dotted path, each with the accepted values.
    pub claims: BTreeMap<String, Vec<Value>>,
}

/// Unmet requirements, for the refusal page, the log and `doorward explain`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Unmet {
    /// One entry for each alternative, each a sentence: `needs one of the roles admin, data-scientist`.
    pub alternatives: Vec<String>,
    /// Those of the alternatives that a person can meet: no other client than the caller's is among their conditions.
    pub for_people: Vec<String>,
    /// Scopes a token would need, for the challenge (RFC 6750 §3).
    pub scopes: Vec<String>,
}

impl Unmet {
    /// The unmet keys of each requirement, for a caller who meets none of them.
    pub(super) fn of(requirements: &[Requirement], known: &Known) -> Self {
        let scopes = requirements.iter().filter(|requirement| requirement.lacks_only_scopes(known));
        let missing = |requirement: &Requirement| requirement.missing(known);
        let for_person = |requirement: &&Requirement| {
            requirement.clients.is_empty()
                || known.client.as_ref().is_some_and(|own| requirement.clients.contains(own))
        };
        Self {
            alternatives: requirements.iter().map(missing).collect(),
            for_people: requirements.iter().filter(for_person).map(missing).collect(),
            scopes: scopes.flat_map(|requirement| requirement.scopes.iter().cloned()).collect(),
        }
    }

    /// The alternatives in one line.
    pub fn summary(&self) -> String {
        if self.alternatives.is_empty() {
            "no rule allows it".to_owned()
        } else {
            self.alternatives.join(", or ")
        }
    }
}

impl Requirement {
    /// Whether the caller meets every key. No caller meets an empty requirement.
    pub fn is_met_by(&self, known: &Known) -> bool {
        *self != Self::default() && self.keys(known).all(|key| key.met)
    }

    fn missing(&self, known: &Known) -> String {
        let missing = self.keys(known).filter(|key| !key.met).map(|key| key.words());
        format!("needs {}", missing.collect::<Vec<_>>().join(" and "))
    }

    fn lacks_only_scopes(&self, known: &Known) -> bool {
        !self.scopes.is_empty() && self.keys(known).all(|key| key.met || key.singular == "scope")
    }

    fn keys<'a>(&'a self, known: &'a Known) -> impl Iterator<Item = Key<'a>> {
        let names = |singular, wanted: &'a [String], has: &dyn Fn(&String) -> bool| Key {
            singular,
            wanted: Wanted::Names(wanted),
            met: wanted.iter().any(has),
        };
        let lists = [
            names("user", &self.users, &|name| known.is_user(name)),
            names("verified e-mail", &self.emails, &|address| known.has_email(address)),
            names("verified e-mail domain", &self.email_domains, &|domain| {
                known.has_email_domain(domain)
            }),
            names("subject", &self.subjects, &|pattern| subject::matches(pattern, &known.subject)),
            names("role", &self.roles, &|role| known.has_role(role)),
            names("group", &self.groups, &|group| known.groups.contains(group)),
            names("scope", &self.scopes, &|scope| known.scopes.contains(scope)),
            names("client", &self.clients, &|client| known.client.as_ref() == Some(client)),
            names("issuer", &self.issuers, &|issuer| known.issuer == *issuer),
        ];
        let written = lists.into_iter().filter(|key| !matches!(key.wanted, Wanted::Names([])));
        let claims = self.claims.iter().map(|(path, wanted)| Key {
            singular: "claim",
            wanted: Wanted::Claim(path, wanted),
            met: known.claim(path).is_some_and(|found| claim_matches(found, wanted)),
        });
        written.chain(claims)
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = Known::default();
        let words: Vec<String> = self.keys(&unknown).map(|key| key.words()).collect();
        f.write_str(&words.join(" and "))
    }
}

/// One key of a requirement, judged.
struct Key<'a> {
    singular: &'static str,
    wanted: Wanted<'a>,
    met: bool,
}

enum Wanted<'a> {
    Names(&'a [String]),
    Claim(&'a str, &'a [Value]),
}

impl Key<'_> {
    fn words(&self) -> String {
        let wanted: Vec<String> = match self.wanted {
            Wanted::Names(names) => names.to_vec(),
            Wanted::Claim(path, values) => {
                values.iter().map(|value| format!("{path}={value}")).collect()
            }
        };
        match wanted.as_slice() {
            [one] => format!("the {} {one}", self.singular),
            many => format!("one of the {}s {}", self.singular, many.join(", ")),
        }
    }
}

/// A claim matches when it is one of the wanted values, or a list that holds one. Types are not converted.
fn claim_matches(found: &Value, wanted: &[Value]) -> bool {
    match found {
        Value::Array(values) => values.iter().any(|value| wanted.contains(value)),
        value => wanted.contains(value),
    }
}
