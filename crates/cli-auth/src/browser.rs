//! Opens a page in the user's browser, where there is one.

use std::process::{Command, Stdio};

use crate::environment::variable;

/// True if this machine seems to have a screen with a browser.
pub fn is_there() -> bool {
    let named = ["DISPLAY", "WAYLAND_DISPLAY", "BROWSER"];
    cfg!(target_os = "macos") || named.iter().any(|name| variable(name).is_some())
}

/// Starts the browser without waiting for it; true if it started. Its own output is dropped.
pub fn open(url: &str) -> bool {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(program);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok()
}
