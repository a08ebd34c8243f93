//! Options of oauth2-proxy, by the names of its configuration file.
//!
//! A flag replaces a variable, and a variable replaces the file, as in the program: lists of two sources are never joined.

use std::collections::BTreeMap;

mod forms;

/// Options that are set, by name.
#[derive(Debug, Default)]
pub(super) struct Options {
    set: BTreeMap<String, (Source, Vec<String>)>,
    elsewhere: Vec<String>,
}

/// Sources of options; a later one replaces an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    File,
    Variables,
    Flags,
}

/// Options with several values: the flag's name, to which the file's adds an `s`.
const LISTS: [&str; 25] = [
    "allowed_group",
    "allowed_role",
    "api_route",
    "cookie_domain",
    "email_domain",
    "entra_id_allowed_tenant",
    "exclude_logging_path",
    "extra_jwt_issuer",
    "github_user",
    "gitlab_group",
    "gitlab_project",
    "google_group",
    "keycloak_group",
    "oidc_audience_claim",
    "oidc_enabled_signing_alg",
    "oidc_extra_audience",
    "oidc_public_key_file",
    "provider_ca_file",
    "redis_cluster_connection_url",
    "redis_sentinel_connection_url",
    "skip_auth_route",
    "trusted_ip",
    "trusted_proxy_ip",
    "upstream",
    "whitelist_domain",
];

/// The one list whose name is the same everywhere.
const SKIPPED: &str = "skip_auth_regex";

impl Options {
    /// Whether none is set.
    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Removes an option, and returns its last value.
    pub(super) fn one(&mut self, name: &str) -> Option<String> {
        self.set.remove(name)?.1.pop().filter(|value| !value.is_empty())
    }

    /// Removes an option, and returns its values.
    pub(super) fn all(&mut self, name: &str) -> Vec<String> {
        let mut values = self.set.remove(name).map(|(_, values)| values).unwrap_or_default();
        values.retain(|value| !value.is_empty());
        values
    }

    /// Removes a switch; `None` if it is not written.
    pub(super) fn switch(&mut self, name: &str) -> Option<bool> {
        self.one(name)
            .map(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "t"))
    }

    /// Removes a switch that is on.
    pub(super) fn is_on(&mut self, name: &str) -> bool {
        self.switch(name) == Some(true)
    }

    /// Variables whose values a manifest takes from elsewhere.
    pub(super) fn elsewhere(&self) -> &[String] {
        &self.elsewhere
    }

    /// The names that are left.
    pub(super) fn rest(self) -> impl Iterator<Item = String> {
        self.set.into_keys()
    }

    /// Adds the values of a key of the alpha configuration, if it is there.
    pub(super) fn add(&mut self, name: &str, value: &serde_json::Value) {
        use serde_json::Value;
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
            _ => None,
        };
        match value {
            Value::Array(items) => self.set(Source::Flags, name, items.iter().filter_map(text)),
            Value::Null => {}
            one => self.set(Source::Flags, name, text(one)),
        }
    }

    /// Sets an option to a text, whose values are separated by commas where the option is a list.
    fn set_text(&mut self, source: Source, name: &str, text: &str) {
        if is_list(&named(name)) {
            self.set(source, name, text.split(',').map(|part| part.trim().to_owned()));
        } else {
            self.set(source, name, [text.to_owned()]);
        }
    }

    fn set(&mut self, source: Source, name: &str, values: impl IntoIterator<Item = String>) {
        let entry = self.set.entry(named(name)).or_insert_with(|| (source, Vec::new()));
        if source > entry.0 {
            *entry = (source, Vec::new());
        }
        if source == entry.0 {
            entry.1.extend(values);
        }
    }
}

/// The name of an option in the configuration file.
fn named(name: &str) -> String {
    let name = name.to_ascii_lowercase().replace('-', "_");
    if LISTS.contains(&name.as_str()) { format!("{name}s") } else { name }
}

fn is_list(name: &str) -> bool {
    name == SKIPPED || name.strip_suffix('s').is_some_and(|name| LISTS.contains(&name))
}
