//! Opens a page in the person's browser, where there is one.

use std::process::{Command, Stdio};

use super::environment::variable;

/// Whether this machine seems to have a browser that somebody looks at.
pub(super) fn is_there() -> bool {
    let named = ["DISPLAY", "WAYLAND_DISPLAY", "BROWSER"];
    cfg!(target_os = "macos") || named.iter().any(|name| variable(name).is_some())
}

/// Starts the browser and leaves it alone; whether that began well. What it says is not ours to show.
pub(super) fn open(url: &str) -> bool {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(program);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok()
}
