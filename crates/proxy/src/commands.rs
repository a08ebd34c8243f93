//! One module for each command of the program.

pub mod check;
pub mod demo;
pub mod explain;
pub mod healthcheck;
pub mod login;
pub mod logout;
pub mod schema;
pub mod serve;
pub mod token;
pub mod verify;

mod browser;
mod credential;
mod environment;
mod logins;
mod patience;
mod reach;
mod terminal;

use std::process::ExitCode;

use logins::LoginNeeded;

/// Outcome of a command, as its exit code shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The command succeeded.
    Fine,
    /// The command failed.
    Failure,
    /// The arguments contradict each other; clap exits with the same code.
    WrongUsage,
    /// The request would be refused.
    Refused,
    /// The caller would have to sign in.
    LoginNeeded,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Fine => 0,
            Outcome::Failure => 1,
            Outcome::WrongUsage => 2,
            Outcome::Refused => 3,
            Outcome::LoginNeeded => 4,
        })
    }
}

/// Arguments that contradict each other in a way that clap cannot express.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongUsage(&'static str);

impl From<&anyhow::Error> for Outcome {
    fn from(error: &anyhow::Error) -> Self {
        if error.is::<LoginNeeded>() {
            Self::LoginNeeded
        } else if error.is::<WrongUsage>() {
            Self::WrongUsage
        } else {
            Self::Failure
        }
    }
}

/// An error and its causes in one line, without repetition: many errors contain the text of their cause.
pub fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Whether a command failed only because the reader of its output has closed the pipe.
pub fn is_unheard(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
