//! Destination of the token: standard output in one of four forms, the environment of a command, or a private file.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use m2m::AccessToken;
use m2m::private_file::PrivateFile;
use oidc_core::{Clock, Secret, SystemClock};
use serde_json::json;

use crate::environment::variable;
use crate::error::CommandError;
use crate::outcome::Outcome;

/// Flags for the form or the destination.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Output {
    /// Print `Authorization: Bearer …`
    #[arg(long, group = "form")]
    header: bool,
    /// Print {"access_token", "expires_in", "token_type"}
    #[arg(long, group = "form")]
    json: bool,
    /// Print an ExecCredential, for `exec` in a kubeconfig
    #[arg(long, group = "form")]
    kubernetes: bool,
    /// Run the command after `--` with the token in its environment; its exit code is returned, and signals reach it
    #[arg(long, group = "form", requires = "command")]
    exec: bool,
    /// Variable that holds the token for --exec; repeat it to set several
    #[arg(long, value_name = "NAME", requires = "exec", default_value = "DOORWARD_TOKEN")]
    env: Vec<String>,
    /// Write the token to this file, readable by this user only, instead of printing it
    #[arg(long, value_name = "FILE", group = "form")]
    file: Option<PathBuf>,
    /// Replace the token in the file before it expires, until SIGTERM or Ctrl-C
    #[arg(long, requires = "file")]
    watch: bool,
    /// Command of --exec, with its arguments
    #[arg(last = true, requires = "exec", value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Output {
    /// The file to keep fresh; `None` without `--watch`.
    pub(super) fn watched(&self) -> Option<PrivateFile> {
        self.file.as_deref().filter(|_| self.watch).map(PrivateFile::new)
    }

    /// Sends the token there. Does not return if a command replaces this process.
    pub(super) fn give(
        &self,
        token: &AccessToken,
        out: &mut (dyn Write + Send),
    ) -> Result<Outcome, CommandError> {
        if self.exec {
            return self.execute(token);
        }
        if let Some(file) = &self.file {
            PrivateFile::new(file).replace(token.secret())?;
            return Ok(Outcome::Fine);
        }
        let text = if self.json {
            Secret::from(as_json(token).to_string())
        } else if self.kubernetes {
            Secret::from(exec_credential(token).to_string())
        } else if self.header {
            let (scheme, token) = (token.token_type().as_str(), token.secret().expose());
            Secret::from(format!("Authorization: {scheme} {token}"))
        } else {
            token.secret().clone()
        };
        writeln!(out, "{}", text.expose())?;
        out.flush()?;
        Ok(Outcome::Fine)
    }

    fn execute(&self, token: &AccessToken) -> Result<Outcome, CommandError> {
        let Some((program, arguments)) = self.command.split_first() else {
            let usage = "missing command for --exec; write --exec -- COMMAND ARGUMENTS";
            return Err(CommandError::WrongUsage(usage));
        };
        if self.env.iter().any(|name| name.is_empty() || name.contains(['=', '\0'])) {
            let usage = "invalid --env: a name is not empty and has no `=`; write --env NAME";
            return Err(CommandError::WrongUsage(usage));
        }
        let mut command = Command::new(program);
        command.args(arguments);
        for name in &self.env {
            command.env(name, token.secret().expose());
        }
        // Returns only on failure: otherwise the command has replaced this process.
        Err(CommandError::Exec { program: program.into(), source: command.exec() })
    }
}

/// The token in the form of a token response (RFC 6749 §5.1).
fn as_json(token: &AccessToken) -> serde_json::Value {
    let now = SystemClock.now();
    let left = token.expires_at().map(|at| at.duration_since(now).unwrap_or_default().as_secs());
    json!({"access_token": token.secret().expose(), "token_type": token.token_type().as_str(), "expires_in": left})
}

/// The token for client-go (Kubernetes, client.authentication.k8s.io), in the API version that it asks for.
fn exec_credential(token: &AccessToken) -> serde_json::Value {
    let asked = variable("KUBERNETES_EXEC_INFO").and_then(|info| info.into_string().ok());
    let asked: Option<serde_json::Value> = asked.and_then(|info| serde_json::from_str(&info).ok());
    let version = asked.as_ref().and_then(|info| info.get("apiVersion")?.as_str());
    let ends = token.expires_at().map(|at| humantime::format_rfc3339_seconds(at).to_string());
    json!({
        "apiVersion": version.unwrap_or("client.authentication.k8s.io/v1"),
        "kind": "ExecCredential",
        "status": {"token": token.secret().expose(), "expirationTimestamp": ends},
    })
}
