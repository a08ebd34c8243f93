//! Checks, and the findings that they lead to.

use serde::Serialize;
use serde_json::Value;

use super::facts::Facts;
use super::needs::Needs;

/// Weight of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Logins, tokens or sign-outs fail.
    Fails,
    /// They work, with less protection.
    Weakens,
}

impl Severity {
    /// The word in the output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fails => "fails",
            Self::Weakens => "weakens",
        }
    }
}

/// Access that a check needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// The issuer's public documents, and requests of the gateway's own client.
    Client,
    /// Either of the two shows it; the settings show more.
    Both,
    /// Settings that only an administrator of Keycloak may read.
    Administration,
}

/// One possible mistake at the issuer.
#[derive(Debug)]
pub struct Check {
    /// Its stable name.
    pub name: &'static str,
    /// Its weight.
    pub severity: Severity,
    /// The mistake, for the table of all checks.
    pub summary: &'static str,
    /// The consequence.
    pub effect: &'static str,
    /// The setting.
    pub setting: &'static str,
    /// Its place in the admin console of Keycloak 26; `{client}` stands for the client.
    pub place: &'static str,
    /// Access that it needs.
    pub reads: Reads,
    /// Finds it.
    pub(super) judge: fn(&Needs, &Facts) -> Vec<Problem>,
}

/// A mistake that was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Problem {
    /// The mistake, in one sentence.
    pub(super) text: String,
    /// The value to set.
    pub(super) value: String,
    /// The client that the place is about, if another than the gateway's.
    pub(super) client: Option<String>,
    /// Changes that correct it.
    pub(super) changes: Vec<Change>,
}

impl Problem {
    pub(super) fn new(text: impl Into<String>, value: impl Into<String>) -> Self {
        Self { text: text.into(), value: value.into(), client: None, changes: Vec::new() }
    }

    pub(super) fn of_client(mut self, client: &str) -> Self {
        self.client = Some(client.to_owned());
        self
    }

    pub(super) fn with(mut self, changes: impl IntoIterator<Item = Change>) -> Self {
        self.changes.extend(changes);
        self
    }
}

/// A mistake that was found, with its check.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// The check.
    pub(super) check: &'static Check,
    /// The place in the admin console.
    pub(super) place: String,
    /// The mistake.
    pub(super) problem: Problem,
}

impl Finding {
    /// The finding of a check.
    pub(super) fn new(check: &'static Check, needs: &Needs, problem: Problem) -> Self {
        let client = problem.client.as_deref().unwrap_or(&needs.client);
        Self { place: check.place.replace("{client}", client), check, problem }
    }
}

/// One change at Keycloak.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// A setting of the realm.
    Realm(Setting),
    /// A setting of a client.
    Client {
        /// The client's id.
        client: String,
        /// The setting.
        setting: Setting,
    },
    /// A new mapper of a client.
    NewMapper {
        /// The client's id.
        client: String,
        /// The mapper.
        mapper: NewMapper,
    },
    /// A setting of a mapper that exists.
    Mapper {
        /// Its path in the admin API, below the realm; `None`: below the gateway's client.
        path: String,
        /// Its name.
        name: String,
        /// The setting.
        setting: Setting,
    },
    /// A new client scope with one mapper, for the clients that request tokens; the configuration does not know them.
    NewScope {
        /// Its name.
        name: String,
        /// The mapper.
        mapper: NewMapper,
    },
    /// A client scope that a client no longer has.
    ScopeTaken {
        /// The client's id.
        client: String,
        /// The scope's name.
        scope: String,
        /// Whether it is among the default scopes; else among the optional ones.
        default: bool,
        /// The scopes of that kind that stay.
        rest: Vec<String>,
    },
    /// A role that tokens of a client may hold.
    RoleInScope {
        /// The client's id.
        client: String,
        /// The role; `client:role` for a client's.
        role: String,
    },
}

/// A new value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setting {
    /// The member in the admin API, as `kcadm.sh` writes it.
    pub(super) member: &'static str,
    /// The value there.
    pub(super) value: Value,
    /// The same in Terraform.
    pub(super) terraform: Terraform,
}

impl Setting {
    /// A setting with the same value in both.
    pub(super) fn new(
        member: &'static str,
        argument: &'static str,
        value: impl Into<Value>,
    ) -> Self {
        let value = value.into();
        Self { member, terraform: Terraform::Argument(argument, value.clone()), value }
    }

    /// The same with another value or form in Terraform.
    pub(super) fn written_as(mut self, terraform: Terraform) -> Self {
        self.terraform = terraform;
        self
    }
}

/// A value as Terraform's provider `keycloak/keycloak` writes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Terraform {
    /// An argument of the resource.
    Argument(&'static str, Value),
    /// A member of `extra_config`.
    Extra(&'static str, Value),
    /// Lines as they are.
    Lines(&'static str),
}

/// A mapper to make.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum NewMapper {
    /// Brings a client's name into `aud`.
    Audience(String),
    /// Brings another text into `aud`.
    CustomAudience(String),
    /// Writes the groups into a claim.
    Groups {
        /// The claim.
        claim: String,
        /// Whether with the path.
        full_path: bool,
    },
    /// Writes realm roles into a claim.
    RealmRoles(String),
    /// Writes client roles into a claim.
    ClientRoles(String),
}
