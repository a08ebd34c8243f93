//! Starts the program, with limits and variables of its process where a scenario sets them.

use std::{path::Path, process::Command};

use anyhow::Result;

use super::Plan;
use crate::program::Program;

impl Plan {
    /// The folder in which the gateway runs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The process may open so many files.
    #[must_use]
    pub fn with_descriptors(mut self, most: u32) -> Self {
        self.descriptors = Some(most);
        self
    }

    /// A variable in the environment of the gateway.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `session.store`, in YAML.
    #[must_use]
    pub fn with_store(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.store);
        self
    }

    /// Starts a process, whose log has the name `gateway`.
    pub(super) fn run(&self, config: &Path, arguments: &[&str]) -> Result<Program> {
        self.run_as("gateway", config, arguments)
    }

    /// Starts a process, whose log has this name.
    pub(super) fn run_as(&self, name: &str, config: &Path, arguments: &[&str]) -> Result<Program> {
        let mut command = match self.descriptors {
            Some(most) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("ulimit -n {most}; exec \"$0\" \"$@\""));
                shell.arg(&self.binary);
                shell
            }
            None => Command::new(&self.binary),
        };
        command.arg("serve").arg("--config").arg(config).args(arguments);
        command.current_dir(&self.folder).envs(self.environment.iter().cloned());
        Program::start(name, &self.folder, &mut command)
    }
}
