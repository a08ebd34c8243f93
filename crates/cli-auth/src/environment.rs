//! Environment variables that clap does not read for a flag: `NO_COLOR`, the XDG folders, a browser's display.

use std::ffi::OsString;
use std::path::PathBuf;

/// A variable that is set and not empty.
#[expect(
    clippy::disallowed_methods,
    reason = "commands at a terminal follow NO_COLOR and the XDG folders"
)]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// A folder by the XDG Base Directory Specification: `name` when it is an absolute path (relative ones are ignored), else
/// `beneath_home` in the home folder.
pub(crate) fn folder(name: &str, beneath_home: &str) -> Option<PathBuf> {
    let absolute = |value: OsString| Some(PathBuf::from(value)).filter(|path| path.is_absolute());
    let home = || variable("HOME").and_then(absolute).map(|home| home.join(beneath_home));
    variable(name).and_then(absolute).or_else(home)
}
