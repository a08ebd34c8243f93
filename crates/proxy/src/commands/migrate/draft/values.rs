//! Values as YAML, each in one line.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// Keys in the order in which they are written; all others follow by name.
const ORDER: [&str; 12] = [
    "url",
    "client_id",
    "client_auth",
    "audience",
    "listen",
    "host",
    "methods",
    "path",
    "allow",
    "certificate",
    "strip_prefix",
    "groups",
];

/// Keys and values in the order in which they are written.
pub(super) fn ordered(keys: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = keys.iter().collect();
    entries
        .sort_by_key(|(key, _)| ORDER.iter().position(|known| known == key).unwrap_or(ORDER.len()));
    entries
}

/// A value in one line of YAML.
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "[]".to_owned(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Value::Object(keys) if keys.is_empty() => "{}".to_owned(),
        Value::Object(keys) => {
            let keys = ordered(keys)
                .into_iter()
                .map(|(key, value)| format!("{}: {}", flow(&json!(key)), flow(value)));
            format!("{{ {} }}", keys.collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// A text in quotation marks, with an escape for each character that is not plain ASCII.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            ' '..='~' => out.push(character),
            other => {
                let _ = write!(out, "\\U{:08x}", u32::from(other));
            }
        }
    }
    out.push('"');
    out
}

/// Whether YAML reads a text without quotes as this text.
fn is_plain(text: &str) -> bool {
    let fits =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.' | '-' | ':' | '@');
    let word = |c: char| c.is_ascii_alphabetic() || c == '/';
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let duration = unit.len() < text.len() && matches!(unit, "s" | "m" | "h" | "day" | "days");
    (duration || text.starts_with(word))
        && text.chars().all(fits)
        && !text.ends_with(':')
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        )
}
