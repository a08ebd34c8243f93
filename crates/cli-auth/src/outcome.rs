//! Result of a command as its exit code.

use std::process::ExitCode;

/// Result of a command.
///
/// ```
/// assert_eq!(cli_auth::Outcome::LoginNeeded.code(), 4);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The command did what was asked; for `verify`, the token is valid. Exit code 0.
    Fine,
    /// The command failed; for `verify`, the token is not valid. Exit code 1.
    Failure,
    /// The arguments are invalid. Exit code 2.
    WrongUsage,
    /// The user has to sign in first. Exit code 4.
    LoginNeeded,
    /// A signal ended the command. Exit code 128 and the signal's number, as shells show it.
    Interrupted {
        /// Number of the signal.
        signal: u8,
    },
}

impl Outcome {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Failure => 1,
            Self::WrongUsage => 2,
            Self::LoginNeeded => 4,
            Self::Interrupted { signal } => signal.saturating_add(128),
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome.code())
    }
}
