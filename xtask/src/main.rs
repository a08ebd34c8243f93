//! Tasks that no other tool does: `cargo run -p xtask -- docs [--check]` writes the reference pages from the code that
//! they describe, or reports those that are out of date; `… -- lint` checks the rules of the house that no compiler knows.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod arrows;
mod complaint;
mod files;
mod lint;
mod reference;
mod shape;
mod texts;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let complaints = match arguments.as_slice() {
        ["docs"] => {
            reference::write(&root())?;
            Vec::new()
        }
        ["docs", "--check"] => reference::check(&root())?,
        ["lint"] => lint::lint(&root())?,
        _ => vec!["usage: cargo run -p xtask -- docs [--check] | lint".to_owned()],
    };
    for complaint in &complaints {
        writeln!(std::io::stderr(), "{complaint}")?;
    }
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The root of the repository.
fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}
