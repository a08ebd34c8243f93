//! The commands of `python -m doorward`, which are those of `cli-auth`.

use std::ffi::OsString;

use cli_auth::{Command, Program};
use pyo3::prelude::*;

use crate::engine::Engine;
use crate::environment::CA_FILES;

/// Run a command of ``python -m doorward`` on the process's own standard streams. Returns its exit code.
///
/// Args:
///     arguments: those of the command.
///     name: the name that help and errors call the program by.
///
/// Raises:
///     KeyboardInterrupt: if Ctrl-C ends the command, unless this process has another handler for SIGINT.
#[pyfunction]
#[pyo3(signature = (arguments, name = "python -m doorward"))]
pub(crate) fn command(py: Python<'_>, arguments: Vec<OsString>, name: &str) -> PyResult<u8> {
    let program = Program::new(name.to_owned())
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
