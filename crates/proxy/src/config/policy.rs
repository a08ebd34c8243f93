//! The access rules of a route, as written.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    hours::Hours,
    path::RulePath,
    rules::{RequirementOrName, names_instead_of_allow},
    text::{AsList, OneOrMany, at_least_one},
};

/// One rule. The first whose path and methods match decides; without a match the request is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = names_instead_of_allow)]
pub struct AccessRule {
    /// Paths of the rule, whole, as the client sends them; without it, all paths of the route. `*` is one segment, `**` at the
    /// end is any rest, also none. Everything else matches exactly: `/admin/**` covers a section, `/admin` that page alone. A
    /// slash at the end makes no difference. Example: `/models/churn/docs/**`.
    #[serde(default)]
    pub path: Option<RulePath>,
    /// Methods of the rule, in upper case; without it, all. `GET` includes HEAD. Example: `[GET, POST]`.
    #[serde(default, with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub methods: Vec<String>,
    /// Methods of MCP, on a route with `mcp`; without it, every request. `*` stands for any characters. The gateway then reads the
    /// message of each request. Example: `[server/discover, tools/list]`.
    #[serde(default, with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub mcp_methods: Vec<String>,
    /// Tools of MCP, on a route with `mcp`: the rule then applies to calls of them only. `*` stands for any characters.
    /// Example: `[query_*]`.
    #[serde(default, with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub tools: Vec<String>,
    /// Callers it lets through: `anyone`, `signed_in`, one requirement, or a list of which any suffices. `{ use: NAME }` stands
    /// for the requirements of that name in `rules`. Example: `{ roles: [data-scientist, admin] }`.
    pub allow: Allow,
    /// Evaluates, counts and logs this rule, but does not let it decide. Example: `true`.
    #[serde(default)]
    pub shadow: bool,
}

/// Callers that a rule lets through.
#[derive(Clone, Debug, PartialEq)]
pub enum Allow {
    /// Every caller, also without an identity.
    Anyone,
    /// Every caller with an identity.
    SignedIn,
    /// Every caller that meets one of these.
    AnyOf(Vec<Requirement>),
}

impl Serialize for Allow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Anyone => serializer.serialize_str("anyone"),
            Self::SignedIn => serializer.serialize_str("signed_in"),
            Self::AnyOf(requirements) => requirements.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Allow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AllowVisitor)
    }
}

struct AllowVisitor;

impl<'de> Visitor<'de> for AllowVisitor {
    type Value = Allow;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`anyone`, `signed_in`, or a requirement such as `{ roles: [admin] }`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Allow, E> {
        match text {
            "anyone" => Ok(Allow::Anyone),
            "signed_in" => Ok(Allow::SignedIn),
            other => Err(E::unknown_variant(other, &["anyone", "signed_in"])),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Allow, A::Error> {
        Requirement::deserialize(MapAccessDeserializer::new(map)).map(|one| Allow::AnyOf(vec![one]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Allow, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Allow::AnyOf)
    }
}

/// Callers that a rule lets through.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
enum AllowSchema {
    /// `anyone` or `signed_in`.
    Word(AllowWord),
    /// One requirement.
    One(RequirementOrName),
    /// A list: any of them suffices.
    AnyOf(Vec<RequirementOrName>),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case", inline)]
#[expect(dead_code, reason = "only its schema is used")]
enum AllowWord {
    Anyone,
    SignedIn,
}

impl JsonSchema for Allow {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Allow".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        AllowSchema::json_schema(generator)
    }
}

/// Conditions on an identity. Every key that is written must hold; within a key, any value suffices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Requirement {
    /// User names (the claim `claims.user_name` of the issuer), and nothing else. Example: `[alice]`.
    #[serde(with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub users: Vec<String>,
    /// E-mail addresses that the issuer marks as verified. Example: `[boss@corp.example]`.
    #[serde(with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub emails: Vec<String>,
    /// Domains of such addresses, without their subdomains. Example: `[corp.example]`.
    #[serde(with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub email_domains: Vec<String>,
    /// Subjects (`sub`), unique within an issuer: needs `issuers` beside it. `*` stands for at least one character without `:` and
    /// `/`, at most 8 times; everything else is compared byte by byte. A `*` for the owner (`repo:*/…`) is refused.
    /// Example: `["system:serviceaccount:run:*"]`.
    #[serde(with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub subjects: Vec<String>,
    /// Roles: `data-scientist` is a realm role, `churn:score` the role `score` of the client `churn`.
    /// Example: `[data-scientist, admin]`.
    #[serde(with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub roles: Vec<String>,
    /// Groups, spelled as in the token. Example: `[/finance]`.
    #[serde(with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub groups: Vec<String>,
    /// Scopes of the token; any of them. Example: `[score]`.
    #[serde(with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub scopes: Vec<String>,
    /// Clients the token was issued to (`azp` or `client_id`). Example: `[airflow-run]`.
    #[serde(with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub clients: Vec<String>,
    /// Issuers, by their name in `issuers`. Example: `[main]`.
    #[serde(with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub issuers: Vec<String>,
    /// Claims, by path; each must equal one of its values, or hold it where the claim is a list.
    /// Example: `{ department: [risk, audit] }`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, ClaimValues>,
    /// Accepted levels of the sign-in (`acr`). Levels have no order, so each accepted one is named. A person with another level is
    /// sent to sign in with one of these; a program gets 401 `insufficient_user_authentication` (RFC 9470). Example: `"2"`.
    #[serde(with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub acr: Vec<String>,
    /// Greatest age of the sign-in (`auth_time`) when a request begins. A person whose sign-in is older is asked to sign in again.
    /// Example: `1h`.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub max_age: Option<Duration>,
    /// Hours of the week.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
    /// A condition on claims and request in the Common Expression Language; what cannot be evaluated, such as a claim that is
    /// missing, is not met. Example: `claims.department == "risk" && request.method != "DELETE"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

/// The accepted values of one claim: texts, numbers or booleans; one, or a list.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ClaimValues(pub Vec<Value>);

impl<'de> Deserialize<'de> for ClaimValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let AsList(values) = AsList::<Value>::deserialize(deserializer)?;
        if values.is_empty() {
            return Err(D::Error::custom("invalid list: it is empty; name at least one value"));
        }
        if values.iter().any(|value| value.is_array() || value.is_object() || value.is_null()) {
            return Err(D::Error::custom(
                "invalid claim value; write a text, a number, `true` or `false`",
            ));
        }
        Ok(Self(values))
    }
}

impl JsonSchema for ClaimValues {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ClaimValues".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let scalar = serde_json::json!({ "type": ["string", "number", "boolean"] });
        schemars::json_schema!({ "anyOf": [scalar, { "type": "array", "items": scalar }] })
    }
}
