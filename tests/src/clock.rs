//! A clock of one program that a scenario moves: libfaketime answers the program's questions for the time of day.
//!
//! Timers and durations stay right, as they do when the time of a machine is set.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::gateway::Plan;

/// Where Debian has the library.
const LIBRARIES: &str = "/usr/lib";

/// The clock; its file says by how much it is wrong.
#[derive(Debug)]
pub struct MovableClock {
    file: PathBuf,
    library: PathBuf,
}

impl MovableClock {
    /// A right clock.
    pub fn new(folder: &Path) -> Result<Self> {
        let library = std::fs::read_dir(LIBRARIES)?
            .flatten()
            .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
            .find(|path| path.exists())
            .context("libfaketime is missing; run `bash tests/install.sh`")?;
        let clock = Self { file: folder.join("clock"), library };
        clock.set(0)?;
        Ok(clock)
    }

    /// Makes the clock wrong by so many seconds from now on.
    pub fn set(&self, seconds: i64) -> Result<()> {
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}"))?;
        // In one step: the program reads the file at each question.
        Ok(std::fs::rename(&new, &self.file)?)
    }

    /// The gateway of this plan looks at this clock.
    pub fn given_to(&self, plan: Plan) -> Plan {
        plan.with_variable("LD_PRELOAD", &self.library.display().to_string())
            .with_variable("FAKETIME_TIMESTAMP_FILE", &self.file.display().to_string())
            .with_variable("FAKETIME_NO_CACHE", "1")
            .with_variable("DONT_FAKE_MONOTONIC", "1")
    }
}
