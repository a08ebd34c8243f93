//! The program whose user runs the commands: its name in texts, and where it looks for certificates.

use std::borrow::Cow;
use std::path::PathBuf;

use oidc_core::Issuer;

use crate::environment::variable;

/// The program that has these commands.
///
/// ```
/// let program = cli_auth::Program::new("python -m doorward").with_version("0.1.0");
/// assert_eq!((program.name(), program.short_name()), ("python -m doorward", "doorward"));
/// ```
#[derive(Clone, Debug)]
pub struct Program {
    name: Cow<'static, str>,
    version: Option<&'static str>,
    ca_variables: &'static [&'static str],
}

impl Program {
    /// A program that its user calls by this name, as help and errors show it.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), version: None, ca_variables: &[] }
    }

    /// Adds the flag `--version`, for a program that has these commands only.
    #[must_use]
    pub fn with_version(mut self, version: &'static str) -> Self {
        self.version = Some(version);
        self
    }

    /// Environment variables that name a PEM file of trusted certificates, the first that is set. They count where neither
    /// `--ca-file`, `DOORWARD_CA_FILE` nor the login names one.
    #[must_use]
    pub fn with_ca_variables(mut self, names: &'static [&'static str]) -> Self {
        self.ca_variables = names;
        self
    }

    /// The name its user calls it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The last word of the name, which begins errors.
    pub fn short_name(&self) -> &str {
        self.name.rsplit(' ').next().unwrap_or(&self.name)
    }

    pub(crate) fn version(&self) -> Option<&'static str> {
        self.version
    }

    /// The file of trusted certificates that the environment names.
    pub(crate) fn ca_file(&self) -> Option<PathBuf> {
        self.ca_variables.iter().find_map(|name| variable(name)).map(PathBuf::from)
    }

    /// The command that signs in at this issuer with this client.
    pub(crate) fn login_command(&self, issuer: Option<&Issuer>, client_id: Option<&str>) -> String {
        let issuer = issuer.map_or("URL", Issuer::as_str);
        format!("{} login --issuer {issuer} --client-id {}", self.name, client_id.unwrap_or("ID"))
    }
}
