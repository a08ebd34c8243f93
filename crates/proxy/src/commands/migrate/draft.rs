//! A `doorward.yaml` in the making: its keys, and remarks about what differs.

mod values;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use cli_auth::shown;
use serde_json::{Map, Value, json};
use url::Url;

use self::values::{flow, ordered};
use super::patterns::Pattern;
use crate::config::{HostPattern, RulePath, UpstreamUrl};

/// An address that no user has: a rule that names it lets no caller in, until the operator replaces it.
pub(super) const NO_ADDRESS: &str = "replace-me@users.invalid";

/// The file that is being made.
pub(super) struct Draft {
    program: &'static str,
    pub(super) listen: Vec<String>,
    pub(super) tls: Option<Value>,
    pub(super) public_url: Option<String>,
    pub(super) admin: Option<String>,
    pub(super) endpoints: Option<String>,
    pub(super) trusted_proxies: Vec<String>,
    /// The issuer for sign-in.
    pub(super) main: Map<String, Value>,
    /// Issuers of bearer tokens only, by name.
    pub(super) issuers: Vec<(String, Map<String, Value>)>,
    pub(super) session: Map<String, Value>,
    pub(super) routes: Vec<Route>,
    /// Set while the source lets in fewer users than a rule can say.
    pub(super) restricted: bool,
    weak: Vec<String>,
    lost: Vec<String>,
    tasks: Vec<String>,
}

/// A route of the file.
pub(super) struct Route {
    pub(super) host: Option<String>,
    pub(super) path: String,
    /// None for a route that serves forward-auth only.
    pub(super) upstream: Option<String>,
    pub(super) rules: Vec<Value>,
    /// Set when the source refused callers that the rules would let in: they are remarks, and the one rule lets no caller in.
    pub(super) closed: bool,
    pub(super) keys: Map<String, Value>,
}

impl Draft {
    pub(super) fn new(program: &'static str) -> Self {
        let mut session = Map::new();
        session.insert("key".to_owned(), json!({ "file": "/run/secrets/doorward-session-key" }));
        Self {
            program,
            listen: Vec::new(),
            tls: None,
            public_url: None,
            admin: None,
            endpoints: None,
            trusted_proxies: Vec::new(),
            main: Map::new(),
            issuers: Vec::new(),
            session,
            routes: Vec::new(),
            restricted: false,
            weak: Vec::new(),
            lost: Vec::new(),
            tasks: Vec::new(),
        }
    }

    /// Names a weak setting of the source, and what became of it.
    pub(super) fn weak(&mut self, setting: &str, remark: impl AsRef<str>) {
        self.weak.push(format!("{setting}: {}", remark.as_ref()));
    }

    /// Names an option that has no equal, and the remedy.
    pub(super) fn lost(&mut self, option: &str, remedy: impl AsRef<str>) {
        self.lost.push(format!("{option}: {}", remedy.as_ref()));
    }

    /// Names something to do before the file can be used.
    pub(super) fn task(&mut self, task: impl Into<String>) {
        let task = task.into();
        if !self.tasks.contains(&task) {
            self.tasks.push(task);
        }
    }

    /// A reference to a file for a secret that the source holds itself.
    pub(super) fn secret(&mut self, option: &str, name: &str) -> Value {
        let path = format!("/run/secrets/doorward-{name}");
        self.task(format!(
            "write the value of {option} into {path}, readable by the gateway alone"
        ));
        json!({ "file": path })
    }

    /// Sets the issuer for sign-in, whose provider is known by its URL.
    pub(super) fn issuer(&mut self, url: &str, client_id: &str) {
        self.main.insert("url".to_owned(), url.into());
        self.main.insert("client_id".to_owned(), client_id.into());
        if !url.contains("/realms/") {
            self.main.insert("profile".to_owned(), "generic".into());
        }
    }

    /// Accepts bearer tokens for these audiences, as far as that can be safe.
    pub(super) fn audience(&mut self, wanted: Vec<String>, option: &str) {
        let generic = self.main.contains_key("profile");
        let client =
            self.main.get("client_id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let (own, others): (Vec<String>, Vec<String>) =
            wanted.into_iter().partition(|audience| generic && *audience == client);
        if !others.is_empty() {
            self.main.insert("audience".to_owned(), others.into());
        }
        if !own.is_empty() {
            let remark = "tokens for the gateway's own client were accepted, so that an ID token passes for an access token; \
                          have the provider issue access tokens for another audience, and write it in `issuers.main.audience`";
            self.weak(option, remark);
        }
    }

    /// Adds a route, unless it cannot be one.
    pub(super) fn route(&mut self, option: &str, mut route: Route) {
        let long = route.path.trim_end_matches('/');
        route.path = if long.is_empty() { "/".to_owned() } else { long.to_owned() };
        if route.path.contains('*') || route.path.parse::<RulePath>().is_err() {
            return self.lost(option, "its path is no plain prefix; write a route by hand");
        }
        if route.host.as_ref().is_some_and(|host| host.parse::<HostPattern>().is_err()) {
            return self.lost(option, "its host is no host name; write a route by hand");
        }
        if let Some(Err(error)) = route.upstream.as_ref().map(|url| url.parse::<UpstreamUrl>()) {
            // The error quotes the URL, which may hold a password.
            drop(error);
            return self
                .lost(option, "its upstream is no `http://host:port`; write a route by hand");
        }
        let same = |other: &Route| other.path == route.path && other.host == route.host;
        if self.routes.iter().any(same) {
            return self.lost(
                option,
                format!("a second upstream for {}; only the first is carried over", route.path),
            );
        }
        self.routes.push(route);
    }

    /// Lets every caller use the paths of a pattern.
    pub(super) fn open(&mut self, option: &str, methods: &[String], pattern: &Pattern) {
        let mut found = false;
        let literal = pattern.literal().to_owned();
        let longest = self
            .routes
            .iter()
            .filter(|route| below(&literal, &route.path))
            .map(|route| route.path.len())
            .max();
        for route in &mut self.routes {
            let inside = below(&literal, &route.path) && Some(route.path.len()) == longest;
            let around = pattern.is_everything_below()
                && below(&route.path, &literal)
                && route.path != literal;
            let mut rule = Map::new();
            if inside {
                rule.insert("path".to_owned(), pattern.text().into());
            } else if !around {
                continue;
            }
            if !methods.is_empty() {
                rule.insert("methods".to_owned(), methods.to_vec().into());
            }
            rule.insert("allow".to_owned(), "anyone".into());
            let rule = Value::Object(rule);
            found = true;
            if !route.rules.contains(&rule) {
                route.rules.insert(route.rules.len().saturating_sub(1), rule);
            }
        }
        if !found {
            self.lost(option, format!("no route has the paths {}", pattern.text()));
        }
    }

    /// The text of the file.
    pub(super) fn written(mut self) -> String {
        self.complete();
        let mut out = format!(
            "# Written by `doorward migrate {}`. Do what the remarks say, then ask the gateway itself:\n\
             #   doorward check --online --config doorward.yaml\n\
             #   doorward explain --config doorward.yaml --url URL --claims FILE   (for each kind of user and page)\n",
            self.program
        );
        for (title, remarks) in [
            ("To do", &self.tasks),
            ("Weak in the source", &self.weak),
            ("Not carried over", &self.lost),
        ] {
            if !remarks.is_empty() {
                let _ = writeln!(out, "#\n# {title}:");
            }
            let mut said = BTreeSet::new();
            for remark in remarks.iter().filter(|remark| said.insert(*remark)) {
                let _ = writeln!(out, "#   {}", shown(remark));
            }
        }
        out.push('\n');
        if !self.listen.is_empty() {
            let _ = writeln!(out, "listen: {}", flow(&json!(self.listen)));
        }
        if let Some(tls) = &self.tls {
            let _ = writeln!(out, "tls: {}", flow(tls));
        }
        let _ = writeln!(out, "public_url: {}", flow(&json!(self.public_url)));
        for (key, value) in [("admin", &self.admin), ("endpoints", &self.endpoints)] {
            if let Some(value) = value {
                let _ = writeln!(out, "{key}: {}", flow(&json!(value)));
            }
        }
        if !self.trusted_proxies.is_empty() {
            let _ = writeln!(out, "trusted_proxies: {}", flow(&json!(self.trusted_proxies)));
        }
        out.push_str("issuers:\n");
        let main = ("main".to_owned(), self.main.clone());
        for (name, issuer) in [main].iter().chain(&self.issuers) {
            let _ = writeln!(out, "  {name}:");
            block(&mut out, issuer);
        }
        out.push_str("session:\n");
        for (key, value) in &self.session {
            let _ = writeln!(out, "  {key}: {}", flow(value));
        }
        out.push_str("routes:\n");
        let mut names = BTreeSet::new();
        for route in &self.routes {
            let _ = writeln!(out, "  {}:", route.name(&mut names));
            route.write(&mut out);
        }
        out
    }

    fn complete(&mut self) {
        if !self.main.contains_key("url") {
            self.task(
                "write the URL of your provider and the gateway's client there into `issuers.main`",
            );
            self.issuer("https://id.example/realms/main", "gateway");
        }
        let asks = self.routes.iter().any(Route::asks_for_tokens);
        if asks && !self.main.contains_key("audience") {
            self.task("write the audience of your access tokens into `issuers.main.audience`; no token has the one that stands there");
            self.main.insert("audience".to_owned(), json!(["replace-me"]));
        }
        self.task(
            "make the session key: openssl rand -base64 32 > /run/secrets/doorward-session-key",
        );
        if self.public_url.is_none() {
            self.task("write the origin that browsers see into `public_url`");
            self.public_url = Some("https://platform.example".to_owned());
        }
        if self.routes.is_empty() {
            let rules = vec![json!({ "allow": "signed_in" })];
            self.routes.push(Route { rules, ..Route::new("/", None) });
        }
        if self.routes.iter().any(|route| route.upstream.is_none())
            && self.trusted_proxies.is_empty()
        {
            self.task("name the proxies that ask /oauth2/auth in `trusted_proxies`; 127.0.0.1 stands there now");
            self.trusted_proxies.push("127.0.0.1/32".to_owned());
        }
    }
}

impl Route {
    pub(super) fn new(path: &str, upstream: Option<String>) -> Self {
        Self {
            host: None,
            path: path.to_owned(),
            upstream,
            rules: Vec::new(),
            closed: false,
            keys: Map::new(),
        }
    }

    /// Whether only a bearer token satisfies a rule.
    fn asks_for_tokens(&self) -> bool {
        self.keys.get("sign_in").is_some_and(|value| value == "challenge")
            || self.rules.iter().any(|rule| rule.to_string().contains("\"scopes\""))
    }

    /// A name of the route that no other has.
    fn name(&self, taken: &mut BTreeSet<String>) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let host = self.host.as_deref().unwrap_or_default().replace('*', "any");
        let whole: String = format!("{host}-{}", self.path).chars().map(plain).collect();
        let parts: Vec<&str> = whole.split('-').filter(|part| !part.is_empty()).collect();
        let mut name: String = parts.join("-").chars().take(50).collect();
        if name.is_empty() {
            name.push_str("app");
        }
        let mut own = name.clone();
        let mut count = 1;
        while !taken.insert(own.clone()) {
            count += 1;
            own = format!("{name}-{count}");
        }
        own
    }

    fn write(&self, out: &mut String) {
        let mut matching = Map::new();
        if let Some(host) = &self.host {
            matching.insert("host".to_owned(), host.as_str().into());
        }
        matching.insert("path".to_owned(), self.path.as_str().into());
        let _ = writeln!(out, "    match: {}", flow(&Value::Object(matching)));
        if let Some(upstream) = &self.upstream {
            let _ = writeln!(out, "    upstream: {}", flow(&json!(upstream)));
        }
        block(out, &self.keys);
        out.push_str("    access:\n");
        if self.closed {
            let _ = writeln!(out, "      - {}", flow(&json!({ "allow": no_caller() })));
        }
        let mark = if self.closed { "# " } else { "" };
        for rule in &self.rules {
            let _ = writeln!(out, "      {mark}- {}", flow(rule));
        }
    }
}

fn block(out: &mut String, keys: &Map<String, Value>) {
    for (key, value) in ordered(keys) {
        let _ = writeln!(out, "    {key}: {}", flow(value));
    }
}

/// The value of `allow` that lets no caller in.
pub(super) fn no_caller() -> Value {
    json!({ "emails": [NO_ADDRESS] })
}

/// A rule for one path.
pub(super) fn for_path(rule: &Value, path: &str) -> Value {
    let mut keys = rule.as_object().cloned().unwrap_or_default();
    keys.insert("path".to_owned(), path.into());
    Value::Object(keys)
}

/// Whether a path is `prefix` or below it.
fn below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The origin of an upstream's URL, and its path.
pub(super) fn origin(url: &str) -> Option<(String, String)> {
    if let Some(socket) = url.strip_prefix("unix:") {
        return Some((format!("unix:/{}", socket.trim_start_matches('/')), "/".to_owned()));
    }
    let url = Url::parse(url).ok()?;
    let secret = !url.username().is_empty() || url.password().is_some();
    if secret || !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    Some((url.origin().ascii_serialization(), url.path().to_owned()))
}
