//! JupyterHub with its proxy, and one server per person, under `/jupyter`: signed in by the Python package's authenticator.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Result;

use crate::{
    browser::Page,
    keycloak::{NOTEBOOK_CLIENT, Realm},
    program::Program,
    tools, wait,
    world::free_port,
};

/// A running JupyterHub; its servers end with it.
#[derive(Debug)]
pub struct JupyterHub {
    port: u16,
    folder: PathBuf,
    program: Program,
}

impl JupyterHub {
    pub(crate) async fn start(folder: &Path, gateway: &str, realm: &Realm) -> Result<Self> {
        let folder = folder.join("jupyterhub");
        std::fs::create_dir_all(folder.join("home"))?;
        let (port, hub, api) = (free_port()?, free_port()?, free_port()?);
        let secret = folder.join("client-secret");
        std::fs::write(&secret, Realm::secret(NOTEBOOK_CLIENT))?;
        let proxy = tools::installed("node/node_modules/.bin/configurable-http-proxy")?;
        let mut program = Program::start(
            "jupyterhub",
            &folder,
            Command::new(tools::installed("venv/bin/jupyterhub")?)
                .arg("--config")
                .arg(tools::fixture("jupyterhub_config.py"))
                .current_dir(&folder)
                .env("HUB_FOLDER", &folder)
                .env("HUB_URL", format!("http://127.0.0.1:{port}/jupyter"))
                .env("HUB_INTERNAL_URL", format!("http://127.0.0.1:{hub}"))
                .env("HUB_PROXY_API_URL", format!("http://127.0.0.1:{api}"))
                .env("HUB_PROXY", proxy)
                .env("HUB_GATEWAY", gateway)
                .env("HUB_ISSUER", realm.issuer())
                .env("HUB_CLIENT_SECRET", secret)
                // Seals the hub's data about users.
                .env("JUPYTERHUB_CRYPT_KEY", "5e".repeat(32)),
        )?;
        let health = format!("http://127.0.0.1:{port}/jupyter/hub/health");
        let client = crate::visitor::plain_client()?;
        wait::until("JupyterHub", Duration::from_secs(60), async || {
            program.check_running()?;
            Ok(client.get(&health).send().await?.status().is_success().then_some(()))
        })
        .await?;
        Ok(Self { port, folder, program })
    }

    /// The URL of its proxy, without a path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The hub as a route, with its access token; and people's servers as another, with nothing.
    pub fn routes(&self) -> String {
        format!(
            "jupyterhub:
  title: JupyterHub
  match: {{ path: /jupyter/hub }}
  upstream: {url}
  preset: jupyterhub
  access:
    - {{ path: /jupyter/hub/health, allow: anyone }}
    - {{ allow: {{ roles: [data-scientist, admin] }} }}
  identity: {{ access_token: true }}
notebooks:
  match: {{ path: /jupyter }}
  upstream: {url}
  preset: jupyterhub
  access:
    - {{ allow: {{ roles: [data-scientist, admin] }} }}
  identity: {{ headers: false, assertion: false }}",
            url = self.url()
        )
    }

    /// A person's home.
    pub fn home(&self, person: &str) -> PathBuf {
        self.folder.join("home").join(person)
    }

    /// Output of the hub, its proxy and its servers so far.
    pub fn output(&self) -> String {
        self.program.output()
    }

    /// In a tab that is in JupyterLab: opens a notebook, runs a cell, waits for its output.
    pub async fn run_cell(page: &Page, code: &str, output: &str) -> Result<()> {
        let patience = Duration::from_secs(90);
        let card = ".jp-LauncherCard[data-category='Notebook']";
        page.wait_for(card, patience).await?;
        page.click(card).await?;
        let cell = ".jp-Notebook .jp-CodeCell .cm-content";
        page.wait_for(cell, patience).await?;
        // A cell that runs before the kernel is connected is dropped silently.
        page.wait_for_text("#jp-main-statusbar", "Idle", patience).await?;
        page.click(cell).await?;
        page.type_text(code).await?;
        page.press("Shift+Enter").await?;
        page.wait_for_text(".jp-OutputArea-output", output, patience).await
    }
}
