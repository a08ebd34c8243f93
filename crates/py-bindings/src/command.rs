//! The commands of `python -m doorward`, which are those of `cli-auth`.

use std::ffi::OsString;

use cli_auth::{Command, Program};
use pyo3::prelude::*;

use crate::engine::Engine;
use crate::environment::CA_FILES;

/// Run a command of ``python -m doorward`` on the process's own standard streams. Returns its exit code.
///
/// Raises:
///     KeyboardInterrupt: if Ctrl-C ends the command, unless this process has another handler for SIGINT.
#[pyfunction]
pub(crate) fn command(py: Python<'_>, arguments: Vec<OsString>) -> PyResult<u8> {
    let program = Program::new("python -m doorward")
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_ca_variables(&CA_FILES);
    let command = match Command::parse(&program, arguments) {
        Ok(command) => command,
        Err(outcome) => return Ok(outcome.code()),
    };
    let mut out = std::io::stdout();
    let outcome = Engine::of(py)?.wait(py, command.run(&program, &mut out))?;
    Ok(outcome.code())
}
