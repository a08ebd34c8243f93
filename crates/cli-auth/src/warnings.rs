//! Warnings of the libraries, shown on standard error. They never contain a secret.

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::terminal::Paint;

/// The warnings that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warnings {
    /// Those after which the command still succeeds, such as a failed refresh while the present token is valid. A reason to fail
    /// is reported once, when the command ends.
    Survived,
    /// All, for a command that goes on after a failure.
    All,
}

impl Warnings {
    /// Shows them from now on, a line each. Has no effect in a process that already has a log.
    pub(crate) fn show(self) {
        let from: &[&str] = match self {
            Self::Survived => &["cli_auth", "m2m::cache::file"],
            Self::All => &["cli_auth", "m2m", "oidc_core"],
        };
        let shown = Targets::new().with_targets(from.iter().map(|name| (*name, LevelFilter::WARN)));
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(Paint::for_errors().is_on())
            .with_target(false)
            .without_time();
        // An error means that the process has a log.
        let _ = tracing_subscriber::registry().with(lines.with_filter(shown)).try_init();
    }
}
