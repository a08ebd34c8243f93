//! Runs the rules of the house that no compiler knows.

use std::path::Path;

use crate::{arrows, exempt, files, shape, texts};

/// Lists what is against the rules.
pub(crate) fn lint(root: &Path) -> anyhow::Result<Vec<String>> {
    let files = files::below(root)?;
    let mut complaints = exempt::outside(exempt::LENGTH, &shape::long_files(&files));
    complaints.extend(exempt::outside(&[], &shape::unclear_files(&files)));
    complaints.extend(exempt::outside(exempt::TEXTS, &texts::check(&files)));
    arrows::check(root, &mut complaints)?;
    complaints.sort();
    Ok(complaints)
}
