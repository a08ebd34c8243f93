//! Runs the rules of the house that no compiler knows.

use std::path::Path;

use crate::{arrows, files, shape, texts};

/// Lists what is against the rules.
pub(crate) fn lint(root: &Path) -> anyhow::Result<Vec<String>> {
    let files = files::below(root)?;
    let found = [shape::long_files(&files), shape::unclear_files(&files), texts::check(&files)];
    let mut complaints: Vec<String> = found.iter().flatten().map(ToString::to_string).collect();
    arrows::check(root, &mut complaints)?;
    complaints.sort();
    Ok(complaints)
}
