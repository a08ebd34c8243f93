//! A Valkey server, or Debian's Redis where TLS or another implementation of the protocol is needed.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use crate::{
    authority::Authority,
    program::Program,
    resp::{self, Reply},
    tools, wait,
    world::free_port,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// The user of the gateway at a server with [`Setup::with_user`].
pub const USER: &str = "doorward";

/// The file of that user's password, in the server's folder.
pub const PASSWORD_FILE: &str = "password";

/// Builds a server.
#[derive(Debug)]
pub struct Setup {
    name: String,
    folder: PathBuf,
    binary: PathBuf,
    port: u16,
    tls_port: Option<u16>,
    arguments: Vec<String>,
    password: Option<String>,
}

/// A running server on loopback. Its default user needs no password, so that scenarios can ask it anything.
#[derive(Debug)]
pub struct Valkey {
    setup: Setup,
    program: Option<Program>,
}

impl Setup {
    /// Valkey with its data in `<folder>/<name>`; writes are in its log of appended commands before it answers.
    pub fn new(folder: &Path, name: &str) -> Result<Self> {
        let data = folder.join(name);
        std::fs::create_dir_all(&data)?;
        Ok(Self {
            name: name.to_owned(),
            folder: data,
            binary: tools::installed("valkey/valkey-server")?,
            port: free_port()?,
            tls_port: None,
            arguments: Vec::new(),
            password: None,
        })
    }

    /// Debian's Redis instead of Valkey.
    #[must_use]
    pub fn redis(mut self) -> Self {
        self.binary = "redis-server".into();
        self
    }

    /// An option of the server: `("maxmemory", "8mb")`.
    #[must_use]
    pub fn with(mut self, option: &str, value: &str) -> Self {
        self.arguments.extend([format!("--{option}"), value.to_owned()]);
        self
    }

    /// The gateway needs a user and a password. The file of the password is made here.
    pub fn with_user(mut self, password: &str) -> Result<Self> {
        std::fs::write(self.folder.join(PASSWORD_FILE), password)?;
        self.password = Some(password.to_owned());
        Ok(self)
    }

    /// TLS on a port of its own, with a certificate of `authority`; clients need none. Debian's Redis only: the wheel's Valkey
    /// is built without TLS.
    pub fn with_tls(mut self, authority: &Authority) -> Result<Self> {
        let port = free_port()?;
        let files = authority.server()?;
        let (certificate, key) = (files.certificate.display(), files.key.display());
        self = self
            .redis()
            .with("tls-port", &port.to_string())
            .with("tls-cert-file", &certificate.to_string())
            .with("tls-key-file", &key.to_string())
            .with("tls-ca-cert-file", &authority.certificate().display().to_string())
            .with("tls-auth-clients", "optional");
        self.tls_port = Some(port);
        Ok(self)
    }

    /// Starts it, and waits until it answers.
    pub async fn start(self) -> Result<Valkey> {
        let mut valkey = Valkey { setup: self, program: None };
        valkey.start_again().await?;
        Ok(valkey)
    }
}

impl Valkey {
    /// A server with default settings in a folder of the scenario.
    pub async fn start(folder: &Path) -> Result<Self> {
        Setup::new(folder, "valkey")?.start().await
    }

    /// Its port without TLS.
    pub fn port(&self) -> u16 {
        self.setup.port
    }

    /// `host:port` of the server.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.setup.port)
    }

    /// The port of TLS.
    pub fn tls_port(&self) -> Result<u16> {
        self.setup.tls_port.context("the server has no TLS")
    }

    /// The folder of its data.
    pub fn folder(&self) -> &Path {
        &self.setup.folder
    }

    /// `session.store` of a gateway that uses it.
    pub fn store(&self) -> String {
        self.store_at(&format!("redis://{}/0", self.address()), "")
    }

    /// The same by another address, with further settings: `", prefix: \"other:\""`.
    pub fn store_at(&self, url: &str, settings: &str) -> String {
        let login = match &self.setup.password {
            None => String::new(),
            Some(_) => {
                let file = self.setup.folder.join(PASSWORD_FILE);
                format!(", user: {USER}, password: {{ file: {} }}", file.display())
            }
        };
        format!("{{ redis: {{ url: {url}{login}{settings} }} }}")
    }

    /// Sends one command as the default user.
    pub async fn ask(&self, command: &[&str]) -> Result<Reply> {
        resp::ask(self.setup.port, command).await
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut program) = self.program.take() {
            program.kill();
        }
    }

    /// Whether it was started and not killed since.
    pub fn is_running(&self) -> bool {
        self.program.is_some()
    }

    /// Starts it after [`Valkey::kill`] with the same port and data, and waits until it answers.
    pub async fn start_again(&mut self) -> Result<()> {
        let Setup { name, folder, binary, port, arguments, password, .. } = &self.setup;
        let mut command = Command::new(binary);
        command
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no"])
            .arg("--dir")
            .arg(folder);
        if let Some(password) = password {
            // No administration; keys and channels of the gateway's prefix only.
            let rights = [USER, "on", &format!(">{password}"), "~doorward:*", "&doorward:*"];
            command.arg("--user").args(rights).args([
                "+@all",
                "-@admin",
                "-@dangerous",
                "+info",
                "+role",
            ]);
        }
        command.args(arguments);
        let mut program = Program::start(name, folder, &mut command)?;
        wait::until(name, PATIENCE, async || {
            program.check_running()?;
            let pong = resp::ask(*port, &["PING"]).await?;
            Ok((pong.text() == "PONG").then_some(()))
        })
        .await?;
        self.program = Some(program);
        Ok(())
    }

    /// SIGSTOP: the kernel accepts connections and bytes, the server answers none of them.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(program) = &self.program {
            program.signal(signal);
        }
    }
}

impl Drop for Valkey {
    fn drop(&mut self) {
        // It holds nothing that is needed, and a frozen process takes no other signal.
        self.kill();
    }
}
