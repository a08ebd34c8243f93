//! One module for each command of the program.

pub mod check;
pub mod demo;
pub mod explain;
pub mod healthcheck;
#[path = "../../cli-auth/src/login.rs"]
pub mod login;
#[path = "../../cli-auth/src/logout.rs"]
pub mod logout;
pub mod schema;
pub mod serve;
#[path = "../../cli-auth/src/token.rs"]
pub mod token;
#[path = "../../cli-auth/src/verify.rs"]
pub mod verify;

mod browser;
mod credential;
mod environment;
#[path = "../../cli-auth/src/login_choice.rs"]
mod logins;
#[path = "../../cli-auth/src/signals.rs"]
mod patience;
#[path = "../../cli-auth/src/issuer_connection.rs"]
mod reach;
mod terminal;

use std::process::ExitCode;

use logins::LoginNeeded;

/// How a command ended, as its exit code tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Fine,
    /// Something failed.
    Failure,
    /// What was asked makes no sense together; clap ends the same way.
    WrongUsage,
    /// Access would be refused.
    Refused,
    /// Somebody would have to sign in.
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

/// Arguments that make no sense together, in a way clap does not know.
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

/// An error and its causes in one line, each thing once: many errors say their cause themselves.
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

/// Whether a command failed only because nobody reads its output any more.
pub fn is_unheard(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
