//! The names of a caller in its claims: user name, roles, groups and scopes, by configured paths.
//!
//! Providers differ in the claims that hold these, so the paths are a setting and not code. A pure function: claims in,
//! [`Names`] out.

use std::collections::BTreeMap;

use super::{ClaimValue, Claims, Scope};

/// Paths of a caller's names in claims ([`Claims::get`]).
///
/// ```
/// use oidc_core::Claims;
/// use oidc_core::token::ClaimPaths;
///
/// // Zitadel states roles as an object.
/// let claims = Claims::parse(
///     br#"{"sub":"1","urn:zitadel:iam:org:project:roles":{"analyst":{"2":"acme.example"}},"scp":["score"]}"#,
/// )?;
/// let paths = ClaimPaths::generic().with_roles(["urn:zitadel:iam:org:project:roles"]);
/// let names = paths.read(&claims);
/// assert_eq!(names.roles, ["analyst"]);
/// assert!(names.scopes.contains("score"));
/// # Ok::<(), oidc_core::token::InvalidClaims>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimPaths {
    /// The subject, instead of `sub`.
    pub subject: Option<String>,
    /// The name that a person signs in with.
    pub user_name: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The display name.
    pub name: Option<String>,
    /// Roles.
    pub roles: Vec<String>,
    /// Roles at clients: an object `{ CLIENT: { roles: […] } }`.
    pub client_roles: Option<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// Scopes.
    pub scopes: Vec<String>,
}

/// The names that [`ClaimPaths`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Names {
    /// The subject: the text at the configured path, never empty.
    pub subject: Option<String>,
    /// The name that a person signs in with.
    pub user_name: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The display name.
    pub name: Option<String>,
    /// Roles.
    pub roles: Vec<String>,
    /// Roles at clients.
    pub client_roles: BTreeMap<String, Vec<String>>,
    /// Groups.
    pub groups: Vec<String>,
    /// Scopes.
    pub scopes: Scope,
}

impl ClaimPaths {
    /// The claims of Keycloak: `preferred_username`, `email`, `name`, `realm_access.roles`,
    /// `resource_access`, `groups`, `scope`.
    pub fn keycloak() -> Self {
        Self {
            roles: vec!["realm_access.roles".to_owned()],
            client_roles: Some("resource_access".to_owned()),
            scopes: vec!["scope".to_owned()],
            ..Self::generic()
        }
    }

    /// The claims that most other providers write: `preferred_username`, `email`, `name`, `roles`,
    /// `groups`, `scope` and `scp`.
    pub fn generic() -> Self {
        let text = |name: &str| Some(name.to_owned());
        Self {
            subject: None,
            user_name: text("preferred_username"),
            email: text("email"),
            name: text("name"),
            roles: vec!["roles".to_owned()],
            client_roles: None,
            groups: vec!["groups".to_owned()],
            scopes: vec!["scope".to_owned(), "scp".to_owned()],
        }
    }

    /// No claim but the subject: the identity of a workload.
    pub fn none() -> Self {
        Self::default()
    }

    /// Sets the path of the subject, instead of `sub`.
    #[must_use]
    pub fn with_subject(mut self, path: impl Into<String>) -> Self {
        self.subject = Some(path.into());
        self
    }

    /// Sets the path of the user name.
    #[must_use]
    pub fn with_user_name(mut self, path: impl Into<String>) -> Self {
        self.user_name = Some(path.into());
        self
    }

    /// Sets the path of the e-mail address.
    #[must_use]
    pub fn with_email(mut self, path: impl Into<String>) -> Self {
        self.email = Some(path.into());
        self
    }

    /// Sets the path of the display name.
    #[must_use]
    pub fn with_name(mut self, path: impl Into<String>) -> Self {
        self.name = Some(path.into());
        self
    }

    /// Sets the paths of roles.
    #[must_use]
    pub fn with_roles<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.roles = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the path of roles at clients; `None`: there are none.
    #[must_use]
    pub fn with_client_roles(mut self, path: Option<String>) -> Self {
        self.client_roles = path;
        self
    }

    /// Sets the paths of groups.
    #[must_use]
    pub fn with_groups<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.groups = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the paths of scopes.
    #[must_use]
    pub fn with_scopes<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.scopes = paths.into_iter().map(Into::into).collect();
        self
    }

    /// All paths, for a check of their form ([`Claims::is_path`]).
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let single = [&self.subject, &self.user_name, &self.email, &self.name, &self.client_roles];
        let lists = [&self.roles, &self.groups, &self.scopes];
        let single = single.into_iter().flatten();
        single.chain(lists.into_iter().flatten()).map(String::as_str)
    }

    /// The names in `claims`. Values of other types than expected are ignored.
    pub fn read(&self, claims: &Claims) -> Names {
        let text = |path: &Option<String>| {
            path.as_deref().and_then(|path| claims.get(path)?.as_str()).map(str::to_owned)
        };
        let names =
            |paths: &[String]| paths.iter().flat_map(|path| claims.names_at(path)).collect();
        let subject = match &self.subject {
            None => claims.subject.clone(),
            path => text(path).filter(|subject| !subject.trim().is_empty()),
        };
        Names {
            subject,
            user_name: text(&self.user_name),
            email: text(&self.email),
            name: text(&self.name),
            roles: names(&self.roles),
            client_roles: self.client_roles(claims),
            groups: names(&self.groups),
            scopes: self.scopes.iter().flat_map(|path| claims.scopes_at(path)).collect(),
        }
    }

    fn client_roles(&self, claims: &Claims) -> BTreeMap<String, Vec<String>> {
        let clients = self.client_roles.as_deref().and_then(|path| claims.get(path)?.as_object());
        let roles = |access: ClaimValue<'_>| names_of(access.get("roles")).collect();
        let clients = clients.into_iter().flatten();
        clients.map(|(name, access)| (name.to_owned(), roles(access))).collect()
    }
}

impl Claims {
    /// The names at a path: a list of texts, a single text, or the keys of an object whose values are
    /// objects, as Zitadel states roles. Values of other types are ignored.
    pub fn names_at(&self, path: &str) -> impl Iterator<Item = String> + use<'_> {
        names_of(self.get(path))
    }

    /// The scopes at a path: words of one text (RFC 6749 §3.3), or a list with one scope in each text.
    fn scopes_at(&self, path: &str) -> impl Iterator<Item = &str> {
        let (words, list) = match self.get(path) {
            Some(ClaimValue::Text(text)) => (text, None),
            Some(ClaimValue::Array(values)) => ("", Some(values)),
            _ => ("", None),
        };
        // Not split at spaces: a list says where one scope ends.
        let listed = list.into_iter().flatten().filter_map(|value| value.as_str());
        let listed = listed.filter(|text| !text.contains(' '));
        words.split(' ').chain(listed)
    }
}

fn names_of(value: Option<ClaimValue<'_>>) -> impl Iterator<Item = String> {
    let (one, list, object) = match value {
        Some(ClaimValue::Text(text)) => (Some(text), None, None),
        Some(ClaimValue::Array(values)) => (None, Some(values), None),
        Some(ClaimValue::Object(members)) => (None, None, Some(members)),
        _ => (None, None, None),
    };
    let listed = list.into_iter().flatten().filter_map(|value| value.as_str());
    let keys = object.filter(|members| members.clone().all(|(_, value)| value.is_object()));
    let keys = keys.into_iter().flatten().map(|(name, _)| name);
    one.into_iter().chain(listed).chain(keys).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ClaimPaths, Claims};

    #[test]
    fn names_have_one_of_three_forms() {
        let claims = json!({
            "list": ["a", 1, "b"],
            "one": "a b",
            "object": {"admin": {"1": "acme.example"}, "viewer": {}},
            "flags": {"admin": true},
            "number": 1,
        });
        let claims = Claims::parse(claims.to_string().as_bytes()).unwrap();
        let names = |path: &str| claims.names_at(path).collect::<Vec<_>>();
        assert_eq!(names("list"), ["a", "b"]);
        assert_eq!(names("one"), ["a b"]);
        assert_eq!(names("object"), ["admin", "viewer"]);
        for none in ["flags", "number", "absent"] {
            assert!(names(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn a_listed_scope_is_never_split() {
        let claims = Claims::parse(br#"{"scope":"a b","scp":["c","admin x"]}"#).unwrap();
        let scopes = ClaimPaths::generic().read(&claims).scopes;
        assert_eq!(scopes.to_string(), "a b c");
        assert_eq!(ClaimPaths::keycloak().read(&claims).scopes.to_string(), "a b");
    }
}
