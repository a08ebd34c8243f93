//! Checks that types cannot express: whether the parts of a configuration fit each other.
//!
//! Pure: nothing is opened or looked up here; `named_files` reads files. Every check runs, whatever the others found, and each finding
//! says how to correct it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use url::{Host, Url};

use super::path;
use super::policy::Allow;
use super::problem::{Finding, KeyPath};
use super::route::{RouteConfig, SignIn};
use super::session::SessionStoreConfig;
use super::{Config, ListenAddr, TrustedProxy};

mod access;
mod admin;
mod answers;
mod api_keys;
mod callers;
mod cookie_domain;
mod dpop;
mod exchange;
mod identity;
mod issuers;
mod limits;
mod listeners;
mod mcp;
mod names;
mod outbound;
mod profiles;
mod redis_store;
mod routes;
mod runtime;
mod shutdown;
mod telemetry;
mod tls;
mod upstream_tls;
mod weak;
mod workload_certificates;
mod workloads;

/// Findings of the checks.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Problems: the file is not used until they are fixed.
    pub(super) problems: Vec<Finding>,
    /// Warnings: valid settings that may be mistakes.
    pub(super) warnings: Vec<Finding>,
}

impl Findings {
    /// Adds a problem.
    pub(super) fn problem(&mut self, at: KeyPath, message: impl Into<String>) {
        self.problems.push(Finding::new(at, message));
    }

    /// Adds a warning.
    pub(super) fn warning(&mut self, at: KeyPath, message: impl Into<String>) {
        self.warnings.push(Finding::new(at, message));
    }

    fn duration(&mut self, at: KeyPath, value: Duration) {
        if value.is_zero() {
            self.problem(
                at,
                "invalid duration: zero would end everything at once; write one, such as `30s`",
            );
        } else if value > LONGEST {
            self.problem(
                at,
                "invalid duration: longer than ten years; write a limit, such as `12h`",
            );
        }
    }

    fn canonical(&mut self, at: KeyPath, text: &str) -> bool {
        let message = if let Err(error) = path::check(text) {
            error.to_string()
        } else if text.contains('*') {
            format!("invalid path `{text}`: it covers everything below it; remove `*`")
        } else if text.len() > 1 && text.ends_with('/') {
            format!("invalid path: it ends with a slash; write `{}`", text.trim_end_matches('/'))
        } else {
            return true;
        };
        self.problem(at, message);
        false
    }

    fn name(&mut self, at: KeyPath, name: &str) {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 63 || !name.chars().all(fits) {
            let message = "invalid name; write at most 63 letters, digits, `-`, `_` and `.`";
            self.problem(at, message);
        }
    }
}

const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// Checks everything. `issuers` are the names written in the file, also of issuers that have problems.
pub(super) fn validate(config: &Config, issuers: &BTreeSet<String>) -> Findings {
    let mut found = Findings::default();
    listen(config, &mut found);
    listeners::check(config, &mut found);
    tls::check(config, &mut found);
    limits::check(config, &mut found);
    runtime::check(config, &mut found);
    admin::check(config, &mut found);
    dpop::check(config, &mut found);
    shutdown::check(config, &mut found);
    public_url(&config.public_url, &mut found);
    if found.canonical(at(&["endpoints"]), &config.endpoints) && config.endpoints == "/" {
        found.problem(
            at(&["endpoints"]),
            "invalid prefix: `/` belongs to the routes; write `/oauth2`",
        );
    }
    weak::check(config, &mut found);
    let unix = |address: &ListenAddr| matches!(address, ListenAddr::Unix(_));
    if config.trusted_proxies.contains(&TrustedProxy::Unix) && !config.listen.iter().any(unix) {
        let message = "`unix` trusts no peer: no address of `listen` is a unix socket; omit it, or listen on one, such as `unix:/run/doorward.sock`";
        found.warning(at(&["trusted_proxies"]), message);
    }
    if config.client_cert_header && config.trusted_proxies.is_empty() {
        let message = "missing `trusted_proxies`: `Client-Cert` is read from trusted proxies only; write their networks, or remove the key";
        found.problem(at(&["client_cert_header"]), message);
    }
    session(config, &mut found);
    issuers::check(config, &mut found);
    workloads::trust_domains(config, &mut found);
    workload_certificates::check(config, &mut found);
    routes::check(config, issuers, &mut found);
    for (name, rule) in &config.rules {
        let here = at(&["rules"]).key(name);
        found.name(here.clone(), name);
        access::requirements(&here, &rule.0, issuers, &mut found);
    }
    api_keys::check(config, &mut found);
    outbound::check(config, issuers, &mut found);
    telemetry::check(&config.telemetry, &mut found);
    found
}

/// The path of nested keys.
fn at(keys: &[&str]) -> KeyPath {
    keys.iter().fold(KeyPath::root(), |path, key| path.key(key))
}

fn listen(config: &Config, found: &mut Findings) {
    if config.listen.is_empty() {
        found.problem(
            at(&["listen"]),
            "invalid list: it is empty; write an address, such as `0.0.0.0:8443`",
        );
    }
    for (index, address) in config.listen.iter().enumerate() {
        if config.listen.iter().take(index).any(|earlier| earlier == address) {
            found.problem(
                at(&["listen"]),
                format!("invalid list: `{address}` occurs twice; remove one"),
            );
        }
    }
}

fn public_url(url: &Url, found: &mut Findings) {
    let here = at(&["public_url"]);
    if !matches!(url.scheme(), "http" | "https") {
        let message = format!("unsupported scheme `{}`; use `https`", url.scheme());
        return found.problem(here, message);
    }
    if !url.username().is_empty() || url.password().is_some() {
        found.problem(here.clone(), "invalid URL: it holds a user name or a password; remove them");
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        let origin = url.origin().ascii_serialization();
        found.problem(
            here.clone(),
            format!("invalid URL: it is more than an origin; write `{origin}`"),
        );
    }
    if url.scheme() == "http" && !is_loopback(url) {
        let message = "plain http sends cookies and tokens unencrypted; use `https`";
        found.warning(here, message);
    }
}

/// Whether a URL names the local machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

fn session(config: &Config, found: &mut Findings) {
    let session = &config.session;
    let here = at(&["session"]);
    found.duration(here.key("idle"), session.idle);
    found.duration(here.key("lifetime"), session.lifetime);
    if session.idle > session.lifetime && !session.lifetime.is_zero() {
        let idle = humantime::format_duration(session.idle);
        let lifetime = humantime::format_duration(session.lifetime);
        let message = format!(
            "invalid duration: `idle` ({idle}) is longer than `lifetime` ({lifetime}), so it never \
             ends a session; write less"
        );
        found.problem(here.key("idle"), message);
    }
    let name = &session.cookie_name;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > 40 || !name.bytes().all(plain) {
        let message = format!(
            "invalid cookie name {name:?}: only letters, digits, `-` and `_`, at most 40; write such as `doorward-lab`"
        );
        found.problem(here.key("cookie_name"), message);
    } else if name.starts_with("__") || name.contains("-login-") {
        let message = format!(
            "invalid cookie name {name:?}: the prefix `__Host-` is added with https, and `-login-` marks logins in progress; write such as `doorward-lab`"
        );
        found.problem(here.key("cookie_name"), message);
    }
    cookie_domain::check(&here.key("dangerous_cookie_domain"), config, found);
    match &session.store {
        SessionStoreConfig::Redis(store) => {
            let here = here.key("store").key("redis");
            redis_store::check(&here, store, !session.key.is_empty(), found);
        }
        SessionStoreConfig::Embedded(store) if store.path.as_os_str().is_empty() => {
            let message = "missing path; name the file, such as `/var/lib/doorward/sessions.redb`";
            found.problem(here.key("store").key("embedded").key("path"), message);
        }
        SessionStoreConfig::Embedded(_) | SessionStoreConfig::Cookie => {}
    }
    if session.key.is_empty() && config.routes.values().any(needs_login) {
        let message = "missing session key; write `key: { file: PATH }` and make the file with \
                       `openssl rand -base64 32 > PATH`";
        found.problem(here.key("key"), message);
    }
}

/// Whether a browser may have to sign in for a route.
fn needs_login(route: &RouteConfig) -> bool {
    route.sign_in != SignIn::Challenge && needs_identity(route)
}

/// Whether some rule of a route requires an identity.
fn needs_identity(route: &RouteConfig) -> bool {
    route.access.iter().any(|rule| rule.allow != Allow::Anyone)
}
