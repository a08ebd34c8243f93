//! What is served: one entry for each application.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::AccessRule;
use super::preset::Preset;
use super::text::{OneOrMany, one_or_many, written_as_text};
use super::upstream::UpstreamUrl;

/// One application behind the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The name on the portal page; without it, the route's own. Example: `JupyterHub`.
    #[serde(default)]
    pub title: Option<String>,
    /// Which requests are this route's; the most specific route wins.
    /// Example: `{ host: platform.example, path: /jupyter }`.
    #[serde(rename = "match")]
    pub matches: RouteMatch,
    /// Where requests go; a list balances. Without it the route serves forward-auth only, and
    /// `trusted_proxies` must name who asks. Example: `http://jupyterhub:8000`.
    #[serde(default, with = "one_or_many")]
    #[schemars(with = "OneOrMany<UpstreamUrl>")]
    pub upstream: Vec<UpstreamUrl>,
    /// Settings a known application needs; what is written here wins over them.
    /// Example: `jupyterhub`.
    #[serde(default)]
    pub preset: Option<Preset>,
    /// Change the path on its way. Example: `{ strip_prefix: /jupyter }`.
    #[serde(default)]
    pub rewrite: Rewrite,
    /// Path forms that are refused with 400 unless an application needs them.
    /// Example: `{ encoded_slash: keep, double_slash: keep }`.
    #[serde(default)]
    pub paths: PathHandling,
    /// What happens to a request without an identity. Example: `auto`.
    #[serde(default)]
    pub sign_in: SignIn,
    /// Who may do what; the first rule whose path and methods match decides, no match refuses.
    /// Example: `[ { allow: { roles: [data-scientist] } } ]`.
    #[serde(default)]
    pub access: Vec<AccessRule>,
    /// What the upstream is told about the person. Example: `{ headers: true, assertion: true }`.
    #[serde(default)]
    pub identity: IdentityForwarding,
    /// Waiting for the upstream. Example: `{ connect: 5s, response_head: 60s, idle: 10m }`.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Bounds on requests. Example: `{ body: 10GiB }`.
    #[serde(default)]
    pub limits: Limits,
}

/// Which requests are a route's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteMatch {
    /// The host, or `*.example` for every host below it; without it, the host of `public_url`.
    /// Example: `platform.example`.
    pub host: Option<HostPattern>,
    /// The path and everything below it, by whole segments. Example: `/jupyter`.
    pub path: String,
}

impl Default for RouteMatch {
    fn default() -> Self {
        Self { host: None, path: "/".to_owned() }
    }
}

/// A host name, or every host below one (`*.example`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host.
    Exact(String),
    /// Every host that ends with a dot and this, however many labels before.
    Below(String),
}

impl HostPattern {
    /// Whether a host (lower case, without port) is meant.
    ///
    /// ```
    /// let pattern: doorward::config::HostPattern = "*.example".parse().unwrap();
    /// assert!(pattern.matches("platform.example"));
    /// assert!(!pattern.matches("example"));
    /// ```
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Below(parent) => host
                .strip_suffix(parent.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|label| !label.is_empty()),
        }
    }
}

/// Why a text is no host pattern.
#[derive(Debug, thiserror::Error)]
pub enum HostPatternError {
    /// A port, or a whole URL.
    #[error("`{text}` is more than a host: leave out scheme, port and path")]
    NotOnlyAHost {
        /// What was written.
        text: String,
    },
    /// Upper case.
    #[error("hosts are compared in lower case: write `{lower}`")]
    UpperCase {
        /// The same in lower case.
        lower: String,
    },
    /// A name outside ASCII.
    #[error("browsers send this host in its ASCII form: write `{ascii}`")]
    NotAscii {
        /// The ASCII form.
        ascii: String,
    },
    /// A star elsewhere than in front.
    #[error("`*` stands alone before the first dot, as in `*.example`")]
    Star,
    /// Not a host name.
    #[error("`{text}` is not a host name")]
    NotAHost {
        /// What was written.
        text: String,
    },
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (below, name) = match text.strip_prefix("*.") {
            Some(parent) => (true, parent),
            None => (false, text),
        };
        let bracketed = name.starts_with('[') && name.ends_with(']') && !below;
        if name.contains(['/', '@', '?', '#']) || (name.contains(':') && !bracketed) {
            return Err(HostPatternError::NotOnlyAHost { text: text.to_owned() });
        }
        if name.contains('*') {
            return Err(HostPatternError::Star);
        }
        let star = if below { "*." } else { "" };
        match url::Host::parse(name) {
            Ok(host) if host.to_string() == name && !name.ends_with('.') => {
                let name = name.to_owned();
                Ok(if below { Self::Below(name) } else { Self::Exact(name) })
            }
            Ok(host) if name.is_ascii() && name.eq_ignore_ascii_case(&host.to_string()) => {
                Err(HostPatternError::UpperCase { lower: format!("{star}{host}") })
            }
            Ok(host) if !name.is_ascii() => {
                Err(HostPatternError::NotAscii { ascii: format!("{star}{host}") })
            }
            _ => Err(HostPatternError::NotAHost { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(parent) => write!(f, "*.{parent}"),
        }
    }
}

written_as_text!(HostPattern, "a host", "platform.example");

/// How the path changes on its way to the upstream; policy sees the path before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rewrite {
    /// Taken off the front, by whole segments. Example: `/jupyter`.
    pub strip_prefix: Option<String>,
    /// Put in front, after `strip_prefix`. Example: `/app`.
    pub add_prefix: Option<String>,
}

/// Path forms two programs may read differently; refused with 400 unless kept here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PathHandling {
    /// `%2F` in a path. Example: `keep`.
    pub encoded_slash: Keep,
    /// `//` in a path. Example: `keep`.
    pub double_slash: Keep,
}

/// What happens to an ambiguous path form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Refused with 400.
    #[default]
    Refuse,
    /// Matched and forwarded as it is.
    Keep,
}

/// What happens to a request that needs an identity and has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignIn {
    /// Browser navigation is sent to log in, anything else gets 401.
    #[default]
    Auto,
    /// Always sent to log in.
    Redirect,
    /// Always 401 with `WWW-Authenticate`.
    Challenge,
}

/// What the upstream is told about the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IdentityForwarding {
    /// `X-Forwarded-User`, `-Preferred-Username`, `-Email`, `-Groups`, `-Roles`. Example: `true`.
    pub headers: bool,
    /// `X-Doorward-Assertion`, a short-lived JWT the upstream can verify. Example: `true`.
    pub assertion: bool,
    /// `Authorization: Bearer` with the person's own access token, always fresh; no bearer token that the gateway did not verify
    /// reaches this upstream then. Example: `false`.
    pub access_token: bool,
}

impl Default for IdentityForwarding {
    fn default() -> Self {
        Self { headers: true, assertion: true, access_token: false }
    }
}

/// Waiting for the upstream. There is no limit on the whole: a stream may run for days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Until a connection stands, TLS included. Example: `5s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub connect: Duration,
    /// Until the head of the response has come. Example: `60s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub response_head: Duration,
    /// Without a byte in either direction. Example: `10m`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            response_head: Duration::from_secs(60),
            idle: Duration::from_secs(600),
        }
    }
}

/// Bounds on requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest request body; without it, no bound: bodies are streamed, not kept.
    /// Example: `10GiB`.
    pub body: Option<ByteSize>,
    /// Bounds for each person. Not yet supported.
    pub per_user: Option<PerUserLimits>,
}

/// Bounds for each person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PerUserLimits {
    /// Requests in a second. Example: `50`.
    pub requests_per_second: Option<u32>,
    /// Streams at the same time. Example: `200`.
    pub concurrent_streams: Option<u32>,
}

/// A number of bytes: `512KiB`, `10GiB`, `1500B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Why a text is no size.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a size: write a whole number and a unit, such as `512KiB` or `10GiB`")]
pub struct ByteSizeError {
    text: String,
}

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        UNITS
            .iter()
            .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))
            .and_then(|(number, factor)| {
                number.trim_end().parse::<u64>().ok()?.checked_mul(*factor)
            })
            .map(Self)
            .ok_or_else(|| ByteSizeError { text: text.to_owned() })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS
            .iter()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor))
            .unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

written_as_text!(ByteSize, "a size", "10GiB");
