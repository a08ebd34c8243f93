//! Starts the program, with limits of its process where a scenario sets them.

use std::{path::Path, process::Command};

use anyhow::Result;

use super::Plan;
use crate::{program::Program, tools};

impl Plan {
    /// The process may open so many files.
    #[must_use]
    pub fn with_descriptors(mut self, most: u32) -> Self {
        self.descriptors = Some(most);
        self
    }
}

pub(super) fn program(plan: &Plan, config: &Path) -> Result<Program> {
    let mut command = match plan.descriptors {
        Some(most) => {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(format!("ulimit -n {most}; exec \"$0\" \"$@\""));
            shell.arg(tools::doorward()?);
            shell
        }
        None => Command::new(tools::doorward()?),
    };
    command.arg("serve").arg("--config").arg(config).current_dir(&plan.folder);
    Program::start("gateway", &plan.folder, &mut command)
}
