//! Routes: one entry for each application.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::byte_size::ByteSize;
use super::callers::{BearerTokens, PortalCard, WebOrigin};
use super::cors::CorsConfig;
use super::headers::RouteHeaders;
use super::health::HealthConfig;
use super::identity::IdentityForwarding;
use super::mcp::McpConfig;
use super::path::prefix;
use super::policy::AccessRule;
use super::rules::RuleOrPreset;
use super::streams::{SignedOut, Streams, WebSockets};
use super::text::{OneOrMany, at_least_one, one_or_many, written_as_text};
use super::upstream::UpstreamUrl;
use super::upstream_tls::{UpstreamHost, UpstreamTlsConfig};
use super::usage::UsageForm;

/// One application behind the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The name on the portal page; without it, the name of the route. Example: `JupyterHub`.
    #[serde(default)]
    pub title: Option<String>,
    /// Requests of this route; the most specific route wins.
    /// Example: `{ host: platform.example, path: /jupyter }`.
    #[serde(rename = "match")]
    pub matches: RouteMatch,
    /// Targets of the requests; a list is balanced. Without it the route serves forward-auth only, and `trusted_proxies` must
    /// name the proxies that ask. Example: `http://jupyterhub:8000`.
    #[serde(default, with = "one_or_many")]
    #[schemars(with = "OneOrMany<UpstreamUrl>")]
    pub upstream: Vec<UpstreamUrl>,
    /// Host in the requests to the upstream: `client` (the one that the client asked for), `upstream` (the target's own) or a
    /// name. `X-Forwarded-Host` always has the client's. Example: `upstream`.
    #[serde(default)]
    pub upstream_host: UpstreamHost,
    /// TLS to the upstream. Example: `{ ca_file: /etc/tls/internal-ca.pem }`.
    #[serde(default)]
    pub upstream_tls: UpstreamTlsConfig,
    /// Settings that an application needs, by the name of a preset; keys of the route take precedence. `doorward presets` lists the
    /// known ones; `presets` of the file may hold more. Example: `jupyterhub`.
    #[serde(default)]
    pub preset: Option<String>,
    /// Changes the path on its way to the upstream. Example: `{ strip_prefix: /jupyter }`.
    #[serde(default)]
    pub rewrite: Rewrite,
    /// Path forms that are refused with 400 unless an application needs them.
    /// Example: `{ encoded_slash: keep, double_slash: keep }`.
    #[serde(default)]
    pub paths: PathHandling,
    /// Treatment of header fields. Example: `{ underscores: refuse, response: { remove: [Server] } }`.
    #[serde(default)]
    pub headers: RouteHeaders,
    /// Treatment of a request without an identity. Example: `auto`.
    #[serde(default)]
    pub sign_in: SignIn,
    /// Owner of the bearer tokens in `Authorization`: the gateway, or the application that issues its own. Example:
    /// `application`.
    #[serde(default)]
    pub bearer: BearerTokens,
    /// Takes a token as the password of HTTP Basic too, for programs that send no other credential: pip, git, Docker. The user
    /// name is not read. Basic is then the gateway's on this route, and no longer the application's. Example: `true`.
    #[serde(default)]
    pub basic: bool,
    /// Sends clients to the gateway's own token endpoint, in the challenge that those of a container registry expect. Its password is
    /// a token or an API key. Clients ask for `/v2` at the root of a host. Example: `true`.
    #[serde(default)]
    pub registry_tokens: bool,
    /// Accepted `aud` of bearer tokens on this route, of every issuer and instead of the issuers' own `audience`; one, or a list.
    /// A token for another audience is refused here, and a token for this one elsewhere. Example: `[churn]`.
    #[serde(default, with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub audience: Vec<String>,
    /// Other origins whose pages may open a WebSocket here with the user's session. Example: `[https://apps.example]`.
    #[serde(default)]
    pub origins: Vec<WebOrigin>,
    /// Pages of other origins whose scripts may read answers. Example:
    /// `{ origins: [https://apps.example], methods: [GET, POST], credentials: true }`.
    #[serde(default)]
    pub cors: Option<CorsConfig>,
    /// The card on the portal page. Example: `{ group: Models, order: 10, icon: chart }`.
    #[serde(default)]
    pub portal: PortalCard,
    /// Access rules; the first rule whose path and methods match decides. Without a match the request is refused. Example:
    /// `[ { allow: { roles: [data-scientist] } } ]`. The word `preset` in the list stands for the rules of the route's preset.
    #[serde(default)]
    #[schemars(with = "Vec<RuleOrPreset>")]
    pub access: Vec<AccessRule>,
    /// Identity that the upstream receives, and its own credentials. Example: `{ headers: true, assertion: true }`.
    #[serde(default)]
    pub identity: IdentityForwarding,
    /// Time limits for the upstream. Example: `{ connect: 5s, response_head: 60s, idle: 10m }`.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Active health check of each upstream target; without it, a target is judged by its connections only. Example:
    /// `{ path: /health, interval: 10s }`.
    #[serde(default)]
    pub health: Option<HealthConfig>,
    /// Effect of the end of a bearer token on its open streams: WebSockets, server-sent events, gRPC. Uploads, downloads and
    /// other plain exchanges run to their end in any case. Example: `until_token_ends`.
    #[serde(default)]
    pub streams: Streams,
    /// WebSockets of this route. Example: `{ ping: 30s }`.
    #[serde(default)]
    pub websocket: WebSockets,
    /// Answer to a script of a page whose session has ended. Example: `problem`.
    #[serde(default)]
    pub signed_out: SignedOut,
    /// Bounds on requests. Example: `{ body: 10GiB }`.
    #[serde(default)]
    pub limits: Limits,
    /// Makes the route a protected resource of the Model Context Protocol, for agents.
    /// Example: `{ resource: https://platform.example/mcp/warehouse, scopes: [tools] }`.
    #[serde(default)]
    pub mcp: Option<McpConfig>,
    /// Form in which the answers of a model API state the tokens that they took: the gateway counts them for each user, client and
    /// model. The upstream is asked for answers without content encoding. Example: `openai`.
    #[serde(default)]
    pub usage: Option<UsageForm>,
}

/// Requests that belong to a route.
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
    /// Every host below this one, at any depth.
    Below(String),
}

impl HostPattern {
    /// Whether a host (lower case, without port) matches.
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

impl HostPattern {
    /// An exact host before a wildcard, a longer wildcard before a shorter: the greatest one comes first.
    pub(crate) fn specificity(&self) -> (u8, usize) {
        match self {
            Self::Exact(name) => (1, name.len()),
            Self::Below(name) => (0, name.len()),
        }
    }
}

/// Reason a text is not a host pattern.
#[derive(Debug, thiserror::Error)]
pub enum HostPatternError {
    /// A port, or a whole URL.
    #[error("invalid host `{text}`; remove scheme, port and path")]
    NotOnlyAHost {
        /// The text as written.
        text: String,
    },
    /// Upper case.
    #[error("invalid host: hosts are compared in lower case; write `{lower}`")]
    UpperCase {
        /// The same in lower case.
        lower: String,
    },
    /// A name outside ASCII.
    #[error("invalid host: browsers send its ASCII form; write `{ascii}`")]
    NotAscii {
        /// The ASCII form.
        ascii: String,
    },
    /// A star elsewhere than in front.
    #[error("invalid host: `*` is allowed before the first dot only; write `*.example`")]
    Star,
    /// Not a host name.
    #[error("invalid host `{text}`; write a host name, such as `platform.example`")]
    NotAHost {
        /// The text as written.
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

/// Change of the path on its way to the upstream; the policy sees the original path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rewrite {
    /// Prefix to remove, by whole segments. Redirects and cookies of the upstream get it back, unless they have it already. A
    /// GET of the prefix alone is redirected to the prefix with a slash, unless a rule of the route has exactly this path.
    /// Example: `/jupyter`.
    #[serde(deserialize_with = "prefix")]
    #[schemars(with = "Option<String>")]
    pub strip_prefix: Option<String>,
    /// Prefix to add, after `strip_prefix` was removed. Example: `/app`.
    #[serde(deserialize_with = "prefix")]
    #[schemars(with = "Option<String>")]
    pub add_prefix: Option<String>,
}

/// Path forms that two programs may read differently; refused with 400 unless kept here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PathHandling {
    /// `%2F` in a path. Example: `keep`.
    pub encoded_slash: Keep,
    /// `//` in a path. Example: `keep`.
    pub double_slash: Keep,
    /// An escape of an escape in a path, such as `%252F`, which some applications write for a slash in a name (Harbor). Example:
    /// `keep`.
    pub double_encoded: Keep,
}

/// Treatment of an ambiguous path form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Refused with 400.
    #[default]
    Refuse,
    /// Matched and forwarded as it is.
    Keep,
}

/// Treatment of a request that needs an identity and has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignIn {
    /// Browser navigation is redirected to the login, anything else gets 401.
    #[default]
    Auto,
    /// Always redirected to the login.
    Redirect,
    /// Always 401 with `WWW-Authenticate`; a browser gets the sign-in page, which keeps the fragment of the address (`#/runs/1`).
    Challenge,
}

/// Time limits for the upstream. The whole exchange has no limit: a stream may run for days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Until a connection is open, TLS included. Example: `5s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub connect: Duration,
    /// Until the response head arrives. Example: `60s`.
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
    /// The largest request body; without it, no bound: bodies are streamed, not stored.
    /// Example: `10GiB`.
    pub body: Option<ByteSize>,
    /// Bounds on each signed-in user and each program, by issuer and subject; those of one replica. Beyond them requests get
    /// 429. Example: `{ requests_per_second: 50, concurrent_requests: 20, concurrent_streams: 200 }`.
    pub per_user: Option<PerUserLimits>,
}

/// Bounds on each user of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PerUserLimits {
    /// Requests in a second; so many may come at once. Example: `50`.
    pub requests_per_second: Option<u32>,
    /// Requests at the same time, streams not counted. Example: `20`.
    pub concurrent_requests: Option<u32>,
    /// Streams at the same time: WebSockets, server-sent events, gRPC calls. Example: `200`.
    pub concurrent_streams: Option<u32>,
    /// Tokens of a model in a day (UTC), as its answers state them; needs `usage`. An exchange that begins within the budget runs to
    /// its end. Replicas share the budget by the store `redis`, a few seconds late. Example: `500000`.
    pub tokens_per_day: Option<u64>,
}
