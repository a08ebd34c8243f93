//! One module for each command of the program.

pub mod check;
pub mod demo;
pub mod explain;
pub mod healthcheck;
pub mod schema;
pub mod serve;
pub mod verify;

mod environment;
mod reach;
mod terminal;

use std::process::ExitCode;

/// How a command ended, as its exit code tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Fine,
    /// Something failed.
    Failure,
    /// Access would be refused.
    Refused,
    /// Somebody would have to sign in.
    LoginNeeded,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        // 2 is wrong usage; clap ends with it.
        Self::from(match outcome {
            Outcome::Fine => 0,
            Outcome::Failure => 1,
            Outcome::Refused => 3,
            Outcome::LoginNeeded => 4,
        })
    }
}
