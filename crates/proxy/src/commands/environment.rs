//! What the commands for terminals read from the environment, beside what clap reads for their flags. The one door: elsewhere
//! settings come from the configuration.

use std::ffi::OsString;

/// A variable that is set and not empty.
#[expect(
    clippy::disallowed_methods,
    reason = "commands at a terminal follow NO_COLOR and the XDG folders"
)]
pub(super) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
