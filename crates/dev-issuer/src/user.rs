//! A person who can sign in, and the service account of a client.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value};

use crate::identifiers;

/// A person who can sign in. The password is kept as plain text: this provider is for development.
///
/// ```
/// let alice = dev_issuer::User::new("alice", "alice").roles(["data-scientist"]).groups(["/lab"]);
/// ```
#[derive(Clone)]
pub struct User {
    pub(crate) username: String,
    pub(crate) password: Option<String>,
    pub(crate) subject: String,
    pub(crate) email: String,
    pub(crate) email_verified: bool,
    pub(crate) name: String,
    pub(crate) roles: Vec<String>,
    pub(crate) client_roles: BTreeMap<String, Vec<String>>,
    pub(crate) groups: Vec<String>,
    pub(crate) claims: Map<String, Value>,
}

impl User {
    /// A person with this name and password. `sub` is derived from the name, so it is the same after a
    /// restart.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        let mut user = Self::without_password(username.into());
        user.password = Some(password.into());
        user
    }

    /// A user who cannot sign in: the service account of a client.
    pub(crate) fn without_password(username: String) -> Self {
        Self {
            subject: subject_of(&username),
            email: format!("{username}@example.test"),
            email_verified: true,
            name: capitalised(&username),
            roles: Vec::new(),
            client_roles: BTreeMap::new(),
            groups: Vec::new(),
            claims: Map::new(),
            password: None,
            username,
        }
    }

    /// Sets `sub`, instead of the one derived from the name.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// Sets `email`; `<username>@example.test` by default.
    #[must_use]
    pub fn email(mut self, email: impl Into<String>) -> Self {
        self.email = email.into();
        self
    }

    /// Sets `email_verified`; true by default.
    #[must_use]
    pub fn email_verified(mut self, verified: bool) -> Self {
        self.email_verified = verified;
        self
    }

    /// Sets `name`; its first word is `given_name`, the rest `family_name`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Adds realm roles, besides those that every user has.
    #[must_use]
    pub fn roles(mut self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.roles.extend(roles.into_iter().map(Into::into));
        self
    }

    /// Adds roles on one client. As in Keycloak, they put that client into `aud`.
    #[must_use]
    pub fn client_roles(
        mut self,
        client: impl Into<String>,
        roles: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let own = self.client_roles.entry(client.into()).or_default();
        own.extend(roles.into_iter().map(Into::into));
        self
    }

    /// Adds groups, as paths: `/lab/imaging`.
    #[must_use]
    pub fn groups(mut self, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.groups.extend(groups.into_iter().map(Into::into));
        self
    }

    /// Adds a claim to access token, ID token and userinfo.
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    pub(crate) fn has_password(&self, presented: &str) -> bool {
        self.password.as_deref().is_some_and(|own| {
            verify_slices_are_equal(own.as_bytes(), presented.as_bytes()).is_ok()
        })
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A version 8 UUID made of the name ([RFC 9562 §5.8](https://www.rfc-editor.org/rfc/rfc9562#section-5.8)).
fn subject_of(username: &str) -> String {
    let hash = digest(&SHA256, username.as_bytes());
    let mut bytes = [0_u8; 16];
    for (byte, from) in bytes.iter_mut().zip(hash.as_ref()) {
        *byte = *from;
    }
    identifiers::uuid(bytes, 8)
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
