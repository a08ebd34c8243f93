//! The built `doorward`, configured by a scenario, watched from outside.

pub use processes::Predecessor;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{
    World,
    keycloak::{GATEWAY_CLIENT, Realm},
    program::Program,
    token_text, tools, visitor, wait,
    world::free_port,
};

mod launch;
mod processes;
mod replica;

const PATIENCE: Duration = Duration::from_secs(30);

/// A stop that waits for requests only, so that no scenario waits for its end.
const STOP_SOON: &str = "shutdown: { lame_duck: 0s, streams: 0s }\n";

/// The file of the admin token, in the scenario's folder.
pub const ADMIN_TOKEN: &str = "admin-token";

/// Builds a configuration file.
#[derive(Debug, Clone)]
pub struct Plan {
    folder: PathBuf,
    port: u16,
    admin: u16,
    ext_authz: Option<u16>,
    admin_address: String,
    admin_token: Option<String>,
    public_url: String,
    issuer: String,
    issuers: Option<String>,
    other_issuers: BTreeMap<String, String>,
    workload_issuers: BTreeMap<String, String>,
    client_secret: String,
    audience: String,
    routes: String,
    store: String,
    issuer_settings: String,
    session_settings: String,
    settings: String,
    environment: Vec<(String, String)>,
    descriptors: Option<u32>,
    binary: PathBuf,
}

impl Plan {
    /// The gateway of `world` before `routes`, a YAML mapping from route name to route.
    pub fn new(world: &World, realm: &Realm, routes: &str) -> Result<Self> {
        Self::with_client(world, &realm.issuer(), &Realm::secret(GATEWAY_CLIENT), routes)
    }

    /// The same before any issuer, where the client `gateway` has this secret.
    pub fn with_client(world: &World, issuer: &str, secret: &str, routes: &str) -> Result<Self> {
        let folder = world.folder().to_owned();
        let mut settings = String::new();
        if world.tls() {
            let folder = folder.display();
            writeln!(settings, "tls: {{ certificate: {folder}/tls.crt, key: {folder}/tls.key }}")?;
        }
        Ok(Self {
            settings,
            store: format!(
                "{{ embedded: {{ path: {} }} }}",
                folder.join("sessions.redb").display()
            ),
            folder,
            port: world.public_port(),
            admin: free_port()?,
            ext_authz: None,
            admin_address: "127.0.0.1".to_owned(),
            admin_token: None,
            public_url: world.public_url(),
            issuer: issuer.to_owned(),
            issuers: None,
            other_issuers: BTreeMap::new(),
            workload_issuers: BTreeMap::new(),
            client_secret: secret.to_owned(),
            audience: GATEWAY_CLIENT.to_owned(),
            routes: routes.to_owned(),
            issuer_settings: String::new(),
            session_settings: String::new(),
            environment: Vec::new(),
            descriptors: None,
            binary: tools::doorward()?,
        })
    }

    /// The issuer under another of its names.
    #[must_use]
    pub fn with_issuer(mut self, issuer: &str) -> Self {
        issuer.clone_into(&mut self.issuer);
        self
    }

    /// Another server owns the public port; the gateway listens elsewhere and trusts the fields of that server.
    pub fn behind_a_front(mut self) -> Result<Self> {
        self.settings.push_str("trusted_proxies: [127.0.0.0/8]\n");
        self.at_another_port()
    }

    /// The gateway listens elsewhere than at the public port.
    pub fn at_another_port(self) -> Result<Self> {
        Ok(Self { port: free_port()?, ..self })
    }

    /// Envoy asks about each request.
    pub fn asked_by_envoy(mut self) -> Result<Self> {
        let port = free_port()?;
        self.ext_authz = Some(port);
        writeln!(self.settings, "ext_authz: {{ listen: 127.0.0.1:{port} }}")?;
        Ok(self)
    }

    /// Another public origin than the world's, because the server in front of the gateway ends TLS.
    #[must_use]
    pub fn with_public_url(mut self, url: &str) -> Self {
        url.clone_into(&mut self.public_url);
        self
    }

    /// One more issuer, at which the gateway has the same id, secret and audience.
    #[must_use]
    pub fn with_other_issuer(mut self, name: &str, url: &str) -> Self {
        self.other_issuers.insert(name.to_owned(), url.to_owned());
        self
    }

    /// One more issuer with these settings only, in YAML.
    #[must_use]
    pub fn with_issuer_of_programs(mut self, name: &str, settings: &str) -> Self {
        self.workload_issuers.insert(name.to_owned(), settings.to_owned());
        self
    }

    /// The whole table of issuers, with `ISSUER` for the first one's URL and `SECRET` for the file of the client's secret.
    #[must_use]
    pub fn with_issuers(mut self, yaml: &str) -> Self {
        self.issuers = Some(yaml.to_owned());
        self
    }

    /// These routes only.
    #[must_use]
    pub fn with_only_routes(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.routes);
        self
    }

    /// The gateway takes no bearer tokens.
    #[must_use]
    pub fn without_audience(mut self) -> Self {
        self.audience.clear();
        self
    }

    /// Sessions live in the sealed cookie instead of the file.
    #[must_use]
    pub fn with_cookie_sessions(mut self) -> Self {
        "cookie".clone_into(&mut self.store);
        self
    }

    /// The admin listener on this address, with this token where one is given.
    #[must_use]
    pub fn with_admin(mut self, address: &str, token: Option<&str>) -> Self {
        address.clone_into(&mut self.admin_address);
        self.admin_token = token.map(str::to_owned);
        self
    }

    /// A key of the issuer's table, such as `leeway: 0s`.
    #[must_use]
    pub fn with_issuer_setting(mut self, line: &str) -> Self {
        self.issuer_settings.push_str(&indented(line, 4));
        self
    }

    /// A key of the session table, such as `idle: 5s`.
    #[must_use]
    pub fn with_session_setting(mut self, line: &str) -> Self {
        self.session_settings.push_str(&indented(line, 2));
        self
    }

    /// Keys of the file's top level.
    #[must_use]
    pub fn with(mut self, yaml: &str) -> Self {
        self.settings.push_str(yaml);
        self.settings.push('\n');
        self
    }

    /// Writes the file and its secrets, starts the gateway, waits until it is ready.
    pub async fn start(self) -> Result<Gateway> {
        let mut gateway = self.launch()?;
        gateway.wait_until_ready().await?;
        Ok(gateway)
    }

    /// Writes the file and its secrets and starts the gateway, ready or not.
    pub fn launch(self) -> Result<Gateway> {
        let config = self.write()?;
        Ok(Gateway {
            program: self.run(&config, &[])?,
            secrets: [self.client_secret.clone(), session_key()]
                .into_iter()
                .chain(self.admin_token.clone())
                .collect(),
            config,
            plan: self,
            replaced: 0,
        })
    }

    /// Writes the file and its secrets, for the commands that only read it.
    pub fn write(&self) -> Result<PathBuf> {
        let path = self.folder.join("doorward.yaml");
        let client_secret = self.folder.join("client-secret");
        let key = self.folder.join("session-key");
        std::fs::write(&client_secret, &self.client_secret)?;
        std::fs::write(&key, session_key())?;
        let mut yaml = String::new();
        writeln!(yaml, "listen: 127.0.0.1:{}", self.port)?;
        writeln!(yaml, "public_url: {}", self.public_url)?;
        let listen = format!("{}:{}", self.admin_address, self.admin);
        match &self.admin_token {
            None => writeln!(yaml, "admin: \"{listen}\"")?,
            Some(token) => {
                let file = self.folder.join(ADMIN_TOKEN);
                std::fs::write(&file, token)?;
                let file = file.display();
                writeln!(yaml, "admin: {{ listen: \"{listen}\", token: {{ file: {file} }} }}")?;
            }
        }
        yaml.push_str(&self.settings);
        if !self.settings.contains("shutdown:") {
            yaml.push_str(STOP_SOON);
        }
        self.write_issuers(&mut yaml, &client_secret)?;
        writeln!(yaml, "session:\n  store: {}", self.store)?;
        writeln!(yaml, "  key: {{ file: {} }}", key.display())?;
        yaml.push_str(&self.session_settings);
        writeln!(yaml, "routes:\n{}", indented(&self.routes, 2))?;
        std::fs::write(&path, yaml)?;
        Ok(path)
    }

    fn write_issuers(&self, yaml: &mut String, client_secret: &Path) -> Result<()> {
        let secret = client_secret.display();
        if let Some(issuers) = &self.issuers {
            let filled = issuers.replace("ISSUER", &self.issuer);
            writeln!(yaml, "{}", filled.replace("SECRET", &secret.to_string()))?;
            return Ok(());
        }
        writeln!(yaml, "issuers:")?;
        let others = self.other_issuers.iter().map(|(name, url)| (name.as_str(), url, ""));
        let main = ("main", &self.issuer, self.issuer_settings.as_str());
        for (name, url, settings) in std::iter::once(main).chain(others) {
            writeln!(yaml, "  {name}:\n    url: {url}\n    client_id: {GATEWAY_CLIENT}")?;
            writeln!(yaml, "    client_auth: {{ secret: {{ file: {secret} }} }}")?;
            writeln!(yaml, "    audience: [{}]\n{settings}", self.audience)?;
        }
        for (name, settings) in &self.workload_issuers {
            writeln!(yaml, "  {name}:\n{}", indented(settings, 4))?;
        }
        Ok(())
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    plan: Plan,
    config: PathBuf,
    program: Program,
    secrets: Vec<String>,
    /// Number of processes that were replaced.
    replaced: usize,
}

impl Gateway {
    /// Its own listener, which is the public one unless another server is in front.
    pub fn port(&self) -> u16 {
        self.plan.port
    }

    /// The port of the admin listener.
    pub fn admin_port(&self) -> u16 {
        self.plan.admin
    }

    /// The port on which Envoy asks.
    pub fn ext_authz_port(&self) -> Result<u16> {
        self.plan.ext_authz.context("Envoy does not ask this gateway")
    }

    /// A URL of the admin listener.
    pub fn admin_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.plan.admin)
    }

    /// The configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Every line of its log, which must all be JSON objects.
    pub fn log_lines(&self) -> Result<Vec<Value>> {
        processes::log_lines(&self.program)
    }

    /// Lines that record a decision, newest last.
    pub fn audit(&self) -> Result<Vec<Value>> {
        Ok(self.log_lines()?.into_iter().filter(|line| line["decision"].is_string()).collect())
    }

    /// The Prometheus page.
    pub async fn metrics(&self) -> Result<String> {
        Ok(visitor::plain_client()?.get(self.admin_url("/metrics")).send().await?.text().await?)
    }

    /// Ends the scenario: every log line is JSON with its fixed members, none holds a secret of ours or of `people`, no
    /// token, no code; and SIGTERM ends the program in order.
    pub fn finish(mut self, people: &[String]) -> Result<()> {
        let status = self.program.stop();
        ensure!(status.is_some_and(|s| s.success()), "SIGTERM ended the gateway with {status:?}");
        let log = self.program.output();
        for line in self.log_lines()? {
            for member in ["ts", "level", "msg"] {
                ensure!(line[member].is_string(), "a log line without {member}: {line}");
            }
        }
        for secret in self.secrets.iter().chain(people) {
            ensure!(!log.contains(secret.as_str()), "a secret is in the log: {secret}");
        }
        for sign in ["code=", "Bearer ", "state="] {
            let line = log.lines().find(|line| line.contains(sign));
            ensure!(line.is_none(), "«{sign}» is in the log: {}", line.unwrap_or_default());
        }
        let line = log.lines().find(|line| token_text::has_token(line));
        ensure!(line.is_none(), "a token is in the log: {}", line.unwrap_or_default());
        Ok(())
    }

    /// Waits until `/readyz` answers 200.
    pub async fn wait_until_ready(&mut self) -> Result<()> {
        let url = self.admin_url("/readyz");
        let client = visitor::plain_client()?;
        let program = &mut self.program;
        wait::until("the gateway", PATIENCE, async || {
            program.check_running()?;
            let answer = client.get(&url).timeout(Duration::from_secs(5)).send().await?;
            let status = answer.status();
            ensure!(status.is_success(), "{url} answers {status}: {}", answer.text().await?);
            Ok(Some(()))
        })
        .await
    }
}

/// Runs a `doorward` command to its end.
pub fn command(arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(tools::doorward()?);
    Ok(crate::program::prepare(&mut command)?.args(arguments).output()?)
}

/// The same in every scenario, so that a restart can open data that was sealed before.
fn session_key() -> String {
    STANDARD.encode(*b"only for tests: 32 bytes of key.")
}

fn indented(yaml: &str, depth: usize) -> String {
    let mut out = String::new();
    for line in yaml.lines() {
        if line.trim().is_empty() {
            continue;
        }
        out.push_str(&" ".repeat(depth));
        out.push_str(line);
        out.push('\n');
    }
    out
}
