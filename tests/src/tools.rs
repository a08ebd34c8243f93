//! Paths of the parts that `tests/install.sh` installed. The only module that reads the environment.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

#[expect(clippy::disallowed_methods, reason = "the harness finds the installed parts here")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `DOORWARD_CACHE`, by default `~/.cache/doorward`.
pub fn cache() -> Result<PathBuf> {
    if let Some(cache) = variable("DOORWARD_CACHE") {
        return Ok(cache.into());
    }
    let home = variable("HOME").context("neither DOORWARD_CACHE nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache/doorward"))
}

/// A file under the cache; missing means that the install did not run.
pub fn installed(path: &str) -> Result<PathBuf> {
    let path = cache()?.join(path);
    anyhow::ensure!(path.exists(), "{} is missing; run `bash tests/install.sh`", path.display());
    Ok(path)
}

/// The search path of the parts: the Python environment's (which also holds Node.js where the machine's is too old), then
/// the system's.
pub fn search_path() -> Result<String> {
    let system = variable("PATH").unwrap_or_default();
    Ok(format!("{}:{system}:/usr/sbin", cache()?.join("venv/bin").display()))
}

/// The binary under test: `DOORWARD_BIN`, by default the one that cargo built beside this test.
pub fn doorward() -> Result<PathBuf> {
    if let Some(binary) = variable("DOORWARD_BIN") {
        return Ok(binary.into());
    }
    // target/debug/deps/all-… → target/debug/doorward
    let test = std::env::current_exe()?;
    let profile = test.ancestors().nth(2).context("the test binary lies in no target folder")?;
    let binary = profile.join("doorward");
    anyhow::ensure!(
        binary.exists(),
        "{} is missing; run `just e2e`, or set DOORWARD_BIN",
        binary.display()
    );
    Ok(binary)
}

/// `DOORWARD_OTHER_BIN`: another version of the gateway, which runs beside the binary under test where there are replicas.
pub fn other_doorward() -> Option<PathBuf> {
    variable("DOORWARD_OTHER_BIN").map(PathBuf::from)
}

/// Whether `DOORWARD_LONG` asks for the long forms of scenarios, which take minutes to an hour.
pub fn long_form() -> bool {
    variable("DOORWARD_LONG").is_some()
}

/// `DOORWARD_SESSIONS`: sessions of the figures for sizing.
pub fn sessions_to_size() -> Option<usize> {
    variable("DOORWARD_SESSIONS")?.parse().ok()
}

/// A file of `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}
