//! Toxiproxy: a TCP proxy that makes a network bad on demand, and good again.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Result, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::{program::Program, tools, visitor, wait, world::free_port};

/// A running Toxiproxy with one proxy.
#[derive(Debug)]
pub struct Toxiproxy {
    api: String,
    port: u16,
    client: Client,
    _program: Program,
}

impl Toxiproxy {
    /// A proxy before `upstream`, `host:port`.
    pub async fn before(folder: &Path, upstream: &str) -> Result<Self> {
        let (api, port) = (free_port()?, free_port()?);
        let mut command = Command::new(tools::installed("toxiproxy/toxiproxy-server")?);
        command.args(["-host", "127.0.0.1", "-port", &api.to_string()]);
        // Its log names the goroutines of each connection otherwise.
        command.env("LOG_LEVEL", "warn");
        let mut program = Program::start("toxiproxy", folder, &mut command)?;
        let client = visitor::plain_client()?;
        let api = format!("http://127.0.0.1:{api}");
        wait::until("Toxiproxy", Duration::from_secs(10), async || {
            program.check_running()?;
            client.get(format!("{api}/version")).send().await?.error_for_status()?;
            Ok(Some(()))
        })
        .await?;
        let proxy = Self { api, port, client, _program: program };
        let listen = format!("127.0.0.1:{port}");
        let body =
            json!({ "name": "wire", "listen": listen, "upstream": upstream, "enabled": true });
        proxy.send(Method::POST, "/proxies", &body).await?;
        Ok(proxy)
    }

    /// `host:port` of the proxy.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port of the proxy.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Delays what the upstream answers.
    pub async fn slow(&self, delay: Duration) -> Result<()> {
        self.poison("latency", &json!({ "latency": delay.as_millis() })).await
    }

    /// Swallows what the upstream answers, and what is sent to it, without closing a connection: a half-open network.
    pub async fn half_open(&self) -> Result<()> {
        let silence = json!({ "timeout": 0 });
        self.add("timeout", "upstream", &silence).await?;
        self.add("timeout", "downstream", &silence).await
    }

    /// Resets each connection, present and new, as soon as the upstream answers on it.
    pub async fn reset(&self) -> Result<()> {
        self.poison("reset_peer", &json!({ "timeout": 0 })).await
    }

    /// Refuses connections, and cuts those there are.
    pub async fn close(&self) -> Result<()> {
        self.send(Method::POST, "/proxies/wire", &json!({ "enabled": false })).await
    }

    /// Ends every fault. Connections that a half-open network swallowed bytes of are cut.
    pub async fn heal(&self) -> Result<()> {
        self.send(Method::POST, "/reset", &Value::Null).await
    }

    async fn poison(&self, kind: &str, attributes: &Value) -> Result<()> {
        self.add(kind, "downstream", attributes).await
    }

    async fn add(&self, kind: &str, stream: &str, attributes: &Value) -> Result<()> {
        let body = json!({
            "name": format!("{kind}-{stream}"),
            "type": kind,
            "stream": stream,
            "attributes": attributes,
        });
        self.send(Method::POST, "/proxies/wire/toxics", &body).await
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<()> {
        let request = self.client.request(method, format!("{}{path}", self.api));
        let answer = request.json(body).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "{path}: {status} {}", answer.text().await?);
        Ok(())
    }
}
