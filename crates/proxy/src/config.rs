//! The configuration file, `doorward.yaml`.
//!
//! These structs are the reference: every key of the file is a field here, with its default and an
//! example. Unknown keys are refused, secrets are never in the file, and all problems of a file are
//! reported in one run, each with its line. Nothing here opens a connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

mod text;
mod access_token;
mod admin;
mod api_keys;
mod ext_authz;
mod limits;
mod mcp;
mod listener;
mod trusted_proxy;
mod issuer;
mod secret;
mod redis_store;
mod revocation_lists;
mod runtime;
mod session;
mod shutdown;
mod route;
mod streams;
mod callers;
mod cors;
mod defaults;
mod dpop;
mod foreign;
mod headers;
mod health;
mod identity;
mod include;
mod byte_size;
mod preset;
mod profile;
mod upstream;
mod upstream_tls;
mod usage;
mod workload_certificates;
mod hours;
mod policy;
mod path;
mod rules;
mod outbound;
mod telemetry;
mod shared;
mod skipped;
mod load;
mod contents;
mod problem;
mod read;
mod read_error;
mod tree;
mod validate;
mod named_files;

pub use access_token::{SentAccessToken, TokenExchange};
pub use admin::{AdminConfig, AdminTokenError};
pub use api_keys::ApiKeysConfig;
pub use byte_size::{ByteSize, ByteSizeError};
pub use callers::{BearerTokens, Icon, PortalCard, WebOrigin, WebOriginError};
pub use contents::Contents;
pub use cors::{CorsConfig, CorsOrigin};
pub use defaults::RouteDefaults;
pub use dpop::{BoundTo, DpopConfig, TokenRules};
pub use ext_authz::{ExtAuthz, MutualTls};
pub use foreign::read_yaml;
pub use headers::{ResponseRules, RouteHeaders, Underscores};
pub use health::HealthConfig;
pub use hours::{Days, DaysError, Hours};
pub use identity::{
    BasicCredentials, CredentialsError, IdentityForwarding, IdentityTemplate, SentGroups,
    TemplateError, TemplatePart, UpstreamCredentials,
};
pub use issuer::{
    ClientAuth, Email, Introspection, IssuerConfig, Mtls, PrivateKeyJwt, PushedAuthorization,
    SigningAlgorithm, UserInfo, WithoutRefresh,
};
pub use limits::{BodyRate, ListenerLimits};
pub use listener::{ClientCertificates, ListenAddr, ListenAddrError, Tls};
pub use load::{Loaded, RoutePlace};
pub use mcp::McpConfig;
pub use outbound::{
    OutboundClient, OutboundConfig, OutboundGrant, OutboundTarget, SocketMode, SocketModeError,
};
pub use path::{PathError, RulePath};
pub use policy::{AccessRule, Allow, ClaimValues, Requirement};
pub use preset::{KnownPreset, Preset, SubPath};
pub use problem::{Place, Problem, Problems};
pub use profile::{AudienceClaim, ClaimPaths, Fetch, Profile, TokenUse};
pub use redis_store::{
    RedisAddress, RedisAddressError, RedisStore, RedisTls, RedisUrl, RedisUrlError, Sentinel,
};
pub use revocation_lists::{RevocationListError, RevocationLists};
pub use route::{
    HostPattern, HostPatternError, Keep, Limits, PathHandling, PerUserLimits, Rewrite, RouteConfig,
    RouteMatch, SignIn, Timeouts,
};
pub use rules::NamedRule;
pub use runtime::RuntimeConfig;
pub use secret::{SecretError, SecretRef};
pub use session::{EmbeddedStore, SessionConfig, SessionStoreConfig};
pub use shutdown::Shutdown;
pub use streams::{Ping, PingError, SignedOut, Streams, WebSockets};
pub use telemetry::{LogConfig, LogFormat, LogLevel, Share, ShareError, TelemetryConfig};
pub use trusted_proxy::{TrustedProxy, TrustedProxyError};
pub use upstream::{UpstreamAddress, UpstreamProtocol, UpstreamUrl, UpstreamUrlError};
pub use upstream_tls::{Pin, PinError, UpstreamHost, UpstreamHostError, UpstreamTlsConfig};
pub use usage::UsageForm;
pub use workload_certificates::{CertificateSubject, WorkloadCertificates};

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Addresses on which the gateway accepts connections: `address:port` or `unix:/path`; one, or a list.
    /// Example: `0.0.0.0:8443`.
    #[serde(default = "default_listen", with = "text::one_or_many")]
    #[schemars(with = "text::OneOrMany<ListenAddr>")]
    pub listen: Vec<ListenAddr>,
    /// Certificate and key of the public listeners; without it they speak plain HTTP. Of a list, the host that the client names
    /// chooses (SNI, RFC 6066 §3). Example: `{ certificate: /etc/tls/tls.crt, key: /etc/tls/tls.key }`.
    #[serde(default, with = "text::one_or_many", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "text::OneOrMany<Tls>")]
    pub tls: Vec<Tls>,
    /// Origin that browsers see: scheme, host and, if not the default, port; no path. Redirect URIs and cookies follow from it.
    /// Example: `https://platform.example`.
    #[serde(deserialize_with = "text::url")]
    pub public_url: Url,
    /// Listener for `/healthz`, `/readyz`, `/metrics` and the sessions; never public. An address, or
    /// `{ listen: …, token: { file: … } }`. Example: `127.0.0.1:9090`.
    #[serde(default, with = "admin")]
    #[schemars(with = "admin::AddressOrKeys")]
    pub admin: AdminConfig,
    /// Networks of proxies whose `X-Forwarded-*` and `Forwarded` headers are trusted; `unix` for peers on unix sockets of
    /// `listen`. Empty: no proxy is trusted. Example: `[10.0.0.0/8, unix]`.
    #[serde(default, with = "text::one_or_many")]
    #[schemars(with = "text::OneOrMany<TrustedProxy>")]
    pub trusted_proxies: Vec<TrustedProxy>,
    /// Whether every one of `trusted_proxies` states the certificates of its clients in `Client-Cert` (RFC 9440), and removes what
    /// its clients write there. Without it the field is ignored, because a proxy that does not know it passes on what a client wrote.
    /// The field is never sent to upstreams. Example: `true`.
    #[serde(default)]
    pub client_cert_header: bool,
    /// Whether every connection to `listen` and `redirect` begins with a header of the PROXY protocol, version 2. It is taken from
    /// `trusted_proxies` only, and connections of other peers are closed. The address that it tells is the client's, before any
    /// `X-Forwarded-For`. Example: `true`.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Addresses on which plain http is redirected to the same address by https, and nothing else is served; one, or a list. Needs
    /// a `public_url` of https. Example: `0.0.0.0:8080`.
    #[serde(default, with = "text::one_or_many", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "text::OneOrMany<ListenAddr>")]
    pub redirect: Vec<ListenAddr>,
    /// The listener on which Envoy asks about each request. Example: `{ listen: 127.0.0.1:9191 }`.
    #[serde(default)]
    pub ext_authz: Option<ExtAuthz>,
    /// Time and resources that a client of the public listeners may use. Example: `{ connections: 10000, per_address: 1000 }`.
    #[serde(default)]
    pub limits: ListenerLimits,
    /// Threads of the process. Example: `{ workers: 4 }`.
    #[serde(default)]
    pub runtime: RuntimeConfig,
    /// Prefix of the gateway's own URLs. Example: `/oauth2`.
    #[serde(default = "default_endpoints")]
    pub endpoints: String,
    /// The OpenID providers, by a name of your choice. Example: `main: { url: …, client_id: … }`.
    #[serde(default)]
    pub issuers: BTreeMap<String, IssuerConfig>,
    /// Workloads that are known by their client certificate alone, by a name of your choice for each authority; rules write that name
    /// in `issuers`. Example: `mesh: { ca_file: /run/spire/bundle.pem }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub workload_certificates: BTreeMap<String, WorkloadCertificates>,
    /// Proofs of the key that a token is bound to (RFC 9449). Example: `{ nonce: 2m }`.
    #[serde(default)]
    pub dpop: DpopConfig,
    /// Browser sessions. Example: `{ idle: 1h, lifetime: 12h, store: embedded }`.
    #[serde(default)]
    pub session: SessionConfig,
    /// API keys; without this key none is accepted. Example: `{ max_age: 90d, routes: [registry, index], suspend_after: 30d }`.
    #[serde(default)]
    pub api_keys: Option<ApiKeysConfig>,
    /// Times of a stop after SIGTERM. Example: `{ lame_duck: 5s, grace: 30s, streams: 60s }`.
    #[serde(default)]
    pub shutdown: Shutdown,
    /// Unix socket on which the running process gives its listening sockets to `doorward serve --take-over`, for an upgrade without a
    /// refused connection. Only a process of the same user, or of root, gets them. Without it there is no hand-over.
    /// Example: `/run/doorward/hand-over.sock`.
    #[serde(default)]
    pub hand_over: Option<PathBuf>,
    /// Keys that every route has unless it writes them itself: all but `match`, `upstream` and `access`. Maps are merged by key, lists
    /// replaced. A route's own key comes first, then that of its preset, then that here.
    /// Example: `{ sign_in: challenge, timeouts: { idle: 1h } }`.
    #[serde(default, skip_serializing)]
    pub defaults: RouteDefaults,
    /// Requirements with a name of your choice, for `use` in the rules of routes; one, or a list of which any suffices.
    /// Example: `staff: [ { roles: [data-scientist, admin] } ]`.
    #[serde(default, skip_serializing)]
    pub rules: BTreeMap<String, NamedRule>,
    /// Presets of your own, by a name of your choice, for `preset` in routes. One with the name of a known preset takes its place.
    /// Example: `myapp: { route: { timeouts: { idle: 1h } } }`.
    #[serde(default, skip_serializing)]
    pub presets: BTreeMap<String, Preset>,
    /// Files with more `routes`, `rules`, `presets` and `issuers`, relative to this one; `*` stands for a part of a file name. A name that
    /// occurs twice is refused. Example: `conf.d/*.yaml`.
    #[serde(default, with = "text::one_or_many", skip_serializing)]
    #[schemars(with = "text::OneOrMany<String>")]
    pub include: Vec<String>,
    /// Applications behind the gateway, by a name of your choice; the name is the audience of the identity assertion. Example:
    /// `jupyter: { match: { path: /jupyter }, upstream: http://hub:8000, … }`.
    #[serde(default)]
    pub routes: BTreeMap<String, RouteConfig>,
    /// Tokens for programs that must not hold credentials, on a listener of their own. Example:
    /// `{ listen: 127.0.0.1:8081, targets: { churn: { url: https://churn.internal, issuer: main, audience: churn } } }`.
    #[serde(default)]
    pub outbound: Option<OutboundConfig>,
    /// The log. Example: `{ format: json, level: info }`.
    #[serde(default)]
    pub log: LogConfig,
    /// Traces. Example: `{ otlp: http://collector:4318, sample: 0.1 }`.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
}

fn default_listen() -> Vec<ListenAddr> {
    vec![ListenAddr::Tcp(SocketAddr::from(([127, 0, 0, 1], 8080)))]
}

fn default_endpoints() -> String {
    "/oauth2".to_owned()
}
