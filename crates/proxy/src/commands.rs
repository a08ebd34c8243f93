//! One module for each command of the program. `login`, `token`, `logout` and `verify` are those of `cli-auth`.

pub mod check;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod healthcheck;
pub mod key;
pub mod migrate;
pub mod presets;
pub mod schema;
pub mod serve;

use std::process::ExitCode;

/// Result of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The command did what was asked. Exit code 0.
    Fine,
    /// The command failed. Exit code 1.
    Failure,
    /// The command cannot do what was asked in this way. Exit code 2, as for wrong arguments.
    Unusable,
    /// `explain`: the request would be refused. Exit code 3.
    Refused,
    /// `explain`: the user would have to sign in. Exit code 4.
    LoginNeeded,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Fine => 0,
            Outcome::Failure => 1,
            Outcome::Unusable => 2,
            Outcome::Refused => 3,
            Outcome::LoginNeeded => 4,
        })
    }
}

/// True if a command failed only because the reader of its output closed it.
pub fn is_unheard(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
