//! JupyterHub with its proxy, and one server per person, under `/jupyter`.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Result;

use crate::{browser::Page, program::Program, tools, wait, world::free_port};

/// A running JupyterHub; its servers end with it.
#[derive(Debug)]
pub struct JupyterHub {
    port: u16,
    _program: Program,
}

impl JupyterHub {
    pub(crate) async fn start(folder: &Path) -> Result<Self> {
        let folder = folder.join("jupyterhub");
        std::fs::create_dir_all(folder.join("home"))?;
        let (port, hub, api) = (free_port()?, free_port()?, free_port()?);
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
                .env("HUB_PROXY", proxy),
        )?;
        let health = format!("http://127.0.0.1:{port}/jupyter/hub/health");
        let client = crate::visitor::plain_client()?;
        wait::until("JupyterHub", Duration::from_secs(60), async || {
            program.check_running()?;
            Ok(client.get(&health).send().await?.status().is_success().then_some(()))
        })
        .await?;
        Ok(Self { port, _program: program })
    }

    /// Where its proxy listens, without a path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// In a tab that is in JupyterLab: opens a notebook, runs a cell, waits for its output.
    pub async fn run_cell(page: &Page, code: &str, output: &str) -> Result<()> {
        let patience = Duration::from_secs(90);
        let card = ".jp-LauncherCard[data-category='Notebook']";
        page.wait_for(card, patience).await?;
        page.click(card).await?;
        let cell = ".jp-Notebook .jp-CodeCell .cm-content";
        page.wait_for(cell, patience).await?;
        // A cell that runs before the kernel is connected is dropped without a word.
        page.wait_for_text("#jp-main-statusbar", "Idle", patience).await?;
        page.click(cell).await?;
        page.type_text(code).await?;
        page.press("Shift+Enter").await?;
        page.wait_for_text(".jp-OutputArea-output", output, patience).await
    }
}
