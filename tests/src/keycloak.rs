//! One Keycloak for the test process, with a separate realm for each scenario.
//!
//! Realms are made from `fixtures/realm.json` through the admin API, so scenarios that shorten token lives, end
//! sessions or count refreshes do not meet each other. It answers over plain HTTP on 127.0.0.1, and over TLS on localhost
//! where it asks for client certificates; it names itself as it is addressed, so a realm is one issuer here and another there.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    authority::Authority,
    program::Program,
    tools, visitor, wait,
    world::{free_port, run_folder},
};

mod admin;
mod clients;
mod realm;

pub use realm::Realm;

const ADMIN: &str = "admin";

/// The client of the gateway in every realm.
pub const GATEWAY_CLIENT: &str = "gateway";

/// The client of JupyterHub, in realms that have one.
pub const NOTEBOOK_CLIENT: &str = "jupyterhub";

/// A running Keycloak.
#[derive(Debug)]
pub struct Keycloak {
    base: String,
    tls_base: String,
    authority: Authority,
    place: Place,
    program: Mutex<Option<Program>>,
}

/// The folder and the ports of a Keycloak, which a restart keeps.
#[derive(Debug)]
struct Place {
    folder: PathBuf,
    port: u16,
    tls_port: u16,
    management: u16,
    /// Set when realms and sessions are in a file and survive a restart; else they are in memory.
    kept: bool,
}

impl Keycloak {
    /// The Keycloak of this test process; the first call starts it.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Keycloak> = OnceCell::const_new();
        SHARED.get_or_try_init(async || Self::start(&run_folder()?, false).await).await
    }

    /// A Keycloak of a scenario's own, which the scenario may kill: its realms and sessions are in a file of `folder`. It lives
    /// as long as the test process, so that it can have realms as the shared one has.
    pub async fn alone(folder: &Path) -> Result<&'static Self> {
        Ok(Box::leak(Box::new(Self::start(folder, true).await?)))
    }

    /// kill -9.
    pub fn kill(&self) {
        if let Some(mut program) =
            self.program.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            program.kill();
        }
    }

    /// Starts it after [`Keycloak::kill`] with the same ports and data, and waits until it is ready.
    pub async fn start_again(&self) -> Result<()> {
        let program = self.place.launch(&self.authority).await?;
        *self.program.lock().unwrap_or_else(PoisonError::into_inner) = Some(program);
        Ok(())
    }

    async fn start(folder: &Path, kept: bool) -> Result<Self> {
        let (port, tls_port, management) = (free_port()?, free_port()?, free_port()?);
        let authority = Authority::new(&folder.join("authority"))?;
        let place = Place { folder: folder.to_owned(), port, tls_port, management, kept };
        place.furnish()?;
        let program = place.launch(&authority).await?;
        Ok(Self {
            base: format!("http://127.0.0.1:{port}"),
            tls_base: format!("https://localhost:{tls_port}"),
            authority,
            place,
            program: Mutex::new(Some(program)),
        })
    }

    /// The authority of its TLS certificate and of the client certificates that it trusts.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A realm from the fixture, whose gateway client may come back to `public_url`.
    pub async fn realm(&'static self, name: &str, public_url: &str) -> Result<Realm> {
        self.create(name, realm_of_gateway(public_url)?).await
    }

    /// The same with a client for JupyterHub, for which the gateway's tokens are meant too.
    pub async fn notebook_realm(&'static self, name: &str, public_url: &str) -> Result<Realm> {
        let mut body = realm_of_gateway(public_url)?;
        let audience = json!({
            "name": "audience jupyterhub",
            "protocol": "openid-connect",
            "protocolMapper": "oidc-audience-mapper",
            "config": { "included.client.audience": NOTEBOOK_CLIENT, "access.token.claim": "true" },
        });
        merge(&mut gateway_client(&mut body)?["protocolMappers"], json!([audience]));
        merge(&mut body, fixture("notebooks.json")?);
        self.create(name, body).await
    }

    /// A realm with the clients of `fixtures/sdk.json` too: one for each client authentication and each grant.
    pub async fn sdk_realm(&'static self, name: &str) -> Result<Realm> {
        let mut body = fixture("realm.json")?;
        merge(&mut body, fixture("sdk.json")?);
        self.create(name, body).await
    }

    async fn create(&'static self, name: &str, mut body: Value) -> Result<Realm> {
        body["realm"] = json!(name);
        let realm = Realm::new(self, name)?;
        realm.send(Method::POST, "/admin/realms", Some(&body)).await?;
        Ok(realm)
    }

    async fn admin_token(&self, client: &Client) -> Result<String> {
        let form = [
            ("client_id", "admin-cli"),
            ("grant_type", "password"),
            ("username", ADMIN),
            ("password", ADMIN),
        ];
        realm::token(client, &format!("{}/realms/master", self.base), &form).await
    }
}

impl Place {
    fn home(&self) -> PathBuf {
        self.folder.join("keycloak")
    }

    /// Makes its own folder for data. In a shared one the last process to start would choose the trusted client certificates
    /// for all test runs.
    fn furnish(&self) -> Result<()> {
        let (installed, home) = (tools::installed("keycloak")?, self.home());
        std::fs::create_dir_all(home.join("bin"))?;
        // It lives where its script is, past all links.
        std::fs::copy(installed.join("bin/kc.sh"), home.join("bin/kc.sh"))?;
        for part in ["conf", "lib", "providers", "themes"] {
            std::os::unix::fs::symlink(installed.join(part), home.join(part))?;
        }
        Ok(())
    }

    async fn launch(&self, authority: &Authority) -> Result<Program> {
        let server = authority.server()?;
        let mut command = Command::new(self.home().join("bin/kc.sh"));
        command
            .args(["start", "--optimized", "--http-enabled=true", "--hostname-strict=false"])
            .arg("--http-host=127.0.0.1")
            .arg(format!("--http-port={}", self.port))
            .arg(format!("--http-management-port={}", self.management))
            .arg("--http-management-scheme=http")
            .arg(format!("--https-port={}", self.tls_port))
            .arg(argument("--https-certificate-file=", server.certificate))
            .arg(argument("--https-certificate-key-file=", server.key))
            // The authority whose client certificates it trusts.
            .arg(argument("--truststore-paths=", authority.certificate()))
            // Else it opens ports for other Keycloaks to find it.
            .arg("--cache=local")
            .env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN)
            .env("KC_BOOTSTRAP_ADMIN_PASSWORD", ADMIN)
            .env("JAVA_OPTS_KC_HEAP", "-Xms64m -Xmx768m")
            // Halves the start-up time: only the fast compiler runs.
            .env("JAVA_OPTS_APPEND", "-XX:TieredStopAtLevel=1");
        if self.kept {
            let file = self.home().join("data/database");
            command.arg(format!("--db-url=jdbc:h2:file:{};NON_KEYWORDS=VALUE", file.display()));
        }
        let mut program = Program::start("keycloak", &self.folder, &mut command)?;
        let health = format!("http://127.0.0.1:{}/health/ready", self.management);
        let client = visitor::plain_client()?;
        wait::until("Keycloak", Duration::from_secs(120), async || {
            program.check_running()?;
            let answer = client.get(&health).timeout(Duration::from_secs(5)).send().await?;
            Ok(answer.status().is_success().then_some(()))
        })
        .await?;
        Ok(program)
    }
}

fn realm_of_gateway(public_url: &str) -> Result<Value> {
    let mut body = fixture("realm.json")?;
    let gateway = gateway_client(&mut body)?;
    gateway["redirectUris"] = json!([format!("{public_url}/oauth2/callback")]);
    gateway["attributes"]["post.logout.redirect.uris"] = json!(format!("{public_url}/*"));
    Ok(body)
}

fn gateway_client(body: &mut Value) -> Result<&mut Value> {
    body["clients"]
        .as_array_mut()
        .and_then(|clients| clients.iter_mut().find(|c| c["clientId"] == GATEWAY_CLIENT))
        .context("the fixture has no gateway client")
}

fn fixture(name: &str) -> Result<Value> {
    Ok(serde_json::from_str(&std::fs::read_to_string(tools::fixture(name))?)?)
}

fn argument(name: &str, path: PathBuf) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(name);
    argument.push(path);
    argument
}

/// Lists grow, objects are merged, anything else is replaced.
fn merge(base: &mut Value, addition: Value) {
    match (base, addition) {
        (Value::Object(base), Value::Object(addition)) => {
            for (name, value) in addition {
                merge(base.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(base), Value::Array(addition)) => base.extend(addition),
        (base, addition) => *base = addition,
    }
}
