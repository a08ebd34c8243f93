//! A program with the commands of this crate only, called by the name of its file. The crate's tests run it.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use cli_auth::{Command, Outcome, Program};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = Program::new(name(arguments.next())).with_version(env!("CARGO_PKG_VERSION"));
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            // A closed standard error cannot be reported.
            let _ = writeln!(std::io::stderr(), "{}: {error}", program.name());
            return Outcome::Failure.into();
        }
    };
    match Command::parse(&program, arguments) {
        Ok(command) => runtime.block_on(command.run(&program, &mut std::io::stdout())).into(),
        Err(outcome) => outcome.into(),
    }
}

fn name(called: Option<OsString>) -> String {
    let file = called.as_deref().map(Path::new).and_then(Path::file_name);
    file.map_or_else(|| "cli-auth".to_owned(), |file| file.to_string_lossy().into_owned())
}
