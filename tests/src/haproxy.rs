//! HAProxy before the gateway, as the guide about load balancers has it.

use std::{process::Command, time::Duration};

use anyhow::Result;
use tokio::net::TcpStream;

use crate::{World, program::Program, recipes::printed, wait};

const GUIDE: &str = "docs/guides/load-balancers.md";

/// Ports of the recipe, each replaced by one of loopback.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// `:443`
    pub https: u16,
    /// `:80`
    pub http: u16,
    /// `doorward:8443`
    pub gateway: u16,
    /// `doorward:8080`
    pub redirect: u16,
}

/// Runs the recipe.
pub async fn haproxy(world: &World, ports: Ports) -> Result<Program> {
    let Ports { https, http, gateway, redirect } = ports;
    let recipe = printed(GUIDE, "HAProxy")?
        .replace("bind :443", &format!("bind 127.0.0.1:{https}"))
        .replace("bind :80", &format!("bind 127.0.0.1:{http}"))
        .replace("doorward:8443", &format!("127.0.0.1:{gateway}"))
        .replace("doorward:8080", &format!("127.0.0.1:{redirect}"));
    let file = world.folder().join("haproxy.cfg");
    // HAProxy takes no file whose last line has no end.
    std::fs::write(&file, format!("{recipe}\n"))?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(file);
    let mut program = Program::start("haproxy", world.folder(), &mut command)?;
    wait::until("haproxy", Duration::from_secs(20), async || {
        program.check_running()?;
        for port in [https, http] {
            TcpStream::connect(("127.0.0.1", port)).await?;
        }
        Ok(Some(()))
    })
    .await?;
    Ok(program)
}
