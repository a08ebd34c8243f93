//! Applications that data platforms run behind a gateway: dashboards and a FastAPI model API.

use std::{ops::RangeInclusive, path::Path, process::Command, time::Duration};

use anyhow::Result;

use crate::{browser::Page, program::Program, tools, wait, world::free_port};

const PATIENCE: Duration = Duration::from_secs(60);

/// A framework for dashboards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framework {
    /// `fixtures/dashboard.py`
    Streamlit,
    /// `fixtures/shiny_app.R`
    Shiny,
    /// `fixtures/panel_app.py`
    Panel,
    /// `fixtures/dash_app.py`
    Dash,
}

/// A dashboard under `/dashboard`, with one button and a sentence that says how often it was pressed.
#[derive(Debug)]
pub struct Dashboard {
    framework: Framework,
    port: u16,
    _program: Program,
}

impl Framework {
    fn command(self, port: u16, public_port: u16) -> Result<Command> {
        let python = || tools::installed("venv/bin/python").map(Command::new);
        let command = match self {
            Self::Streamlit => {
                let mut command = python()?;
                command
                    .args(["-m", "streamlit", "run"])
                    .arg(tools::fixture("dashboard.py"))
                    .args(["--server.address=127.0.0.1", "--server.headless=true"])
                    .args(["--server.fileWatcherType=none", "--browser.gatherUsageStats=false"])
                    .arg("--server.baseUrlPath=dashboard")
                    .arg(format!("--server.port={port}"));
                command
            }
            Self::Shiny => {
                let mut command = Command::new("Rscript");
                command.arg(tools::fixture("shiny_app.R")).arg(port.to_string());
                command
            }
            Self::Panel => {
                let mut command = python()?;
                command
                    .args(["-m", "panel", "serve"])
                    .arg(tools::fixture("panel_app.py"))
                    .args(["--address=127.0.0.1", "--prefix=/dashboard", "--index=panel_app"])
                    .arg(format!("--allow-websocket-origin=localhost:{public_port}"))
                    .arg(format!("--port={port}"));
                command
            }
            Self::Dash => {
                let mut command = python()?;
                command.arg(tools::fixture("dash_app.py")).arg(port.to_string());
                command
            }
        };
        Ok(command)
    }

    /// The address of the dashboard below its server.
    fn path(self) -> &'static str {
        match self {
            Self::Streamlit | Self::Dash => "/dashboard/",
            // The gateway takes the prefix off.
            Self::Shiny => "/",
            Self::Panel => "/dashboard/panel_app",
        }
    }

    fn settings(self) -> &'static str {
        match self {
            Self::Streamlit => "preset: streamlit",
            Self::Shiny => "rewrite: { strip_prefix: /dashboard }",
            Self::Panel | Self::Dash => "preset: generic",
        }
    }
}

impl Dashboard {
    pub(crate) async fn start(
        folder: &Path,
        framework: Framework,
        public_port: u16,
    ) -> Result<Self> {
        let port = free_port()?;
        let program = Program::start(
            "dashboard",
            folder,
            framework.command(port, public_port)?.current_dir(folder),
        )?;
        let page = format!("http://127.0.0.1:{port}{}", framework.path());
        wait::until_ready("the dashboard", &page, PATIENCE).await?;
        Ok(Self { framework, port, _program: program })
    }

    /// Its URL without a path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The path of its page at the gateway.
    pub fn page(&self) -> &'static str {
        match self.framework {
            Framework::Shiny => "/dashboard/",
            other => other.path(),
        }
    }

    /// Its route, for every user.
    pub fn route(&self) -> String {
        format!(
            "dashboard:\n  match: {{ path: /dashboard }}\n  upstream: {}\n  {}\n  access: [{{ allow: signed_in }}]",
            self.url(),
            self.framework.settings(),
        )
    }

    /// Presses the button in a tab, and waits each time until the page says the number of presses.
    pub async fn press(page: &Page, presses: RangeInclusive<u32>) -> Result<()> {
        for presses in presses {
            page.click("button:has-text('Press')").await?;
            page.wait_for_text("body", &format!("pressed {presses} times"), PATIENCE).await?;
        }
        Ok(())
    }
}

/// `fixtures/model_api.py` under `/models/churn`.
#[derive(Debug)]
pub struct ModelApi {
    port: u16,
    _program: Program,
}

impl ModelApi {
    pub(crate) async fn start(folder: &Path) -> Result<Self> {
        Self::start_as(folder, "model_api:app", "").await
    }

    pub(crate) async fn start_guarded(folder: &Path, gateway: &str) -> Result<Self> {
        Self::start_as(folder, "guarded_model_api:app", gateway).await
    }

    async fn start_as(folder: &Path, application: &str, gateway: &str) -> Result<Self> {
        let port = free_port()?;
        let program = Program::start(
            "model-api",
            folder,
            Command::new(tools::installed("venv/bin/uvicorn")?)
                .args([application, "--host=127.0.0.1"])
                .arg(format!("--port={port}"))
                .arg("--app-dir")
                .arg(tools::fixture(""))
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .env("API_GATEWAY", gateway)
                .current_dir(folder),
        )?;
        let health = format!("http://127.0.0.1:{port}/models/churn/health");
        wait::until_ready("the model API", &health, PATIENCE).await?;
        Ok(Self { port, _program: program })
    }

    /// Its URL without a path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
