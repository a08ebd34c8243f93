//! `doorward migrate`: the configuration of another gateway as a `doorward.yaml`.
//!
//! Reads files, and prints; it contacts no server. Secrets of the source are never printed: the result refers to files. An option
//! that has no equal is a comment with the remedy, and a weak setting is named. Neither is carried over in silence.

mod draft;
mod gatekeeper;
mod ingress;
mod manifests;
mod mod_auth_openidc;
mod oauth2_proxy;
mod options;
mod patterns;

use std::io::{Read as _, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use cli_auth::shown;

use self::draft::Draft;
use super::Outcome;
use crate::config::Config;

/// Most bytes that are read of a file.
const LARGEST: u64 = 4 * 1024 * 1024;

/// Arguments of the command.
#[derive(Debug, Args)]
pub struct Migrate {
    /// The program that the configuration is for
    #[arg(value_enum)]
    source: Source,
    /// Its files; `-` is standard input. For oauth2-proxy: flags, OAUTH2_PROXY_* variables, the configuration file, the alpha
    /// configuration, each in its own file
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Programs whose configuration can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// oauth2-proxy
    #[value(name = "oauth2-proxy")]
    OAuth2Proxy,
    /// Keycloak Gatekeeper, later Louketo
    Gatekeeper,
    /// Apache with mod_auth_openidc
    #[value(name = "mod_auth_openidc")]
    ModAuthOpenidc,
    /// Ingress objects of Kubernetes with annotations of ingress-nginx
    Ingress,
}

/// Reasons a configuration cannot be read. None of them quotes a value of it.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Not in the form of its program.
    #[error("invalid file: {reason}")]
    Unreadable {
        /// The place and the reason.
        reason: String,
    },
    /// Nothing that the program reads.
    #[error("invalid file: it holds no setting of {program}; name its configuration")]
    Nothing {
        /// The program.
        program: &'static str,
    },
}

impl Migrate {
    /// Prints the configuration.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or is not in the form of its program.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let texts = self.files.iter().map(read).collect::<anyhow::Result<Vec<String>>>()?;
        let text = migrate(self.source, &texts)?;
        out.write_all(text.as_bytes())?;
        let Err(problems) = Config::parse("doorward.yaml", &text) else { return Ok(Outcome::Fine) };
        let mut errors = std::io::stderr().lock();
        writeln!(errors, "{}", shown(&problems.to_string()).replace("\\u{a}", "\n"))?;
        writeln!(errors, "The result has problems: correct them before you use it")?;
        Ok(Outcome::Failure)
    }
}

fn read(path: &PathBuf) -> anyhow::Result<String> {
    let mut text = String::new();
    let length = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(LARGEST + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text))
    };
    let length = length.with_context(|| format!("cannot read {}", path.display()))?;
    anyhow::ensure!(length as u64 <= LARGEST, "{} is larger than 4 MiB", path.display());
    Ok(text)
}

/// The text of a `doorward.yaml` for the texts of another program's files.
///
/// # Errors
///
/// A text is not in the form of its program.
pub fn migrate(source: Source, texts: &[String]) -> Result<String, MigrateError> {
    let draft: Draft = match source {
        Source::OAuth2Proxy => oauth2_proxy::draft(texts)?,
        Source::Gatekeeper => gatekeeper::draft(texts)?,
        Source::ModAuthOpenidc => mod_auth_openidc::draft(texts)?,
        Source::Ingress => ingress::draft(texts)?,
    };
    Ok(draft.written())
}
