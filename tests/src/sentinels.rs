//! A primary, its replica, and three sentinels that promote the replica when the primary is gone.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Result, ensure};

use crate::{
    program::Program,
    resp, tools,
    valkey::{Setup, Valkey},
    wait,
    world::free_port,
};

/// The name that the sentinels give to the primary.
pub const MASTER: &str = "main";

const PATIENCE: Duration = Duration::from_secs(30);

/// The running servers.
#[derive(Debug)]
pub struct Sentinels {
    servers: [Valkey; 2],
    ports: Vec<u16>,
    _sentinels: Vec<Program>,
}

impl Sentinels {
    /// Starts all five and waits until each sentinel knows the others and the replica.
    pub async fn start(folder: &Path) -> Result<Self> {
        let first = Setup::new(folder, "server-1")?.start().await?;
        let second = Setup::new(folder, "server-2")?
            .with("replicaof", &format!("127.0.0.1 {}", first.port()))
            .start()
            .await?;
        wait::until("the replica to be in step", PATIENCE, async || {
            let state = second.ask(&["INFO", "replication"]).await?;
            Ok(state.text().contains("master_link_status:up").then_some(()))
        })
        .await?;
        let (mut ports, mut sentinels) = (Vec::new(), Vec::new());
        for number in 1..=3 {
            let name = format!("sentinel-{number}");
            let data = folder.join(&name);
            std::fs::create_dir_all(&data)?;
            let port = free_port()?;
            let config = data.join("sentinel.conf");
            // The sentinel writes its state into this file.
            std::fs::write(&config, sentinel_config(&data, port, first.port()))?;
            let mut command = Command::new(tools::installed("valkey/valkey-server")?);
            command.arg(&config).arg("--sentinel");
            sentinels.push(Program::start(&name, &data, &mut command)?);
            ports.push(port);
        }
        let started = Self { servers: [first, second], ports, _sentinels: sentinels };
        for port in &started.ports {
            wait::until("the sentinels", PATIENCE, async || {
                let state = resp::ask(*port, &["SENTINEL", "MASTER", MASTER]).await?;
                let known = (state.member("num-slaves"), state.member("num-other-sentinels"));
                Ok((known == (Some("1".to_owned()), Some("2".to_owned()))).then_some(()))
            })
            .await?;
        }
        Ok(started)
    }

    /// `session.store` of a gateway that finds the primary through the sentinels.
    pub fn store(&self) -> String {
        let nodes: Vec<String> = self.ports.iter().map(|p| format!("\"127.0.0.1:{p}\"")).collect();
        let nodes = nodes.join(", ");
        format!("{{ redis: {{ sentinel: {{ master: {MASTER}, nodes: [{nodes}] }} }} }}")
    }

    /// The port of the primary, as the sentinels have it.
    pub async fn primary(&self) -> Result<u16> {
        let mut last = anyhow::anyhow!("there is no sentinel");
        for port in &self.ports {
            match resp::ask(*port, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER]).await {
                Ok(address) => return Ok(address.texts().last().unwrap_or(&"").parse()?),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Has the last sentinel promote the replica although the primary runs; returns once it did.
    pub async fn fail_over(&self) -> Result<()> {
        let before = self.primary().await?;
        let port = self.ports.last().copied().unwrap_or_default();
        resp::ask(port, &["SENTINEL", "FAILOVER", MASTER]).await?;
        self.until_promoted(before).await
    }

    /// kill -9 of the primary; returns at once.
    pub async fn kill_primary(&mut self) -> Result<u16> {
        let port = self.primary().await?;
        let primary = self.servers.iter_mut().find(|server| server.port() == port);
        ensure!(primary.is_some(), "the sentinels name another primary: {port}");
        primary.into_iter().for_each(Valkey::kill);
        Ok(port)
    }

    /// Starts the servers that were killed; they become replicas.
    pub async fn start_killed(&mut self) -> Result<()> {
        for server in &mut self.servers {
            if !server.is_running() {
                server.start_again().await?;
            }
        }
        Ok(())
    }

    /// Waits until another server than `before` is the primary and takes writes, and every sentinel says that the failover is over.
    pub async fn until_promoted(&self, before: u16) -> Result<()> {
        wait::until("the promotion", PATIENCE, async || {
            for port in &self.ports {
                let state = resp::ask(*port, &["SENTINEL", "MASTER", MASTER]).await?;
                let flags = state.member("flags").unwrap_or_default();
                let primary = state.member("port").unwrap_or_default();
                if primary == before.to_string() || flags.contains("failover") {
                    return Ok(None);
                }
            }
            let role = resp::ask(self.primary().await?, &["ROLE"]).await?;
            Ok((role.texts().first() == Some(&"master")).then_some(()))
        })
        .await
    }
}

fn sentinel_config(data: &Path, port: u16, primary: u16) -> String {
    format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER} 127.0.0.1 {primary} 2\n\
         sentinel down-after-milliseconds {MASTER} 1000\nsentinel failover-timeout {MASTER} 6000\n",
        data.display()
    )
}
