//! Where the token goes: standard output in one of three forms, a child's environment, or a private file.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;
use m2m::AccessToken;
use m2m::private_file::PrivateFile;
use oidc_core::{Clock, Secret, SystemClock};
use serde_json::json;

use crate::commands::environment::variable;
use crate::commands::{Outcome, WrongUsage};

/// The form, or the place.
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
    /// Run the command after `--` with the token in its environment; its exit code and signals are its own
    #[arg(long, group = "form", requires = "command")]
    exec: bool,
    /// The variable that holds the token for --exec; several are all set
    #[arg(long, value_name = "NAME", requires = "exec", default_value = "DOORWARD_TOKEN")]
    env: Vec<String>,
    /// Write the token to this file, which only this user can read, instead of printing it
    #[arg(long, value_name = "FILE", group = "form")]
    file: Option<PathBuf>,
    /// Keep the file fresh until a signal comes: it is replaced before its token ends
    #[arg(long, requires = "file")]
    watch: bool,
    /// The command of --exec, with its arguments
    #[arg(last = true, requires = "exec", value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Output {
    /// The file to keep fresh, if that is asked for.
    pub(super) fn watched(&self) -> Option<PrivateFile> {
        self.file.as_deref().filter(|_| self.watch).map(PrivateFile::new)
    }

    /// Gives the token there. Does not return where a command takes this program's place.
    pub(super) fn give(&self, token: &AccessToken, out: &mut dyn Write) -> anyhow::Result<Outcome> {
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
            let value = token.authorization();
            let value = value.to_str().context("the token cannot stand in a header")?;
            Secret::from(format!("Authorization: {value}"))
        } else {
            token.secret().clone()
        };
        writeln!(out, "{}", text.expose())?;
        out.flush()?;
        Ok(Outcome::Fine)
    }

    fn execute(&self, token: &AccessToken) -> anyhow::Result<Outcome> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(WrongUsage("--exec needs a command: --exec -- COMMAND ARGUMENTS").into());
        };
        if self.env.iter().any(|name| name.is_empty() || name.contains(['=', '\0'])) {
            return Err(WrongUsage("--env takes the name of a variable, without `=`").into());
        }
        let mut command = Command::new(program);
        command.args(arguments);
        for name in &self.env {
            command.env(name, token.secret().expose());
        }
        // Only an error returns: otherwise this process is the command's now, with its signals and its exit code.
        let error = command.exec();
        bail!("{} cannot be run: {error}", Path::new(program).display())
    }
}

/// As the answer of a token endpoint (RFC 6749 §5.1).
fn as_json(token: &AccessToken) -> serde_json::Value {
    let now = SystemClock.now();
    let left = token.expires_at().map(|at| at.duration_since(now).unwrap_or_default().as_secs());
    json!({"access_token": token.secret().expose(), "token_type": token.token_type().as_str(), "expires_in": left})
}

/// As client-go wants it (Kubernetes, client.authentication.k8s.io), in the version it says it speaks.
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
