//! Reasons a command failed, as the user reads them.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use m2m::TokenError;
use m2m::private_file::PrivateFileError;
use oidc_core::client::{ClientAuthError, DeviceError};
use oidc_core::http::reqwest::HttpSetupError;
use oidc_core::login::{LoginError, LoopbackLoginError, LoopbackRedirectError};

use crate::kept_login::KeptLoginError;
use crate::outcome::Outcome;

/// Reason a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// Arguments that contradict each other in a way that clap cannot check.
    #[error("{0}")]
    WrongUsage(&'static str),
    /// The user has to sign in.
    #[error("{reason}; run `{command}`")]
    LoginNeeded { reason: String, command: String },
    /// A signal came. The user knows, so it is not reported.
    #[error("interrupted by signal {signal}")]
    Interrupted { signal: u8 },
    /// No folder for logins.
    #[error(
        "missing folder for logins: neither XDG_STATE_HOME nor HOME is an absolute path; set one of them"
    )]
    NoStateFolder,
    /// The token to verify cannot be read.
    #[error("{place} cannot be read: {source}")]
    Input { place: String, source: io::Error },
    /// The token to verify is missing or is no token.
    #[error("{0}")]
    NoToken(String),
    /// The command of `--exec` cannot be run.
    #[error("{} cannot be run: {source}", program.display())]
    Exec { program: PathBuf, source: io::Error },
    /// The output cannot be written.
    #[error("standard output cannot be written: {0}")]
    Output(#[from] io::Error),
    /// Signals cannot be received.
    #[error("signals cannot be received: {0}")]
    Signals(#[source] io::Error),
    #[error(transparent)]
    Url(#[from] url::ParseError),
    #[error(transparent)]
    KeptLogin(#[from] KeptLoginError),
    #[error(transparent)]
    File(#[from] PrivateFileError),
    #[error(transparent)]
    Http(#[from] HttpSetupError),
    #[error(transparent)]
    ClientAuth(#[from] ClientAuthError),
    #[error(transparent)]
    Redirect(#[from] LoopbackRedirectError),
    #[error(transparent)]
    Browser(#[from] LoopbackLoginError),
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl CommandError {
    /// The exit code it leads to.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::WrongUsage(_) => Outcome::WrongUsage,
            Self::LoginNeeded { .. } => Outcome::LoginNeeded,
            Self::Interrupted { signal } => Outcome::Interrupted { signal: *signal },
            _ => Outcome::Failure,
        }
    }

    /// False if the user knows already: a signal came, or the reader of the output, such as `head`, closed it.
    pub(crate) fn is_reported(&self) -> bool {
        match self {
            Self::Interrupted { .. } => false,
            Self::Output(error) => error.kind() != io::ErrorKind::BrokenPipe,
            _ => true,
        }
    }
}

/// An error and its causes in one line. Many errors include their cause in their own text: it is not repeated.
///
/// ```
/// let error = std::io::Error::other("the disk is full");
/// assert_eq!(cli_auth::with_causes(&error), "the disk is full");
/// ```
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !line.contains(&more) {
            line = format!("{line}: {more}");
        }
        cause = inner.source();
    }
    line
}
