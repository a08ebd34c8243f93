//! `cors` of a route: pages of other origins whose scripts may read its answers.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::callers::{WebOrigin, WebOriginError};
use super::text::{OneOrMany, at_least_one, one_or_many, written_as_text};

/// Cross-origin requests ([Fetch §3.3](https://fetch.spec.whatwg.org/#http-cors-protocol)). The gateway answers preflights itself,
/// without credentials, and writes the `Access-Control-*` fields of every answer, also of its own; the upstream's are removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorsConfig {
    /// Origins of the pages; one, or a list. `*` alone, and without `credentials`, is every page.
    /// Example: `[https://apps.example]`.
    #[serde(with = "at_least_one")]
    #[schemars(with = "OneOrMany<CorsOrigin>")]
    pub origins: Vec<CorsOrigin>,
    /// Methods that their scripts may use; one, or a list. Example: `[GET, POST]`.
    #[serde(default = "default_methods", with = "at_least_one")]
    #[schemars(with = "OneOrMany<String>")]
    pub methods: Vec<String>,
    /// Fields that their scripts may send besides those that any page may send; one, or a list.
    /// Example: `[Authorization, Content-Type]`.
    #[serde(default = "default_headers", with = "one_or_many")]
    #[schemars(with = "OneOrMany<String>")]
    pub headers: Vec<String>,
    /// Fields of an answer that their scripts may read besides those that any page may read; one, or a list.
    /// Example: `[ETag, X-Request-Id]`.
    #[serde(default, with = "one_or_many")]
    #[schemars(with = "OneOrMany<String>")]
    pub expose: Vec<String>,
    /// Whether browsers send the user's session with requests of these pages, which then act as the user. Example: `true`.
    #[serde(default)]
    pub credentials: bool,
    /// Time for which a browser remembers a preflight. Example: `10m`.
    #[serde(default = "default_max_age", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub max_age: Duration,
}

fn default_methods() -> Vec<String> {
    ["GET", "HEAD", "POST"].map(str::to_owned).into()
}

fn default_headers() -> Vec<String> {
    ["Authorization", "Content-Type"].map(str::to_owned).into()
}

fn default_max_age() -> Duration {
    Duration::from_secs(600)
}

/// An origin, or every origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigin {
    /// `*`
    Any,
    /// This one.
    One(WebOrigin),
}

impl FromStr for CorsOrigin {
    type Err = WebOriginError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" { Ok(Self::Any) } else { text.parse().map(Self::One) }
    }
}

impl fmt::Display for CorsOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::One(origin) => origin.fmt(f),
        }
    }
}

written_as_text!(CorsOrigin, "an origin", "https://apps.example");
