//! `rules`: requirements with a name, which access rules use.
//!
//! Before the file is read as types, `use: NAME` is replaced by what the name stands for. A loaded configuration has no names left.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use super::policy::{AccessRule, Requirement};
use super::text::{OneOrMany, at_least_one};

/// Requirements of which any suffices; one, or a list.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NamedRule(pub Vec<Requirement>);

impl<'de> Deserialize<'de> for NamedRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        at_least_one::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for NamedRule {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NamedRule".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> Schema {
        OneOrMany::<Requirement>::json_schema(generator)
    }
}

/// The schema of a requirement in `allow`.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum RequirementOrName {
    /// Conditions.
    Conditions(Box<Requirement>),
    /// Named rules, any of which suffices.
    Names(Names),
}

/// The schema of an element of a route's `access`.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum RuleOrPreset {
    /// A rule.
    Rule(Box<AccessRule>),
    /// The rules of the route's preset.
    Preset(PresetWord),
}

/// The schema of the word `preset`.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case", inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum PresetWord {
    /// The rules of the route's preset.
    Preset,
}

/// The schema of `{ use: NAME }`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Names {
    /// Names in `rules`.
    #[schemars(rename = "use")]
    names: OneOrMany<String>,
}

/// Gives an access rule the key `use`, in place of `allow`.
pub(super) fn names_instead_of_allow(schema: &mut Schema) {
    if let Some(keys) = schema.get_mut("properties").and_then(|keys| keys.as_object_mut()) {
        let names = json!({
            "description": "Names in `rules`, in place of `allow`: lets through the callers of any of them. Example: `staff`.",
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
        });
        keys.insert("use".to_owned(), names);
    }
    schema.remove("required");
    let either = json!([{ "oneOf": [{ "required": ["allow"] }, { "required": ["use"] }] }]);
    schema.insert("allOf".to_owned(), either);
}
