//! oauth2-proxy, the program that a translated configuration is compared with.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Result, bail};

use crate::{program::Program, tools, wait, wire::Wire, world::free_port};

const PATIENCE: Duration = Duration::from_secs(30);

/// The ways in which its options are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The configuration file.
    File,
    /// A command line for a shell.
    Shell,
    /// The list `args` of a container, one line each, in YAML.
    Arguments,
    /// A list in JSON.
    Json,
    /// Variables, `NAME=value` or `NAME: value` in each line.
    Variables,
}

/// A running oauth2-proxy at `localhost`, over plain http.
#[derive(Debug)]
pub struct OAuth2Proxy {
    port: u16,
    _program: Program,
}

impl OAuth2Proxy {
    /// Starts it with these options; only its address, its redirect URI (`callback` is the path) and its cookies are set for
    /// this place.
    pub async fn start(folder: &Path, form: Form, options: &str, callback: &str) -> Result<Self> {
        let port = free_port()?;
        let binary = tools::installed("oauth2-proxy/oauth2-proxy")?;
        let mut command = Command::new(&binary);
        match form {
            Form::File => {
                let file = folder.join("oauth2-proxy.cfg");
                std::fs::write(&file, options)?;
                command.arg("--config").arg(file);
            }
            Form::Shell => {
                let Some(options) = options.trim().strip_prefix("oauth2-proxy") else {
                    bail!("the command is not oauth2-proxy");
                };
                command = Command::new("sh");
                command.arg("-c").arg(format!("exec \"$0\" {options} \"$@\"")).arg(&binary);
            }
            Form::Arguments => {
                let words = options.lines().filter_map(|line| line.trim().strip_prefix("- "));
                command.args(
                    words.map(|word| word.trim_matches('"')).filter(|word| word.starts_with("--")),
                );
            }
            Form::Json => {
                command.args(serde_json::from_str::<Vec<String>>(options)?);
            }
            Form::Variables => {
                for line in options.lines() {
                    let line = line.trim().trim_start_matches("export ");
                    if let Some((name, value)) = line.split_once([':', '='])
                        && name.starts_with("OAUTH2_PROXY_")
                    {
                        command.env(name, value.trim().trim_matches('"'));
                    }
                }
            }
        }
        command.args([
            format!("--http-address=127.0.0.1:{port}"),
            format!("--redirect-url=http://localhost:{port}{callback}"),
            "--cookie-secret=0123456789abcdef0123456789abcdef".to_owned(),
            "--cookie-secure=false".to_owned(),
            "--code-challenge-method=S256".to_owned(),
        ]);
        let mut program = Program::start("oauth2-proxy", folder, &mut command)?;
        wait::until("oauth2-proxy", PATIENCE, async || {
            program.check_running()?;
            let Ok(mut wire) = Wire::connect(port).await else { return Ok(None) };
            wire.send("GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
            Ok((wire.answer().await?.status == 200).then_some(()))
        })
        .await?;
        Ok(Self { port, _program: program })
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }
}
