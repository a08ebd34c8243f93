//! Applications that data platforms run behind a gateway: a Streamlit dashboard and a FastAPI model API.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Result;

use crate::{program::Program, tools, wait, world::free_port};

const PATIENCE: Duration = Duration::from_secs(60);

/// `fixtures/dashboard.py` under `/dashboard`.
#[derive(Debug)]
pub struct Streamlit {
    port: u16,
    _program: Program,
}

impl Streamlit {
    pub(crate) async fn start(folder: &Path) -> Result<Self> {
        let port = free_port()?;
        let program = Program::start(
            "streamlit",
            folder,
            Command::new(tools::installed("venv/bin/streamlit")?)
                .arg("run")
                .arg(tools::fixture("dashboard.py"))
                .args(["--server.address=127.0.0.1", "--server.headless=true"])
                .args(["--server.fileWatcherType=none", "--browser.gatherUsageStats=false"])
                .arg("--server.baseUrlPath=dashboard")
                .arg(format!("--server.port={port}"))
                .current_dir(folder),
        )?;
        let health = format!("http://127.0.0.1:{port}/dashboard/_stcore/health");
        wait::until_ready("Streamlit", &health, PATIENCE).await?;
        Ok(Self { port, _program: program })
    }

    /// Its URL without a path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
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
