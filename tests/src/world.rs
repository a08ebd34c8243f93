//! The parts and the log folder of one scenario.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher as _, RandomState},
    net::TcpListener,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, bail};

use crate::{
    applications::{Dashboard, Framework, ModelApi},
    browser::Browser,
    jupyterhub::JupyterHub,
    keycloak::{Keycloak, Realm},
    oidc_provider::OidcProvider,
    upstream::Echo,
};

/// One scenario's world: a folder for logs and data, and the address people open.
#[derive(Debug)]
pub struct World {
    name: String,
    folder: PathBuf,
    public_port: u16,
    tls: bool,
}

impl World {
    /// A world with an empty folder. Its path is printed, which the test harness shows when the scenario fails.
    #[expect(clippy::print_stdout, reason = "shown by the test harness on failure only")]
    pub fn new(name: &str) -> Result<Self> {
        let folder = run_folder()?.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        println!("logs of «{name}»: {}", folder.display());
        Ok(Self { name: name.to_owned(), folder, public_port: free_port()?, tls: false })
    }

    /// A world whose gateway people open over TLS, with a self-signed certificate.
    pub fn new_with_tls(name: &str) -> Result<Self> {
        let world = Self { tls: true, ..Self::new(name)? };
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        std::fs::write(world.folder.join("tls.crt"), made.cert.pem())?;
        std::fs::write(world.folder.join("tls.key"), made.signing_key.serialize_pem())?;
        Ok(world)
    }

    /// Set when people open it over TLS; `tls.crt` and `tls.key` then lie in the folder.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// Logs and data of this scenario.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The port people open: the gateway's, or that of a server in front of it.
    pub fn public_port(&self) -> u16 {
        self.public_port
    }

    /// The origin people open. Another host name than Keycloak's 127.0.0.1, so that the two are different sites to a
    /// browser, as they are in life.
    pub fn public_url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.public_port)
    }

    /// `path` at the origin people open.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.public_url())
    }

    /// A new realm in the shared Keycloak, which knows this world's callback and post-logout addresses.
    pub async fn realm(&self) -> Result<Realm> {
        Keycloak::shared().await?.realm(&self.name, &self.public_url()).await
    }

    /// The provider of npm's `oidc-provider`, which knows this world's addresses. Access tokens live for `lifetime`.
    pub async fn oidc_provider(&self, lifetime: Duration) -> Result<OidcProvider> {
        OidcProvider::start(&self.folder, &self.public_url(), lifetime).await
    }

    /// The upstream that records what reaches it.
    pub async fn echo(&self) -> Result<Echo> {
        Echo::start().await
    }

    /// A fresh Chromium.
    pub async fn browser(&self) -> Result<Browser> {
        Browser::start(&self.folder).await
    }

    /// A realm in which JupyterHub has its own client.
    pub async fn notebook_realm(&self) -> Result<Realm> {
        Keycloak::shared().await?.notebook_realm(&self.name, &self.public_url()).await
    }

    /// JupyterHub under `/jupyter`, for people of a realm of [`World::notebook_realm`].
    pub async fn jupyterhub(&self, realm: &Realm) -> Result<JupyterHub> {
        JupyterHub::start(&self.folder, &self.public_url(), realm).await
    }

    /// A dashboard under `/dashboard`.
    pub async fn dashboard(&self, framework: Framework) -> Result<Dashboard> {
        Dashboard::start(&self.folder, framework, self.public_port).await
    }

    /// A model API under `/models/churn`.
    pub async fn model_api(&self) -> Result<ModelApi> {
        ModelApi::start(&self.folder).await
    }

    /// The same API, for data scientists with an assertion of this world's gateway for the route `scoring`.
    pub async fn guarded_model_api(&self) -> Result<ModelApi> {
        ModelApi::start_guarded(&self.folder, &self.public_url()).await
    }
}

/// A free port of loopback; never the same one twice in this process.
pub fn free_port() -> Result<u16> {
    static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..1_000 {
        let port = PORTS.start + (random() % u64::from(PORTS.end - PORTS.start)) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && taken.insert(port) {
            return Ok(port);
        }
    }
    bail!("no port is free between {} and {}", PORTS.start, PORTS.end)
}

/// Below the ports of outgoing connections, which could be taken before the part listens.
const PORTS: Range<u16> = 12_000..32_000;

/// Another number in each process and at each call: several runs share this machine.
fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// `/tmp/doorward-e2e-<pid>`; folders of test processes that are gone are removed.
pub(crate) fn run_folder() -> Result<PathBuf> {
    const PREFIX: &str = "doorward-e2e-";
    let temporary = std::env::temp_dir();
    for entry in std::fs::read_dir(&temporary)?.flatten() {
        let name = entry.file_name();
        if let Some(pid) = name.to_str().and_then(|name| name.strip_prefix(PREFIX))
            && !Path::new("/proc").join(pid).exists()
        {
            // Another test process may be removing it too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let folder = temporary.join(format!("{PREFIX}{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
