//! Differences from the usual answers: pieces from which the dialects of other providers are composed.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Differences of a provider's answers from this crate's usual ones, which have Keycloak's shape.
///
/// Each method is one piece; a whole provider's dialect is several of them.
///
/// ```
/// use dev_issuer::Dialect;
/// use serde_json::json;
/// let terse = Dialect::new().minimal_id_token().without_refresh_tokens().lifetimes_as_text();
/// let renamed = terse.id_token("email_verified", json!("true")).without_discovery("jwks_uri");
/// # drop(renamed);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Dialect {
    discovery: Changes,
    token_answer: Changes,
    refresh_answer: Changes,
    access_token: Changes,
    id_token: Changes,
    userinfo: Changes,
    introspection: Changes,
    lifetimes_as_text: bool,
    without_key_ids: bool,
    secrets_in_body_only: bool,
    signed_userinfo: bool,
}

/// Claims about a person.
const PROFILE: [&str; 7] = [
    "name",
    "given_name",
    "family_name",
    "preferred_username",
    "email",
    "email_verified",
    "groups",
];

/// Members to set, and with `None` to leave out.
#[derive(Clone, Debug, Default)]
struct Changes(BTreeMap<String, Option<Value>>);

impl Changes {
    fn apply(&self, members: &mut Map<String, Value>) {
        for (name, value) in &self.0 {
            match value {
                Some(value) => drop(members.insert(name.clone(), value.clone())),
                None => drop(members.remove(name)),
            }
        }
    }

    fn set(&mut self, name: impl Into<String>, value: Option<Value>) {
        self.0.insert(name.into(), value);
    }
}

macro_rules! changes {
    ($($(#[$doc:meta])* $with:ident, $(#[$doc_without:meta])* $without:ident => $place:ident;)+) => {
        impl Dialect {
            $(
                $(#[$doc])*
                pub fn $with(mut self, name: impl Into<String>, value: Value) -> Self {
                    self.$place.set(name, Some(value));
                    self
                }

                $(#[$doc_without])*
                pub fn $without(mut self, name: impl Into<String>) -> Self {
                    self.$place.set(name, None);
                    self
                }
            )+
        }
    };
}

changes! {
    /// Sets a member of the discovery document.
    discovery,
    /// Leaves a member out of the discovery document.
    without_discovery => discovery;
    /// Sets a member of every answer with tokens.
    token_answer,
    /// Leaves a member out of every answer with tokens.
    without_token_answer => token_answer;
    /// Sets a member of the answers to refreshes.
    refresh_answer,
    /// Leaves a member out of the answers to refreshes.
    without_refresh_answer => refresh_answer;
    /// Sets a claim of access tokens.
    access_token,
    /// Leaves a claim out of access tokens.
    without_access_token => access_token;
    /// Sets a claim of ID tokens.
    id_token,
    /// Leaves a claim out of ID tokens.
    without_id_token => id_token;
    /// Sets a claim of UserInfo.
    userinfo,
    /// Leaves a claim out of UserInfo.
    without_userinfo => userinfo;
    /// Sets a member of answers to introspection.
    introspection,
    /// Leaves a member out of answers to introspection.
    without_introspection => introspection;
}

impl Dialect {
    /// No difference.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes `expires_in` and `refresh_expires_in` as texts.
    pub fn lifetimes_as_text(mut self) -> Self {
        self.lifetimes_as_text = true;
        self
    }

    /// Answers without `expires_in` and `refresh_expires_in`.
    pub fn without_lifetimes(self) -> Self {
        self.without_token_answer("expires_in").without_token_answer("refresh_expires_in")
    }

    /// Answers without refresh tokens, as for a client that did not ask for offline access.
    pub fn without_refresh_tokens(self) -> Self {
        self.without_token_answer("refresh_token").without_token_answer("refresh_expires_in")
    }

    /// Answers to refreshes without an ID token, which OpenID Connect Core 1.0 §12.2 leaves to the
    /// provider.
    pub fn without_id_token_on_refresh(self) -> Self {
        self.without_refresh_answer("id_token")
    }

    /// ID tokens with the claims of the protocol only: who the person is, UserInfo says.
    pub fn minimal_id_token(self) -> Self {
        let roles = ["realm_access", "resource_access"];
        PROFILE.into_iter().chain(roles).fold(self, Self::without_id_token)
    }

    /// Access tokens with the claims of the protocol and the roles only.
    pub fn minimal_access_token(self) -> Self {
        PROFILE.into_iter().fold(self, Self::without_access_token)
    }

    /// Keys and tokens without `kid`.
    pub fn without_key_ids(mut self) -> Self {
        self.without_key_ids = true;
        self
    }

    /// Takes client secrets in the body only (`client_secret_post`), and offers that method alone.
    pub fn secrets_in_body_only(mut self) -> Self {
        self.secrets_in_body_only = true;
        self.discovery("token_endpoint_auth_methods_supported", json!(["client_secret_post"]))
    }

    /// Signs UserInfo (OpenID Connect Core 1.0 §5.3.2), for clients that registered
    /// `userinfo_signed_response_alg`. Its `iss` and `aud` are claims to change like the others.
    pub fn signed_userinfo(mut self) -> Self {
        self.signed_userinfo = true;
        self
    }

    pub(crate) fn signs_userinfo(&self) -> bool {
        self.signed_userinfo
    }

    pub(crate) fn takes_basic(&self) -> bool {
        !self.secrets_in_body_only
    }

    pub(crate) fn names_keys(&self) -> bool {
        !self.without_key_ids
    }

    pub(crate) fn change_discovery(&self, members: &mut Value) {
        change(members, &self.discovery);
    }

    pub(crate) fn change_token_answer(&self, members: &mut Value, refreshed: bool) {
        if let (true, Value::Object(members)) = (self.lifetimes_as_text, &mut *members) {
            for name in ["expires_in", "refresh_expires_in"] {
                if let Some(value) = members.get_mut(name) {
                    *value = json!(value.to_string());
                }
            }
        }
        change(members, &self.token_answer);
        if refreshed {
            change(members, &self.refresh_answer);
        }
    }

    pub(crate) fn change_access_token(&self, claims: &mut Map<String, Value>) {
        self.access_token.apply(claims);
    }

    pub(crate) fn change_id_token(&self, claims: &mut Map<String, Value>) {
        self.id_token.apply(claims);
    }

    pub(crate) fn change_userinfo(&self, claims: &mut Map<String, Value>) {
        self.userinfo.apply(claims);
    }

    pub(crate) fn change_introspection(&self, answer: &mut Value) {
        change(answer, &self.introspection);
    }
}

fn change(value: &mut Value, changes: &Changes) {
    if let Value::Object(members) = value {
        changes.apply(members);
    }
}
