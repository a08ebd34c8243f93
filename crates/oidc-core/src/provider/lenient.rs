//! Reads leniently the members of a discovery document that no check needs.
//!
//! `null` and empty text mean that a member is absent. An informative list may be a single text, an
//! informative flag a text; of any other kind they are ignored. Endpoints, and members that decide how
//! a provider's answers are checked, are never repaired.

use serde_json::{Map, Value};

/// Lists that no check needs.
const LISTS: [&str; 6] = [
    "scopes_supported",
    "response_modes_supported",
    "response_types_supported",
    "subject_types_supported",
    "grant_types_supported",
    "code_challenge_methods_supported",
];

/// Flags that no check needs.
const FLAGS: [&str; 3] = [
    "backchannel_logout_supported",
    "backchannel_logout_session_supported",
    "frontchannel_logout_supported",
];

/// The other members that are read, but for `issuer`: endpoints, and what checks need.
const NEEDED: [&str; 18] = [
    "jwks_uri",
    "authorization_endpoint",
    "token_endpoint",
    "userinfo_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "pushed_authorization_request_endpoint",
    "device_authorization_endpoint",
    "end_session_endpoint",
    "require_pushed_authorization_requests",
    "authorization_response_iss_parameter_supported",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
    "id_token_signing_alg_values_supported",
    "userinfo_signing_alg_values_supported",
    "dpop_signing_alg_values_supported",
    "tls_client_certificate_bound_access_tokens",
    "mtls_endpoint_aliases",
];

/// All members that are read, but for `issuer`.
fn members() -> impl Iterator<Item = &'static str> {
    NEEDED.into_iter().chain(LISTS).chain(FLAGS)
}

/// The members that are read, without those that are absent in another spelling.
pub(super) fn read(mut members: Map<String, Value>) -> Map<String, Value> {
    members.retain(|name, value| {
        let read = name == "issuer" || self::members().any(|member| member == name);
        read && !is_absent(value)
    });
    if let Some(Value::Object(aliases)) = members.get_mut("mtls_endpoint_aliases") {
        aliases.retain(|_, value| !is_absent(value));
    }
    for name in LISTS {
        let Some(value) = members.get_mut(name) else { continue };
        match value {
            Value::String(one) => *value = Value::from(vec![std::mem::take(one)]),
            Value::Array(many) => many.retain(Value::is_string),
            _ => drop(members.remove(name)),
        }
    }
    for name in FLAGS {
        let Some(value) = members.get_mut(name) else { continue };
        match value.as_str() {
            Some("true") => *value = Value::Bool(true),
            _ if value.is_boolean() => {}
            _ => drop(members.remove(name)),
        }
    }
    members
}

/// The name of the first member that `reads` refuses alone, with its error.
pub(super) fn culprit(
    members: &Map<String, Value>,
    reads: impl Fn(Map<String, Value>) -> Result<(), String>,
) -> Option<(&'static str, String)> {
    self::members().find_map(|name| {
        let alone = ["issuer", name].into_iter();
        let alone = alone.filter_map(|name| Some((name.to_owned(), members.get(name)?.clone())));
        reads(alone.collect()).err().map(|error| (name, error))
    })
}

fn is_absent(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}
